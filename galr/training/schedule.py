"""The learning rate as a function of how far the training is, so that nothing of it is stored."""

from __future__ import annotations

import math

from galr.options import OptimOptions


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
