"""One fold: train, validate, keep the best model and the state that a resume needs."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path

import torch
import yaml
from torch.utils.tensorboard import SummaryWriter

from galr.common import distributed
from galr.common.atomic import write_text
from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.common.seeding import derive_seed, seed_everything
from galr.data.dataset import training_loader
from galr.data.image_cache import ImageFiles
from galr.data.part import Part
from galr.data.vocabulary import Tokenizer
from galr.evaluation.encode import encode_similarity
from galr.metrics.retrieval import retrieval_metrics
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options
from galr.training.backbone import (
    cached_features,
    compile_backbone,
    set_trainable,
    with_features,
)
from galr.training.checkpoint import Checkpoint, FoldProgress, Stateful, write_log
from galr.training.epoch import train_one_epoch
from galr.training.loss import Criterion
from galr.training.optimizer import build_optimizer, weight_average
from galr.training.schedule import Schedule, TrainingBudget
from galr.training.step import TrainingStep

logger = logging.getLogger(__name__)


class FoldTrainer:
    """Trains fold ``index`` in ``folder``.

    Leaves ``best.pth`` (best mR on the validation part), ``last.pth``, ``options.yaml``,
    ``log.csv`` and TensorBoard events there. ``started``: the CPU time that a time budget counts
    from. ``files``: the images of both parts, for features of them (``model.backbone.cache_maps``).
    """

    def __init__(
        self,
        options: Options,
        index: int,
        folder: Path,
        training: Part,
        validation: Part,
        tokenizer: Tokenizer,
        device: torch.device,
        started: float = 0.0,
        files: ImageFiles | None = None,
    ) -> None:
        self.options, self.index, self.folder, self.device = options, index, folder, device
        self.tokenizer = tokenizer
        self.last = folder / "last.pth"
        seed_everything(options.seed, "model", index)
        self.model = build_model(options, tokenizer.words).to(device)
        if options.distributed.exact:
            # Adam divides by the size of a gradient: in float32 the rounding of one that should be
            # nearly zero would move a weight by a whole step
            self.model.double()
            distributed.synchronise_batch_norm(self.model)
        self.criterion = Criterion(options.optim).to(device)
        # files of weights may differ between machines, and rank 0's are saved
        distributed.broadcast_weights(self.model, self.criterion)
        decay = options.optim.ema
        self.average = weight_average(self.model, decay) if decay > 0 else None
        self.training = TrainingStep(
            self.model,
            self.criterion,
            build_optimizer((self.model, self.criterion), options.optim),
            # float16 has no room for small gradients; the other types need no scaling
            torch.amp.GradScaler(device.type, enabled=options.optim.amp == "fp16"),
            options.optim,
            self.average,
        )
        self.budget = TrainingBudget(options.optim, started)
        self.progress = FoldProgress()
        self.checkpoint = Checkpoint(
            options,
            tokenizer.words,
            fold=index,
            train=training.annotations.images,
            validation=validation.annotations.images,
        )
        self.resuming = distributed.from_main(float(self.last.exists()), device) > 0
        if self.resuming:
            self._restore()
        encoder = self.model.image_encoder
        assert isinstance(encoder, ImageEncoder)
        if files is not None:  # after the resume: they are features of the restored backbone
            split = training.annotations.split
            features = cached_features(encoder, files, split, options.dataset)
            training, validation = (
                with_features(part, features, files.names) for part in (training, validation)
            )
        elif options.optim.compile:
            compile_backbone(encoder)
        self.validation = validation
        self.loader = training_loader(
            training.annotations,
            tokenizer,
            training.images,
            training.local,
            options.dataset,
            seed=derive_seed(options.seed, "loader", index),
            done=self.budget.done,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            pin_memory=device.type == "cuda",
        )
        self.schedule = Schedule(options, self.budget, len(self.loader), device)

    @property
    def evaluated(self) -> RetrievalModel:
        """The model that is validated and saved as best: the averaged weights, if there are any."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, RetrievalModel)
        return self.average.module

    def run(self) -> FoldProgress:
        """Trains the epochs that are left."""
        if self.resuming:
            logger.info("fold %d: resuming after epoch %d", self.index, self.progress.epoch)
        else:
            self._start()
        with self._events() as events:
            while not self.progress.is_finished(self.options.optim):
                try:
                    self._run_epoch(self.progress.epoch + 1, events)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt(self._interrupted()) from None
        return self.progress

    def _interrupted(self) -> str:
        done = f"epoch {self.progress.epoch} is the last one in {self.last}"
        if self.progress.epoch < 0:
            done = "no epoch was finished"
        return f"stopped by Ctrl-C; {done}; train.py --resume continues from there"

    def _start(self) -> None:
        if self.schedule.is_spent:
            raise UserError(
                "optim.budget_seconds",
                f"{self.budget.limit:g} are spent before the first step: the set-up took "
                f"{self.schedule.seconds:.1f}",
                "increase it",
            )
        if distributed.is_main():
            # resolved: base files lie elsewhere
            resolved = {**self.options.model_dump(mode="json"), "base": None}
            write_text(self.folder / "options.yaml", yaml.safe_dump(resolved, sort_keys=False))
            self._save_last()  # an interruption in the first epoch resumes from here

    def _run_epoch(self, epoch: int, events: SummaryWriter | None) -> None:
        figures = self._train_epoch(epoch)
        row = {"epoch": float(epoch), **figures, "cpu_seconds": self.schedule.seconds}
        if self._is_last(epoch) or (epoch + 1) % self.options.logs.eval_step == 0:
            row |= self._validate()
        is_best = self.progress.add(row)
        self.progress.cpu_seconds = self.budget.seconds  # rank 0's is saved
        # validation may have used up the budget; without one there is another epoch of one step
        self.progress.spent = "mR" in row and self.schedule.is_spent
        if events is None:
            return
        self._log(row, events)
        if is_best:
            self._save_best()
        # after best.pth: killed in between, the epoch is trained again with the same result
        self._save_last()
        write_log(self.folder / "log.csv", self.progress.history)

    def _train_epoch(self, epoch: int) -> dict[str, float]:
        options, schedule = self.options, self.schedule
        set_trainable(self.model, options.model.backbone, schedule.done(epoch))
        self.loader.sampler.set_epoch(epoch)
        pairs = self.loader.sampler.pairs
        rank = 0 if options.distributed.exact else distributed.rank()
        with Progress(f"fold {self.index} epoch {epoch}", pairs, "images") as progress:
            figures = train_one_epoch(
                self.training,
                self.loader,
                schedule.learning_rates(epoch),
                self.device,
                progress,
                print_freq=options.logs.print_freq,
                seed=derive_seed(options.seed, "epoch", self.index, epoch, rank),
            )
        distributed.share_statistics(self.model.buffers())
        if self.average is not None:
            distributed.share_statistics(self.average.module.buffers())
        return figures._asdict()

    def _is_last(self, epoch: int) -> bool:
        if self.budget.limit is not None:
            return self.schedule.is_spent
        return epoch + 1 == self.options.optim.epochs

    def _validate(self) -> dict[str, float]:
        similarity = encode_similarity(
            self.evaluated, self.validation, self.tokenizer, self.options.dataset
        )
        return retrieval_metrics(similarity, self.validation.annotations.caption_to_image)

    def _events(self) -> contextlib.AbstractContextManager[SummaryWriter | None]:
        """TensorBoard events of the rank that reports; None on the others."""
        if not distributed.is_main():
            return contextlib.nullcontext()
        return SummaryWriter(str(self.folder), purge_step=self.progress.epoch + 1)

    def _log(self, row: dict[str, float], events: SummaryWriter) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                group = "validation" if name in ("mR",) or name[:3] in ("i2t", "t2i") else "train"
                events.add_scalar(f"{group}/{name}", value, epoch)
        events.flush()
        recall = f", validation mR {row['mR']:.2f}" if "mR" in row else ""
        whole = "" if self.budget.limit else f" of {self.options.optim.epochs}"
        logger.info(
            "fold %d epoch %d%s: loss %.4f, %.1f images/s%s",
            self.index, epoch, whole, row["loss"], row["images_per_second"], recall,
        )  # fmt: skip

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {
            "model": self.model,
            "criterion": self.criterion,
            "optimizer": self.training.optimizer,
            "scaler": self.training.scaler,
        }
        if self.average is not None:
            parts["average"] = self.average
        return parts

    def _restore(self) -> None:
        parts, content = self._parts(), None
        if distributed.world_size() > 1:  # the folder may exist on rank 0's machine only
            read = partial(self.checkpoint.checked_bytes, self.last, parts)
            content = distributed.on_main(read, self.device)
        self.progress = self.checkpoint.load(self.last, parts, content)
        self.budget.resume(self.progress.cpu_seconds)

    def _save_last(self) -> None:
        self.checkpoint.save(self.last, self._parts(), self.progress)

    def _save_best(self) -> None:
        """The model as it was validated, without the state of its training."""
        self.checkpoint.save(self.folder / "best.pth", {"model": self.evaluated}, self.progress)
