"""The exponential moving average of the weights, which is evaluated in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """average = d average + (1 - d) weights after each step, over parameters and buffers.

    d grows from 0 to ``decay`` as min(decay, (1 + steps) / (10 + steps)), so that the start is
    soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay, self.steps = model, decay, 0
        self.average = {name: value.clone() for name, value in self._current().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights after a step in."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        current = self._current()
        averaged = [name for name, value in current.items() if value.is_floating_point()]
        torch._foreach_lerp_(
            [self.average[name] for name in averaged], [current[name] for name in averaged],
            1 - decay,
        )  # fmt: skip
        for name in current.keys() - set(averaged):  # counters of batch normalisation
            self.average[name].copy_(current[name])

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the model holds the average, afterwards its own weights again."""
        own = {name: value.clone() for name, value in self._current().items()}
        try:
            self._put(self.average)
            yield
        finally:
            self._put(own)

    def statistics(self) -> list[Tensor]:
        """The averages of buffers, which are those of this rank's batches alone."""
        buffers = dict(self.model.named_buffers())
        return [value for name, value in self.average.items() if name in buffers]

    def state_dict(self) -> dict[str, Any]:
        """The average, and how many steps it is of."""
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what ``state_dict`` gave."""
        for name, value in self.average.items():
            value.copy_(state["average"][name])
        self.steps = state["steps"]

    def _current(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.model.state_dict()
        return state

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, value in self._current().items():
            value.copy_(values[name])
