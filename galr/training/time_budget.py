"""How far a fold's training is: in epochs, or in seconds of the processor."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path

from galr.options import OptimOptions


def cpu_seconds() -> float:
    """Processor time of this process and of its children since it began.

    Children that still run, which load images, are counted where there is a /proc (Linux).
    """
    living = sum(_seconds_of(child.pid) for child in multiprocessing.active_children())
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + living


def _seconds_of(process: int | None) -> float:
    """Processor time of a process that runs; 0 where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # the second field, the name in brackets, may hold spaces; times are the 14th and 15th
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


class Pace:
    """The share of the training that is done.

    Without ``optim.budget_seconds`` it is counted in steps of ``optim.epochs`` epochs. With it, in
    processor seconds since ``started``, which is when the fold (the process, for the first one)
    began: set-up and validations count but for the last validation, and the training stops in the
    middle of an epoch.
    """

    def __init__(
        self,
        options: OptimOptions,
        started: float = 0.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``clock`` of None is ``cpu_seconds``."""
        self.budget, self.epochs = options.budget_seconds, options.epochs
        self.clock, self.started = clock or cpu_seconds, started

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
