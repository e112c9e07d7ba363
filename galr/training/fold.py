"""One fold: train, validate, keep the best model and all that a continuation needs."""

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
from galr.model.galr import GaLR
from galr.model.mvsa import ImageEncoder
from galr.options import Options
from galr.training.average import weight_average
from galr.training.checkpoint import Checkpoint, FoldProgress, Stateful, write_log
from galr.training.compiled import compile_trunk
from galr.training.criterion import Criterion
from galr.training.epoch import train_one_epoch
from galr.training.frozen import set_trained
from galr.training.maps import trunk_maps, with_maps
from galr.training.optimizer import build_optimizer
from galr.training.schedule import learning_rate
from galr.training.step import TrainingStep
from galr.training.time_budget import Pace

logger = logging.getLogger(__name__)


class FoldTrainer:
    """Trains fold ``index`` in ``folder``.

    Leaves ``best.pth`` (best mR on the validation part), ``last.pth``, ``options.yaml``,
    ``log.csv`` and TensorBoard events there. ``started`` is the processor time that a budget
    counts from. ``files`` are the images of both parts and more, for maps of them
    (``model.backbone.cache_maps``).
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
        seed_everything(options.seed, "model", index)
        self.model = build_model(options, tokenizer.words).to(device)
        if options.distributed.exact:
            # Adam divides by the size of a gradient: in float32 the rounding of one that should be
            # nearly zero would move a weight by a whole step
            self.model.double()
            distributed.synchronise_batch_norm(self.model)
        self.criterion = Criterion(options.optim).to(device)
        # files of weights may differ between machines, and rank 0's are what is saved
        distributed.broadcast_weights(self.model, self.criterion)
        self.optimizer = build_optimizer((self.model, self.criterion), options.optim)
        # float16 has no room for small gradients; the other types need no scaling
        self.scaler = torch.amp.GradScaler(device.type, enabled=options.optim.amp == "fp16")
        self.training = TrainingStep(
            self.model, self.criterion, self.optimizer, self.scaler, options.optim
        )
        decay = options.optim.ema
        self.average = weight_average(self.model, decay) if decay > 0 else None
        self.pace = Pace(options.optim, started)
        self.progress = FoldProgress()
        self.checkpoint = Checkpoint(
            options,
            tokenizer.words,
            fold=index,
            train=training.annotations.images,
            validation=validation.annotations.images,
        )
        self.resumes = distributed.from_main(float(self.last.exists()), device) > 0
        if self.resumes:
            self._restore()
        encoder = self.model.image_encoder
        assert isinstance(encoder, ImageEncoder)
        if files is not None:  # not before: the maps are those of the trunk that goes on
            split = training.annotations.split
            maps = trunk_maps(encoder, files, split, options.dataset)
            training, validation = (
                with_maps(part, maps, files.names) for part in (training, validation)
            )
        elif options.optim.compile:
            compile_trunk(encoder)
        self.validation = validation
        self.loader = training_loader(
            training.annotations,
            tokenizer,
            training.images,
            training.local,
            options.dataset,
            seed=derive_seed(options.seed, "loader", index),
            done=self.pace.done,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            pin_memory=device.type == "cuda",
        )

    @property
    def last(self) -> Path:
        """The checkpoint that a continuation starts from."""
        return self.folder / "last.pth"

    @property
    def evaluated(self) -> GaLR:
        """The model that is validated and kept: the average of the weights, where there is one."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, GaLR)
        return self.average.module

    def run(self) -> FoldProgress:
        """Trains what is left of the fold."""
        if self.resumes:
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
        done = f"epoch {self.progress.epoch} is the last in {self.last}"
        if self.progress.epoch < 0:
            done = "no epoch was finished"
        return f"stopped by Ctrl-C; {done}; train.py --resume continues from there"

    def _start(self) -> None:
        if self._is_spent():
            raise UserError(
                "optim.budget_seconds",
                f"{self.pace.budget:g} are spent before the first step: the set-up took "
                f"{self._seconds():.1f}",
                "give more",
            )
        if distributed.is_main():
            # whole by themselves: their base files lie elsewhere
            resolved = {**self.options.model_dump(mode="json"), "base": None}
            write_text(self.folder / "options.yaml", yaml.safe_dump(resolved, sort_keys=False))
            self._save_last()  # an interruption in the first epoch resumes from here

    def _run_epoch(self, epoch: int, events: SummaryWriter | None) -> None:
        row = {"epoch": float(epoch), **self._train(epoch), "cpu_seconds": self._seconds()}
        if self._is_last(epoch) or (epoch + 1) % self.options.logs.eval_step == 0:
            row |= self._validate()
        is_best = self.progress.add(row)
        self.progress.cpu_seconds = self.pace.seconds  # rank 0's is what is saved
        # a validation may have taken the rest; without one there is another epoch, if of one step
        self.progress.spent = "mR" in row and self._is_spent()
        if events is None:
            return
        self._log(row, events)
        if is_best:
            self._save_best()
        # after best.pth: killed in between, the epoch is trained again and ends alike
        self._save_last()
        write_log(self.folder / "log.csv", self.progress.history)

    def _train(self, epoch: int) -> dict[str, float]:
        options = self.options
        done = distributed.from_main(self.pace.done(epoch), self.device)
        set_trained(self.model, options.model.backbone, done)
        self.loader.sampler.set_epoch(epoch)
        pairs = self.loader.sampler.pairs
        rank = 0 if options.distributed.exact else distributed.rank()
        with Progress(f"fold {self.index} epoch {epoch}", pairs, "images") as progress:
            figures = train_one_epoch(
                self.training,
                self.loader,
                self.device,
                learning_rate=partial(self._learning_rate, epoch),
                after_step=self._after_step,
                progress=progress,
                print_freq=options.logs.print_freq,
                seed=derive_seed(options.seed, "epoch", self.index, epoch, rank),
            )
        distributed.share_statistics(self.model.buffers())
        if self.average is not None:
            distributed.share_statistics(self.average.module.buffers())
        return figures._asdict()

    def _after_step(self) -> None:
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _learning_rate(self, epoch: int, step: int) -> float | None:
        """None where the budget is spent; an epoch has one step at least."""
        if self.pace.budget is None:
            done = self.pace.done(epoch, step / len(self.loader))
            return learning_rate(self.options.optim, epoch, done)
        done = distributed.from_main(self.pace.done(epoch), self.device)
        return None if done >= 1 and step > 0 else learning_rate(self.options.optim, epoch, done)

    def _seconds(self) -> float:
        return distributed.from_main(self.pace.seconds, self.device)

    def _is_last(self, epoch: int) -> bool:
        if self.pace.budget is not None:
            return self._is_spent()
        return epoch + 1 == self.options.optim.epochs

    def _is_spent(self) -> bool:
        """Whether there is a budget of seconds and nothing is left of it, the same on all ranks."""
        if self.pace.budget is None:
            return False
        return distributed.from_main(float(self.pace.is_spent), self.device) > 0

    def _validate(self) -> dict[str, float]:
        similarity = encode_similarity(
            self.evaluated, self.validation, self.tokenizer, self.options.dataset
        )
        return retrieval_metrics(similarity, self.validation.annotations.caption_to_image)

    def _events(self) -> contextlib.AbstractContextManager[SummaryWriter | None]:
        """The TensorBoard events of the rank that reports; None on the others."""
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
        whole = "" if self.pace.budget else f" of {self.options.optim.epochs}"
        logger.info(
            "fold %d epoch %d%s: loss %.4f, %.1f images/s%s",
            self.index, epoch, whole, row["loss"], row["images_per_second"], recall,
        )  # fmt: skip

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {
            "model": self.model,
            "criterion": self.criterion,
            "optimizer": self.optimizer,
            "scaler": self.scaler,
        }
        if self.average is not None:
            parts["average"] = self.average
        return parts

    def _restore(self) -> None:
        parts, content = self._parts(), None
        if distributed.world_size() > 1:  # the folder may be on rank 0's machine alone
            read = partial(self.checkpoint.checked_bytes, self.last, parts)
            content = distributed.on_main(read, self.device)
        self.progress = self.checkpoint.load(self.last, parts, content)
        self.pace.resume(self.progress.cpu_seconds)

    def _save_last(self) -> None:
        self.checkpoint.save(self.last, self._parts(), self.progress)

    def _save_best(self) -> None:
        """The model as it was validated, without what a continuation needs."""
        self.checkpoint.save(self.folder / "best.pth", {"model": self.evaluated}, self.progress)
