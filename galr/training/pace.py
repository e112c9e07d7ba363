"""How far a fold's training is: in epochs, or in seconds of the processor."""

from __future__ import annotations

import resource
from collections.abc import Callable

from galr.options import OptimOptions


def cpu_seconds() -> float:
    """Processor time of this process and of its finished children since it began."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Pace:
    """The share of the training that is done.

    Without ``optim.budget_seconds`` it is counted in steps of ``optim.epochs`` epochs. With it, in
    processor seconds since ``started``, which is when the fold (the process, for the first one)
    began: set-up and validations count, and the training stops in the middle of an epoch.
    """

    def __init__(
        self, options: OptimOptions, started: float = 0.0, clock: Callable[[], float] = cpu_seconds
    ) -> None:
        self.budget, self.epochs = options.budget_seconds, options.epochs
        self.clock, self.started = clock, started

    @property
    def seconds(self) -> float:
        """Processor seconds of the fold so far."""
        return self.clock() - self.started

    def resume(self, seconds: float) -> None:
        """Counts ``seconds`` of an earlier run in."""
        self.started -= seconds

    def done(self, epoch: int, share_of_epoch: float = 0.0) -> float:
        """The share of the training in [0, 1], so far into ``epoch`` (from 0)."""
        if self.budget is None:
            return min((epoch + share_of_epoch) / self.epochs, 1.0)
        return min(self.seconds / self.budget, 1.0)

    @property
    def is_spent(self) -> bool:
        """Whether there is a budget, and nothing is left of it."""
        return self.budget is not None and self.seconds >= self.budget
