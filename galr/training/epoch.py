"""One epoch: every batch of the training pairs through the training step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from galr.common import distributed
from galr.common.errors import RunError
from galr.common.progress import Progress
from galr.common.seeding import derive_seed
from galr.data.batches import Batch
from galr.training.step import TrainingStep


class EpochFigures(NamedTuple):
    """What one epoch of training came to."""

    loss: float  # mean over the pairs of the epoch
    images_per_second: float
    lr: float  # of the last step


def train_one_epoch(
    training: TrainingStep,
    batches: Iterable[Batch],
    learning_rates: Iterable[float],
    device: torch.device,
    progress: Progress,
    *,
    print_freq: int,
    seed: int,
) -> EpochFigures:
    """Trains on ``batches``, a step each, until they or ``learning_rates`` end.

    ``seed`` drives dropout, so that an epoch is a function of the weights before it. Raises
    RunError when the loss is NaN or infinite.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    lr = 0.0
    for step, (batch, rate) in enumerate(zip(batches, learning_rates, strict=False)):
        lr = rate
        total += training.step(batch.to(device), lr, derive_seed(seed, step))
        progress.advance(distributed.rows_of_all(batch.image_index))
        if step % print_freq == 0:  # reading the loss waits for the device
            _check_finite(total, progress)
            progress.show(loss=total.item() / progress.done)
    _check_finite(total, progress)
    return EpochFigures(total.item() / max(progress.done, 1), progress.rate, lr)


def _check_finite(total: Tensor, progress: Progress) -> None:
    if not torch.isfinite(total):
        raise RunError(
            progress.title,
            f"the loss is {total.item()} after {progress.done} pairs",
            "lower optim.lr or set optim.grad_clip; the last checkpoint is unchanged",
        )
