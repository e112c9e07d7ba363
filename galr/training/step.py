"""One step: the loss of a batch, its gradients (in micro-batches, over ranks), the update."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from galr.common import distributed
from galr.common.seeding import derive_seed
from galr.data.batches import Batch
from galr.evaluation.encode import image_embeddings
from galr.model.retrieval_model import RetrievalModel
from galr.options import OptimOptions
from galr.training.loss import Criterion
from galr.training.precision import autocast_type


class PairEncoder(nn.Module):
    """Image and text encoder in one module, which each rank runs on its part of a batch."""

    def __init__(self, model: RetrievalModel, amp: Literal["auto", "off", "bf16", "fp16"]) -> None:
        super().__init__()
        self.amp = amp
        self._model = [model]  # not a submodule: see below
        # without the comparison, which every rank applies to the pairs of all ranks: its gradients
        # are whole on each of them, and summing them would count them several times
        self.parts = nn.ModuleList(
            part for name, part in model.named_children() if name != "comparison"
        )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """B images with M captions each -> their embeddings (B, D) and (B M, D), float32 at least.

        In bfloat16 similarities near 0.7 lie 0.004 apart.
        """
        (model,), device = self._model, batch.tokens.device
        kind = autocast_type(self.amp, device)
        with torch.autocast(device.type, kind, enabled=kind is not None):
            images = image_embeddings(model, batch)
            captions = model.encode_text(batch.tokens, batch.lengths)
        return (images, captions) if kind is None else (images.float(), captions.float())


class TrainingStep:
    """``step(batch)`` updates the weights once, and their moving ``average`` where there is one.

    The model must be in training mode, with frozen weights for which no gradient is required.
    """

    def __init__(
        self,
        model: RetrievalModel,
        criterion: Criterion,
        optimizer: Optimizer,
        scaler: torch.amp.GradScaler,
        options: OptimOptions,
        average: AveragedModel | None = None,
    ) -> None:
        self.model, self.average = model, average
        self.criterion, self.optimizer, self.scaler = criterion, optimizer, scaler
        self.options = options
        self.pairs = PairEncoder(model, options.amp)
        self._encoder: nn.Module = self.pairs
        self._trainable: list[bool] | None = None
        self.weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def step(self, batch: Batch, lr: float, seed: int) -> Tensor:
        """Trains on ``batch`` with the learning rate ``lr``; its loss before the step -> scalar."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.accumulate(batch, seed)
        self.scaler.unscale_(self.optimizer)
        if self.options.grad_clip > 0:
            nn.utils.clip_grad_norm_(self.weights, self.options.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.criterion.clamp()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss

    def accumulate(self, batch: Batch, seed: int) -> Tensor:
        """Adds the gradients of the loss of all ranks' pairs together, and returns it -> scalar.

        ``seed`` drives dropout.
        """
        self._wrap_trainable_weights()
        size = self.options.micro_batch
        if size is None or len(batch.image_index) <= size:
            torch.manual_seed(seed)
            loss = self._loss(batch, *self._encoder(batch))
            torch.autograd.backward(self.scaler.scale(loss))
            return loss.detach()
        return self._accumulate_in_parts(batch, _parts(batch, size), seed)

    def _accumulate_in_parts(self, batch: Batch, parts: list[Batch], seed: int) -> Tensor:
        """``accumulate`` with the activations of one micro-batch in memory (GradCache, Gao 2021).

        Features of all micro-batches without gradients; the loss and its gradient with respect to
        the features; then each micro-batch again, with the same dropout and that gradient.
        """
        with torch.no_grad(), _running_statistics_kept(self.model):
            encoded = [self._encode_part(part, seed, i) for i, part in enumerate(parts)]
        images, captions = (
            torch.cat(features).requires_grad_() for features in zip(*encoded, strict=True)
        )
        loss = self._loss(batch, images, captions)
        torch.autograd.backward(self.scaler.scale(loss))
        assert images.grad is not None
        assert captions.grad is not None
        of_images = torch.split(images.grad, [len(part.image_index) for part in parts])
        of_captions = torch.split(captions.grad, [len(part.tokens) for part in parts])
        for number, gradients in enumerate(zip(of_images, of_captions, strict=True)):
            last = number == len(parts) - 1
            with contextlib.nullcontext() if last else distributed.without_sum(self._encoder):
                features = self._encode_part(parts[number], seed, number)
                torch.autograd.backward(features, gradients)
        return loss.detach()

    def _encode_part(self, part: Batch, seed: int, number: int) -> tuple[Tensor, Tensor]:
        torch.manual_seed(derive_seed(seed, number))
        features: tuple[Tensor, Tensor] = self._encoder(part)
        return features

    def _wrap_trainable_weights(self) -> None:
        """Wraps the encoder anew where other stages of the backbone are trainable than before."""
        trainable = [weight.requires_grad for weight in self.model.parameters()]
        if trainable == self._trainable:
            return
        self._trainable, self._encoder = trainable, self.pairs
        gc.collect()  # the earlier wrapper would still sum gradients
        unused = self.model.text_encoder.may_leave_weights_unused
        self._encoder = distributed.parallel(self.pairs, some_unused=unused)

    def _loss(self, batch: Batch, images: Tensor, captions: Tensor) -> Tensor:
        """The mean loss of the batches that the first, the second ... captions make."""
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


def _parts(batch: Batch, size: int) -> list[Batch]:
    pairs = len(batch.image_index)

    def part(start: int) -> Batch:
        rows = {}
        for name, field in batch._asdict().items():
            if field is not None:
                rows_a_pair = len(field) // pairs
                rows[name] = field[start * rows_a_pair : (start + size) * rows_a_pair]
        return batch._replace(**rows)

    return [part(start) for start in range(0, pairs, size)]


@contextlib.contextmanager
def _running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch normalisation uses the statistics of the batch, and its running ones stay."""
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
