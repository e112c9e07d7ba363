"""Helper processes that decode images: how they start and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator

from galr.common.errors import RunError


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def leave_interrupts_to_parent(*_: object) -> None:
    """Called first in a helper: Ctrl-C reaches the whole terminal, the parent ends its helpers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the parent does so


def death_of_loader(error: BaseException) -> RunError | None:
    """What to say where ``error`` is torch's report of a dead loader process.

    It comes by a signal, and so in the midst of anything.
    """
    if not isinstance(error, RuntimeError) or "DataLoader worker" not in str(error):
        return None
    return RunError(
        "dataset.workers",
        f"a process that loads images has died ({error})",
        "lower it (0 needs no shared memory), or give more memory (Docker: --shm-size)",
    )


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Without Python 3.12's warning of a fork beside threads: ours touch no lock of theirs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
