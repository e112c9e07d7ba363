"""One fold: train, validate, keep the best model and all that a continuation needs."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import yaml
from torch.utils.tensorboard import SummaryWriter

from galr.atomic import write_text
from galr.data.dataset import training_loader
from galr.data.part import Part
from galr.data.vocabulary import Vocabulary
from galr.evaluation.encode import encode_similarity
from galr.evaluation.metrics import retrieval_metrics
from galr.model.build import build_model
from galr.options import Options
from galr.progress import Progress
from galr.seeding import derive_seed, seed_everything
from galr.training.checkpoint import Checkpoint, FoldProgress, write_log
from galr.training.epoch import train_one_epoch
from galr.training.schedule import step_schedule

logger = logging.getLogger(__name__)


class FoldTrainer:
    """Trains fold ``index`` in ``folder``.

    Leaves ``best.pth`` (best mR on the validation part), ``last.pth``, ``options.yaml``,
    ``log.csv`` and TensorBoard events there.
    """

    def __init__(
        self,
        options: Options,
        index: int,
        folder: Path,
        training: Part,
        validation: Part,
        vocabulary: Vocabulary,
        device: torch.device,
    ) -> None:
        self.options, self.index, self.folder = options, index, folder
        self.validation, self.vocabulary = validation, vocabulary
        seed_everything(options.seed, "model", index)
        self.model = build_model(options, vocabulary.words).to(device)
        self.optimizer = torch.optim.Adam(
            (weight for weight in self.model.parameters() if weight.requires_grad),
            lr=options.optim.lr,
        )
        self.progress = FoldProgress()
        self.checkpoint = Checkpoint(
            options,
            vocabulary.words,
            fold=index,
            train=training.annotations.images,
            validation=validation.annotations.images,
        )
        self.loader = training_loader(
            training.annotations,
            vocabulary,
            training.images,
            training.local,
            options.dataset,
            seed=derive_seed(options.seed, "loader", index),
            pin_memory=device.type == "cuda",
        )

    @property
    def last(self) -> Path:
        """The checkpoint that a continuation starts from."""
        return self.folder / "last.pth"

    def run(self) -> FoldProgress:
        """Trains what is left of the fold."""
        if self.last.exists():
            self.progress = self.checkpoint.load(self.last, self.model, self.optimizer)
            logger.info("fold %d: going on after epoch %d", self.index, self.progress.epoch)
        else:
            resolved = yaml.safe_dump(self.options.model_dump(mode="json"), sort_keys=False)
            write_text(self.folder / "options.yaml", resolved)
            self._save("last.pth")  # an interruption in the first epoch resumes from here
        with SummaryWriter(str(self.folder), purge_step=self.progress.epoch + 1) as events:
            while not self.progress.is_finished(self.options.optim):
                try:
                    self._run_epoch(self.progress.epoch + 1, events)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(
                        f"stopped by Ctrl-C; {self.last} holds what was trained up to epoch "
                        f"{self.progress.epoch}, and train.py --resume goes on from there"
                    ) from None
        return self.progress

    def _run_epoch(self, epoch: int, events: SummaryWriter) -> None:
        row = {"epoch": float(epoch), **self._train(epoch)}
        last_epoch = epoch + 1 == self.options.optim.epochs
        if last_epoch or (epoch + 1) % self.options.logs.eval_step == 0:
            row |= self._validate()
        self._log(row, events)
        if self.progress.add(row):
            self._save("best.pth")
        # after best.pth: killed in between, the epoch is trained again and ends alike
        self._save("last.pth")
        write_log(self.folder / "log.csv", self.progress.history)

    def _train(self, epoch: int) -> dict[str, float]:
        optim = self.options.optim
        rate = step_schedule(epoch, optim.lr, optim.lr_update_epoch, optim.lr_decay_param)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.loader.set_epoch(epoch)
        with Progress(f"fold {self.index} epoch {epoch}", self.loader.pairs, "images") as progress:
            figures = train_one_epoch(
                self.model,
                self.loader,
                self.optimizer,
                optim,
                progress=progress,
                print_freq=self.options.logs.print_freq,
                seed=derive_seed(self.options.seed, "epoch", self.index, epoch),
            )
        return {"lr": rate, "loss": figures.loss, "images_per_second": figures.images_per_second}

    def _validate(self) -> dict[str, float]:
        similarity = encode_similarity(
            self.model, self.validation, self.vocabulary, self.options.dataset
        )
        return retrieval_metrics(similarity, self.validation.annotations.caption_to_image)

    def _log(self, row: dict[str, float], events: SummaryWriter) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                group = "validation" if name in ("mR",) or name[:3] in ("i2t", "t2i") else "train"
                events.add_scalar(f"{group}/{name}", value, epoch)
        events.flush()
        recall = f", validation mR {row['mR']:.2f}" if "mR" in row else ""
        logger.info(
            "fold %d epoch %d of %d: loss %.4f, %.1f images/s%s",
            self.index, epoch, self.options.optim.epochs, row["loss"], row["images_per_second"],
            recall,
        )  # fmt: skip

    def _save(self, name: str) -> None:
        self.checkpoint.save(self.folder / name, self.model, self.optimizer, self.progress)
