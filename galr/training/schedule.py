"""Progress of a training, its learning rate and its time budget."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import resource
import time
from pathlib import Path

import torch

from galr.common import distributed
from galr.options import OptimOptions

_STARTED = time.monotonic()


class Schedule:
    """Progress, learning rate and time budget of a fold.

    Progress is the share of the training that is done, in [0, 1]: of the steps of ``optim.epochs``
    epochs or, with ``optim.budget_seconds``, of the seconds that set-up leaves of it, by the clock
    that ``budget_clock`` names. The budget counts from ``started``, a reading of that clock, all
    but the last validation, and may end in the middle of an epoch. All ranks follow rank 0.
    """

    def __init__(self, options: OptimOptions, device: torch.device, started: float = 0.0) -> None:
        self.options, self.device, self.started = options, device, started
        self.setup = self._earlier = 0.0  # seconds of set-up, and of training before this run

    def resume(self, seconds: float, setup: float) -> None:
        """Adds the ``seconds`` of an earlier run, of which ``setup`` were its set-up."""
        self.started -= seconds
        self.setup = setup
        self._earlier = seconds - setup

    def begin(self) -> None:
        """What was spent up to now, but for the training of earlier runs, was set-up."""
        self.setup = clock(self.options) - self.started - self._earlier

    @property
    def seconds(self) -> float:
        """Seconds of the fold so far, by the clock of its budget."""
        return distributed.from_main(clock(self.options) - self.started, self.device)

    @property
    def is_spent(self) -> bool:
        """Whether there is a time budget and it is used up."""
        limit = self.options.budget_seconds
        return limit is not None and self.seconds >= limit

    def progress(self, epoch: int = 0, share: float = 0.0) -> float:
        """The progress when ``share`` of ``epoch`` (from 0) is done."""
        own = self.own_progress(epoch, share)
        if self.options.budget_seconds is None:
            return own
        return distributed.from_main(own, self.device)

    def own_progress(self, epoch: int, share: float) -> float:
        """``progress`` by this rank's clock, for loaders, which prefetch at their own pace."""
        limit = self.options.budget_seconds
        if limit is None:
            return min((epoch + share) / self.options.epochs, 1.0)
        seconds = clock(self.options) - self.started
        return 1.0 if seconds >= limit else (seconds - self.setup) / (limit - self.setup)

    def learning_rate(self, epoch: int, share: float = 0.0) -> float:
        """The learning rate of a step when ``share`` of ``epoch`` is done."""
        return learning_rate(self.options, epoch, self.progress(epoch, share))


def step_schedule(epoch: int, lr: float, update_epoch: int, decay: float) -> float:
    """The learning rate of ``epoch`` (from 0): multiplied by ``decay`` every ``update_epoch``.

    As the released code does, the first decay comes at the *start* of epoch ``update_epoch - 1``,
    one epoch earlier than its name says.
    """
    return lr * decay ** ((epoch + 1) // update_epoch)


def cosine_schedule(progress: float, lr: float, final: float) -> float:
    """The learning rate at ``progress`` in [0, 1]: half a cosine from lr to final lr."""
    return lr * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)


def learning_rate(options: OptimOptions, epoch: int, progress: float) -> float:
    """The learning rate of a step of ``epoch`` at ``progress`` in [0, 1].

    It rises linearly during the first ``optim.warmup`` of the training. A schedule by epochs is
    stretched over a time budget: epoch e of ``optim.epochs`` is that share of the budget.
    """
    if progress < options.warmup:
        return options.lr * progress / options.warmup
    if options.budget_seconds is not None:
        epoch = min(int(progress * options.epochs), options.epochs - 1)
    if options.schedule == "step":
        return step_schedule(epoch, options.lr, options.lr_update_epoch, options.lr_decay_param)
    after_warmup = (progress - options.warmup) / (1 - options.warmup)
    return cosine_schedule(min(after_warmup, 1.0), options.lr, options.lr_final)


def clock(options: OptimOptions) -> float:
    """The current reading of ``optim.budget_clock``."""
    # the program starts a moment before this module is imported
    return cpu_seconds() if options.budget_clock == "cpu" else time.monotonic() - _STARTED


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
