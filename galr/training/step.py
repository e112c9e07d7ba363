"""One step: the loss of a batch, its gradients (in micro-batches, over ranks), the update."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from galr.common import distributed
from galr.common.seeding import derive_seed
from galr.data.batches import Batch
from galr.encoders.trunk import Trunk
from galr.evaluation.encode import image_embeddings
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import OptimOptions
from galr.training.loss import Criterion
from galr.training.optimizer import MixedPrecisionOptimizer, weight_average


class TrainingStep:
    """``step(batch)`` updates the weights once, and their average where there is one.

    The model must be in training mode, and frozen weights must not require gradients.
    """

    def __init__(self, model: RetrievalModel, criterion: Criterion, options: OptimOptions) -> None:
        self.model, self.criterion = model, criterion
        self.average = weight_average(model, options.ema) if options.ema > 0 else None
        device = next(model.parameters()).device
        rates = _own_rates(model, options)
        self.optimizer = MixedPrecisionOptimizer((model, criterion), options, device, rates)
        self.micro_batch = options.micro_batch
        self.encoder = PairEncoder(model, self.optimizer)
        self._parallel: nn.Module = self.encoder
        self._trainable: list[bool] | None = None

    @property
    def averaged_model(self) -> RetrievalModel:
        """The model with averaged weights (``optim.ema``); without these, the model itself."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, RetrievalModel)
        return self.average.module

    @property
    def stateful(self) -> dict[str, Any]:
        """Everything that a step changes, by its name in a checkpoint."""
        parts = {
            "model": self.model,
            "criterion": self.criterion,
            "optimizer": self.optimizer.optimizer,
            "scaler": self.optimizer.scaler,
        }
        return parts if self.average is None else {**parts, "average": self.average}

    def step(self, batch: Batch, lr: float, seed: int) -> Tensor:
        """Trains on ``batch`` with the learning rate ``lr``; its loss before the step -> scalar."""
        self.optimizer.zero_grad()
        loss = self.accumulate(batch, seed)
        self.optimizer.step(lr)
        self.criterion.clamp()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss

    def accumulate(self, batch: Batch, seed: int) -> Tensor:
        """Adds the gradients of the loss over the pairs of all ranks; returns the loss -> scalar.

        ``seed`` drives dropout.
        """
        self._wrap_trainable_weights()
        size = self.micro_batch
        if size is not None and len(batch.image_index) > size:
            return self._accumulate_micro_batches(batch, _micro_batches(batch, size), seed)
        torch.manual_seed(seed)
        loss = self._loss(batch, *self._parallel(batch))
        self.optimizer.backward(loss)
        return loss.detach()

    def _accumulate_micro_batches(self, batch: Batch, parts: list[Batch], seed: int) -> Tensor:
        """``accumulate`` with the activations of one micro-batch in memory (GradCache, Gao 2021).

        Embeddings of all micro-batches without gradients; the loss and its gradient with respect
        to the embeddings; then each micro-batch again, with the same dropout and that gradient.
        """
        with torch.no_grad(), _running_statistics_kept(self.model):
            encoded = [self._encode(part, seed, i) for i, part in enumerate(parts)]
        images, captions = (
            torch.cat(embeddings).requires_grad_() for embeddings in zip(*encoded, strict=True)
        )
        loss = self._loss(batch, images, captions)
        self.optimizer.backward(loss)
        assert images.grad is not None
        assert captions.grad is not None
        of_images = torch.split(images.grad, [len(part.image_index) for part in parts])
        of_captions = torch.split(captions.grad, [len(part.tokens) for part in parts])
        for number, gradients in enumerate(zip(of_images, of_captions, strict=True)):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else distributed.without_sum(self._parallel):
                torch.autograd.backward(self._encode(parts[number], seed, number), gradients)
        return loss.detach()

    def _encode(self, part: Batch, seed: int, number: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(derive_seed(seed, number))
        embeddings: tuple[Tensor, Tensor] = self._parallel(part)
        return embeddings

    def _wrap_trainable_weights(self) -> None:
        """Wraps the encoder again whenever the trainable stages of the backbone change."""
        trainable = [weight.requires_grad for weight in self.model.parameters()]
        if trainable == self._trainable:
            return
        self._trainable, self._parallel = trainable, self.encoder
        if distributed.world_size() > 1:
            gc.collect()  # the earlier wrapper would still sum gradients
        unused = (
            bool(self.model.text_encoder.pretrained) or _trunk(self.model).may_leave_weights_unused
        )
        self._parallel = distributed.parallel(self.encoder, some_unused=unused)

    def _loss(self, batch: Batch, images: Tensor, captions: Tensor) -> Tensor:
        """The mean loss over the first, the second ... captions of the images."""
        total = distributed.rows_of_all(batch.image_index)
        all_images = distributed.gather_rows(images, total)
        all_indices = distributed.gather_rows(batch.image_index, total)
        count, keys = batch.captions_per_image, batch.caption_group
        losses = [
            self.criterion(
                self.model.comparison(
                    all_images, distributed.gather_rows(captions[each::count], total)
                ),
                all_indices,
                distributed.gather_rows(keys[each::count], total),
            )
            for each in range(count)
        ]
        return torch.stack(losses).mean()


class PairEncoder(nn.Module):
    """Image and text encoder in one module, which each rank runs on its share of a batch."""

    def __init__(self, model: RetrievalModel, optimizer: MixedPrecisionOptimizer) -> None:
        super().__init__()
        self.optimizer = optimizer
        self._model = [model]  # not a submodule: see below
        # without the comparison, which every rank applies to the pairs of all ranks: its gradients
        # are whole on each of them, and summing them would count them several times
        self.parts = nn.ModuleList(
            part for name, part in model.named_children() if name != "comparison"
        )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """B images with M captions each -> their embeddings (B, D) and (B M, D), float32 at least.

        In bfloat16 similarities near 0.7 would lie 0.004 apart.
        """
        (model,) = self._model
        with self.optimizer.autocast():
            images = image_embeddings(model, batch)
            captions = model.encode_text(batch.tokens, batch.lengths)
        if self.optimizer.dtype is None:
            return images, captions
        return images.float(), captions.float()


def _trunk(model: RetrievalModel) -> Trunk:
    assert isinstance(model.image_encoder, ImageEncoder)
    return model.image_encoder.trunk


def _own_rates(model: RetrievalModel, options: OptimOptions) -> list[tuple[nn.Module, float]]:
    rates: list[tuple[nn.Module, float]] = []
    if options.backbone_lr is not None:
        rates.append((_trunk(model), options.backbone_lr))
    if options.text_lr is not None:
        rates += [(part, options.text_lr) for part in model.text_encoder.pretrained]
    return rates


def _micro_batches(batch: Batch, size: int) -> list[Batch]:
    """``batch`` in parts of ``size`` pairs."""
    pairs = len(batch.image_index)

    def part(start: int) -> Batch:
        rows = {}
        for name, field in batch._asdict().items():
            if field is not None:
                per_pair = len(field) // pairs
                rows[name] = field[start * per_pair : (start + size) * per_pair]
        return batch._replace(**rows)

    return [part(start) for start in range(0, pairs, size)]


@contextlib.contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch normalisation by batch statistics, without updating the running ones."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
