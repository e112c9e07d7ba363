"""The learning rate as a function of the epoch, so that nothing of it needs to be stored."""

from __future__ import annotations


def step_schedule(epoch: int, lr: float, update_epoch: int, decay: float) -> float:
    """The learning rate of ``epoch`` (from 0): multiplied by ``decay`` every ``update_epoch``.

    As the released code does, the first decay comes at the *start* of epoch ``update_epoch - 1``,
    one epoch earlier than its name says.
    """
    return lr * decay ** ((epoch + 1) // update_epoch)
