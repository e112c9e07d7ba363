"""Helper processes that decode images: how they start and how they end."""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections.abc import Iterator


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def leave_interrupts_to_parent(*_: object) -> None:
    """Called first in a helper: Ctrl-C reaches the whole terminal, the parent ends its helpers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Without Python 3.12's warning of a fork beside threads: ours touch no lock of theirs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
