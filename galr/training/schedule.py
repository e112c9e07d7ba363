"""Learning rate and time budget: functions of how far the training is."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from galr.common import distributed
from galr.options import OptimOptions, Options


class TrainingBudget:
    """The share of the training that is done.

    Without ``optim.budget_seconds`` it is counted in steps of ``optim.epochs`` epochs. With it, in
    CPU seconds since ``started``, which is when the fold (the process, for the first fold) began:
    set-up and validation count, except the last validation, and training stops in the middle of an
    epoch.
    """

    def __init__(
        self,
        options: OptimOptions,
        started: float = 0.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """``clock``: ``cpu_seconds`` by default."""
        self.limit, self.epochs = options.budget_seconds, options.epochs
        self.clock, self.started = clock or cpu_seconds, started

    @property
    def seconds(self) -> float:
        """CPU seconds of the fold so far."""
        return self.clock() - self.started

    def resume(self, seconds: float) -> None:
        """Adds the ``seconds`` of an earlier run."""
        self.started -= seconds

    def done(self, epoch: int, share_of_epoch: float = 0.0) -> float:
        """The share of the training in [0, 1] that is done at a point of ``epoch`` (from 0)."""
        if self.limit is None:
            return min((epoch + share_of_epoch) / self.epochs, 1.0)
        return min(self.seconds / self.limit, 1.0)

    @property
    def is_spent(self) -> bool:
        """Whether there is a time budget and nothing is left of it."""
        return self.limit is not None and self.seconds >= self.limit


class Schedule:
    """What changes during the training of a fold, the same on all ranks.

    ``steps``: optimizer steps in an epoch.
    """

    def __init__(
        self, options: Options, budget: TrainingBudget, steps: int, device: torch.device
    ) -> None:
        self.optim = options.optim
        self.budget, self.steps, self.device = budget, steps, device

    def done(self, epoch: int) -> float:
        """The share of the training in [0, 1] that is done when ``epoch`` starts."""
        return distributed.from_main(self.budget.done(epoch), self.device)

    def learning_rates(self, epoch: int) -> Iterator[float]:
        """The learning rate of each step of ``epoch``; ends early where the time budget is spent.

        Every epoch has one step at least.
        """
        for step in range(self.steps):
            done = self.budget.done(epoch, step / self.steps)
            if self.budget.limit is not None:
                done = distributed.from_main(done, self.device)
                if done >= 1 and step > 0:
                    return
            yield learning_rate(self.optim, epoch, done)

    @property
    def seconds(self) -> float:
        """CPU seconds of the fold so far, those of rank 0."""
        return distributed.from_main(self.budget.seconds, self.device)

    @property
    def is_spent(self) -> bool:
        """Whether there is a time budget and nothing is left of it."""
        if self.budget.limit is None:
            return False
        return distributed.from_main(float(self.budget.is_spent), self.device) > 0


def step_schedule(epoch: int, lr: float, update_epoch: int, decay: float) -> float:
    """The learning rate of ``epoch`` (from 0): multiplied by ``decay`` every ``update_epoch``.

    As the released code does, the first decay comes at the *start* of epoch ``update_epoch - 1``,
    one epoch earlier than its name says.
    """
    return lr * decay ** ((epoch + 1) // update_epoch)


def cosine_schedule(done: float, lr: float, final: float) -> float:
    """The learning rate after the share ``done`` of the training: half a cosine, lr to final lr."""
    return lr * (final + (1 - final) * (1 + math.cos(math.pi * done)) / 2)


def learning_rate(options: OptimOptions, epoch: int, done: float) -> float:
    """The rate of a step of ``epoch``, with the share ``done`` in [0, 1] of the training behind it.

    During the first ``optim.warmup`` of the training it rises linearly. With a budget of seconds
    the schedule by epochs is laid over it: epoch e of ``optim.epochs`` is that share of the budget.
    """
    if done < options.warmup:
        return options.lr * done / options.warmup
    if options.budget_seconds is not None:
        epoch = min(int(done * options.epochs), options.epochs - 1)
    if options.schedule == "step":
        return step_schedule(epoch, options.lr, options.lr_update_epoch, options.lr_decay_param)
    after_warmup = (done - options.warmup) / (1 - options.warmup)
    return cosine_schedule(min(after_warmup, 1.0), options.lr, options.lr_final)


def cpu_seconds() -> float:
    """CPU time of this process and of its children, which load images, since it began.

    Children that still run are counted where there is a /proc (Linux).
    """
    living = sum(_seconds_of(child.pid) for child in multiprocessing.active_children())
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + living


def _seconds_of(process: int | None) -> float:
    """CPU time of a running process; 0 where the system does not report it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # the second field, the name in brackets, may hold spaces; times are the 14th and 15th
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
