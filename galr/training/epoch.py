"""One pass over the training pairs of a fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    device: torch.device,
    *,
    learning_rate: Callable[[int], float | None],
    after_step: Callable[[], None],
    progress: Progress,
    print_freq: int,
    seed: int,
) -> EpochFigures:
    """Trains on ``batches`` once, or until ``learning_rate`` of a step is None.

    ``seed`` drives dropout, so that an epoch is a function of the weights before it alone. Raises
    RunError when the loss is no longer a number.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    rate = 0.0
    for step, batch in enumerate(batches):
        next_rate = learning_rate(step)
        if next_rate is None:
            break
        rate = next_rate
        total += training.step(batch.to(device), rate, derive_seed(seed, step))
        after_step()
        progress.advance(distributed.rows_of_all(batch.image_index))
        if step % print_freq == 0:  # reading the loss waits for the device
            _check_finite(total, progress)
            progress.show(loss=total.item() / progress.done)
    _check_finite(total, progress)
    return EpochFigures(total.item() / max(progress.done, 1), progress.rate, rate)


def _check_finite(total: Tensor, progress: Progress) -> None:
    if not torch.isfinite(total):
        raise RunError(
            progress.title,
            f"the loss is {total.item()} after {progress.done} pairs",
            "lower optim.lr or set optim.grad_clip; the last checkpoint is as it was",
        )
