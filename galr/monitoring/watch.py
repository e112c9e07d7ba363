"""Detects failing training: stops at NaN and infinity, warns once about the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from galr.common import distributed
from galr.common.errors import RunError

logger = logging.getLogger(__name__)

# Untrained models have a larger standard deviation of similarities than this; below it, rounding to
# bfloat16 alone would determine the order.
ALIKE = 0.001
# The first epoch's mean includes the initial losses, so if none of three later epochs is 1 % lower,
# nothing was learned; 50 % above the lowest mean is not noise.
EPOCHS, FALL, RISE = 3, 0.99, 1.5
# Adam moves each weight by about the rate: here a tenth of a typical weight; 0.001 is usual.
STEP = 0.1


class Watch:
    """Watches one fold. ``images``: names by the indices of batches; ``lr``: the peak rate."""

    def __init__(self, images: Sequence[str], optimizer: torch.optim.Optimizer, lr: float) -> None:
        self.images, self.optimizer = images, optimizer
        self._batches: list[tuple[Tensor, Tensor]] = []  # since the last check, and one before it
        self._said: set[str] = set()
        steps = [
            lr * group.get("share", 1.0) / weight.detach().square().mean().sqrt()
            for group in optimizer.param_groups
            for weight in group["params"]
            if weight.dim() > 1
        ]
        self._is_coarse = bool(steps) and float(torch.stack(steps).median()) > STEP

    def add(self, loss: Tensor, image_index: Tensor) -> None:
        """Remembers the loss of a batch until ``check`` reads it."""
        self._batches.append((loss, image_index))

    def check(self, place: str, **tensors: Sequence[Tensor]) -> None:
        """Raises RunError if a loss since the last call or one of ``tensors`` is not finite."""
        losses = torch.stack([loss for loss, _ in self._batches])
        found = {"loss": list(losses)} | tensors
        for what, each in found.items():
            finite = [bool(torch.isfinite(x).all()) for x in each]
            if not all(finite):
                _, index = self._batches[finite.index(False) if what == "loss" else -1]
                rows = distributed.gather_rows(index, distributed.rows_of_all(index)).tolist()
                names = list(dict.fromkeys(self.images[row] for row in rows))
                raise RunError(
                    place,
                    f"NaN or infinity in the {what}, first seen in the batch of {len(names)} "
                    f"images starting with {', '.join(names[:5])}",
                    "check these, lower optim.lr or set optim.grad_clip; the last checkpoint is "
                    "unchanged",
                )
        del self._batches[:-1]

    def warn(self, history: Sequence[Mapping[str, float]], spread: float, warming: bool) -> None:
        """Warns once about each problem in ``history`` (rows of log.csv) or the gradients.

        ``spread``: standard deviation of the validation similarities; ``warming``: during warmup.
        """
        losses = [row["loss"] for row in history]
        still = not any(
            bool(weight.grad.any())
            for group in self.optimizer.param_groups
            for weight in group["params"]
            if weight.grad is not None
        )
        seen = {
            "all similarities are nearly equal, so retrieval is random": spread < ALIKE,
            "the gradients of the last step are zero, so nothing is being learned": (
                still and self._batches[-1][0].item() > 0  # a loss of zero has no gradient
            ),
            f"the loss has not fallen in {EPOCHS} epochs": (
                not warming and len(losses) > EPOCHS and min(losses[1:]) > FALL * losses[0]
            ),
            "the loss or the weights jump: the learning rate is probably too high": (
                self._is_coarse or losses[-1] > RISE * min(losses)
            ),
        }
        for what in [each for each, is_so in seen.items() if is_so and each not in self._said]:
            self._said.add(what)
            logger.warning("epoch %d: %s (docs/training.md)", len(losses) - 1, what)
