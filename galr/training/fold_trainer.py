"""One fold: train an epoch, validate, save the best model and the state that resuming needs."""

from __future__ import annotations

import logging
import math

import torch
import yaml

from galr.common import distributed, interrupts
from galr.common.atomic import check_room, write_text
from galr.common.errors import UserError
from galr.common.events import Events
from galr.common.progress import Progress
from galr.common.rank_batch_norm import share_statistics, synchronise_batch_norm
from galr.common.seeding import derive_seed, seed_everything
from galr.data.loaders import training_loader
from galr.evaluation.encode import encode_similarity
from galr.metrics.galleries import KEY, gallery_recall
from galr.metrics.retrieval import retrieval_metrics
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.monitoring.epoch_log import open_events, report_epoch, write_log
from galr.monitoring.watch import Watch
from galr.training.backbone import compile_backbone, set_trainable, with_cached_features
from galr.training.checkpoint import Checkpoint, TrainerState
from galr.training.data import TrainingData
from galr.training.loss import Criterion
from galr.training.schedule import Schedule
from galr.training.step import TrainingStep

logger = logging.getLogger(__name__)


class FoldTrainer:
    """Trains fold ``index``, from ``last.pth`` in its folder where there is one.

    Writes ``best.pth`` (best validation mR), ``last.pth``, ``options.yaml``, ``log.csv`` and
    TensorBoard events. ``started``: the reading of ``clock`` that a time budget counts from.
    """

    def __init__(
        self, data: TrainingData, index: int, device: torch.device, started: float = 0.0
    ) -> None:
        options, fold, images = data.options, data.folds[index], data.training.annotations
        self.options, self.tokenizer = options, data.tokenizer
        self.index, self.device = index, device
        self.folder = options.experiment_folder / str(index)
        self.last = self.folder / "last.pth"
        seed_everything(options.seed, "model", index)
        self.model = build_model(options, data.tokenizer.words).to(device)
        if options.distributed.exact:
            # Adam divides by the size of a gradient: in float32 the rounding of one that should be
            # nearly zero would move a weight by a whole step
            self.model.double()
            synchronise_batch_norm(self.model)
        criterion = Criterion(options.optim).to(device)
        # machines may hold other files of pretrained weights; the checkpoint is that of rank 0
        distributed.broadcast_weights(self.model, criterion)
        self.training = TrainingStep(self.model, criterion, options.optim)
        self.schedule = Schedule(options.optim, device, started)
        self.state = TrainerState()
        self.checkpoint = Checkpoint(
            options,
            data.tokenizer.words,
            fold=index,
            train=images.select(fold.train).images,
            validation=images.select(fold.validation).images,
            digests={part: data.digests[rows] for part, rows in fold._asdict().items()},
        )
        self.is_resumed = self._restore()
        self.watch = Watch(
            self.checkpoint.identity["fold"]["train"],
            self.training.optimizer.optimizer,
            options.optim.lr,
        )
        self._spread = math.inf
        self.model.text_encoder.prepare(data.training.annotations.captions)
        self.data = data
        self._reads_features: bool | None = None
        self._open_loader(self.schedule.progress(self.state.epoch + 1))

    def _open_loader(self, progress: float) -> None:
        """The loader and the validation part: of cached features while the backbone is frozen."""
        options, fold = self.options, self.data.folds[self.index]
        backbone, training, validation = (
            options.model.backbone, self.data.training, self.data.validation
        )  # fmt: skip
        reads_features = backbone.cache_features and not 0 < backbone.unfreeze_at <= progress
        if reads_features == self._reads_features:
            return
        self._reads_features = reads_features
        encoder = self.model.image_encoder
        assert isinstance(encoder, ImageEncoder)
        if reads_features:  # by the restored backbone
            assert self.data.files is not None
            training = validation = with_cached_features(
                self.data.files, encoder, options.dataset, backbone.cache_views, options.seed
            )
        elif options.optim.compile:
            compile_backbone(encoder)
        self.validation, training = validation.select(fold.validation), training.select(fold.train)
        self.loader = training_loader(
            training.annotations,
            self.tokenizer,
            training.images,
            training.local,
            options.dataset,
            seed=derive_seed(options.seed, "loader", self.index),
            done=self.schedule.own_progress,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            pin_memory=self.device.type == "cuda",
        )

    def fit(self) -> TrainerState:
        """Trains the epochs that are left.

        Raises UserError where the time budget is spent before the first step, and RunError where
        the loss becomes NaN or infinite.
        """
        if self.is_resumed:
            logger.info("fold %d: resuming after epoch %d", self.index, self.state.epoch)
        else:
            self._start()
        self.schedule.begin()
        self.state.setup_seconds = self.schedule.setup
        with open_events(self.folder, self.state.history) as events:
            try:
                while not self.state.is_finished(self.options.optim):
                    self._run_epoch(self.state.epoch + 1, events)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(self._interrupted()) from None
        return self.state

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Trains on every batch of ``epoch``: mean loss of its pairs, throughput, last rate."""
        options, schedule = self.options, self.schedule
        progress_so_far = schedule.progress(epoch)
        self._open_loader(progress_so_far)
        steps = len(self.loader)
        rank = 0 if options.distributed.exact else distributed.rank()
        seed = derive_seed(options.seed, "epoch", self.index, epoch, rank)
        set_trainable(self.model, options.model.backbone, progress_so_far)
        self.loader.sampler.set_epoch(epoch)
        pairs = self.loader.sampler.pairs
        total, lr = torch.zeros((), dtype=torch.float64, device=self.device), 0.0
        with Progress(f"fold {self.index} epoch {epoch}", pairs, "images") as progress:
            for step, batch in enumerate(self.loader):
                if step > 0 and schedule.is_spent:
                    break
                lr = schedule.learning_rate(epoch, step / steps)
                batch = batch.to(self.device)
                total += (loss := self.training.step(batch, lr, derive_seed(seed, step)))
                self.watch.add(loss, batch.image_index)
                progress.advance(distributed.rows_of_all(batch.image_index))
                if step % options.logs.print_freq == 0:  # reading the loss waits for the device
                    self.watch.check(progress.title)
                    progress.show(loss=total.item() / progress.done)
            rate = progress.rate
        for model in dict.fromkeys((self.model, self.training.averaged_model)):
            share_statistics(model.buffers())
        self.watch.check(progress.title, weights=[*self.model.state_dict().values()])
        return {"loss": total.item() / progress.done, "images_per_second": rate, "lr": lr}

    def validate(self) -> dict[str, float]:
        """Recall@k, median and mean rank on the validation part, and mR."""
        model = self.training.averaged_model
        similarity = encode_similarity(model, self.validation, self.tokenizer, self.options.dataset)
        self.watch.check(f"fold {self.index}", similarities=[similarity])
        self._spread = float(similarity.std())
        owner, of_test = self.validation.annotations.caption_to_image, self.data.test_images
        metrics = retrieval_metrics(similarity, owner)
        among = gallery_recall(similarity, owner, of_test) if of_test else None
        return metrics if among is None else metrics | {KEY: among}

    def _run_epoch(self, epoch: int, events: Events | None) -> None:
        row = {"epoch": float(epoch), **self.train_epoch(epoch)}
        row["cpu_seconds"] = self.schedule.seconds
        if self._is_last(epoch) or (epoch + 1) % self.options.logs.eval_step == 0:
            row |= self.validate()
        is_best = self.state.add(row)
        self.state.cpu_seconds = self.schedule.seconds
        # validation may have used up the budget; otherwise there is another epoch of one step
        self.state.spent = "mR" in row and self.schedule.is_spent
        if events is None:
            return
        optim = self.options.optim
        report_epoch(row, events, self.index, None if optim.budget_seconds else optim.epochs)
        warming = self.schedule.own_progress(epoch, 1) < optim.warmup
        self.watch.warn(self.state.history, self._spread, warming)
        if is_best:
            best = {"model": self.training.averaged_model}
            self.checkpoint.save(self.folder / "best.pth", best, self.state)
        # after best.pth: killed in between, the epoch is trained again with the same result
        self._save_last()
        write_log(self.folder / "log.csv", self.state.history)

    def _is_last(self, epoch: int) -> bool:
        if self.options.optim.budget_seconds is not None:
            return self.schedule.is_spent
        return epoch + 1 == self.options.optim.epochs

    def _start(self) -> None:
        if self.schedule.is_spent:
            limit, seconds = self.options.optim.budget_seconds, self.schedule.seconds
            raise UserError(
                "optim.budget_seconds",
                f"{limit:g} s are used up before the first step: set-up took {seconds:.1f}",
                "increase it",
            )
        if distributed.is_main():
            # resolved: base files may be elsewhere
            resolved = {**self.options.model_dump(mode="json"), "base": None}
            write_text(self.folder / "options.yaml", yaml.safe_dump(resolved, sort_keys=False))
            # best.pth, last.pth with two moments, and one of them again while it is replaced
            check_room(self.folder, 7 * sum(each.nbytes for each in self.model.parameters()))
            self._save_last()  # an interruption in the first epoch resumes from here

    def _restore(self) -> bool:
        """Resumes from last.pth of rank 0, if there is one; returns whether there is."""
        if not distributed.from_main(float(self.last.exists()), self.device):
            return False
        parts, content = self.training.stateful, None
        if distributed.world_size() > 1:  # the folder may exist on rank 0's machine only
            content = distributed.on_main(
                lambda: self.checkpoint.checked_bytes(self.last, parts), self.device
            )
        self.state = self.checkpoint.load(self.last, parts, content)
        self.schedule.resume(self.state.cpu_seconds, self.state.setup_seconds)
        return True

    def _save_last(self) -> None:
        self.checkpoint.save(self.last, self.training.stateful, self.state)

    def _interrupted(self) -> str:
        done = f"epoch {self.state.epoch} is the last one in {self.last}"
        if self.state.epoch < 0:
            done = "no epoch was finished"
        return f"{interrupts.told()}; {done}; train.py --resume continues from there"
