"""One pass over the training pairs of a fold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from galr.data.dataset import Batch
from galr.data.transforms import normalise
from galr.errors import RunError
from galr.model.galr import GaLR
from galr.options import OptimOptions
from galr.progress import Progress
from galr.training.loss import triplet_loss


class EpochFigures(NamedTuple):
    """What one epoch of training came to."""

    loss: float  # mean over the pairs of the epoch
    images_per_second: float


def batch_loss(model: GaLR, batch: Batch, options: OptimOptions) -> Tensor:
    """The summed triplet loss of a batch that is on the model's device -> scalar."""
    similarity = model(
        normalise(batch.images), batch.representation, batch.adjacency, batch.tokens, batch.lengths
    )  # (B, B)
    ignore = None
    if options.same_image == "ignore":
        ignore = batch.image_index[:, None] == batch.image_index[None, :]
    return triplet_loss(similarity, options.margin, options.max_violation, ignore)


def train_one_epoch(
    model: GaLR,
    batches: Iterable[Batch],
    optimizer: Optimizer,
    options: OptimOptions,
    *,
    progress: Progress,
    print_freq: int,
    seed: int,
) -> EpochFigures:
    """Trains ``model`` on ``batches`` once.

    ``seed`` drives dropout, so that an epoch is a function of the
    weights before it alone. Raises RunError when the loss is no longer a number.
    """
    device = next(model.parameters()).device
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.train()
    total = torch.zeros((), dtype=torch.float64, device=device)
    batches = iter(batches)  # starting the loader draws from the global generator
    torch.manual_seed(seed)
    for step, batch in enumerate(batches):
        loss = batch_loss(model, batch.to(device), options)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if options.grad_clip > 0:
            nn.utils.clip_grad_norm_(parameters, options.grad_clip)
        optimizer.step()
        total += loss.detach()
        progress.advance(len(batch.tokens))
        if step % print_freq == 0:  # reading the loss waits for the device
            _check_finite(total, progress)
            progress.show(loss=total.item() / progress.done)
    _check_finite(total, progress)
    return EpochFigures(total.item() / max(progress.done, 1), progress.rate)


def _check_finite(total: Tensor, progress: Progress) -> None:
    if not torch.isfinite(total):
        raise RunError(
            progress.title,
            f"the loss is {total.item()} after {progress.done} pairs",
            "lower optim.lr or set optim.grad_clip; the last checkpoint is as it was",
        )
