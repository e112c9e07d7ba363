"""Helper processes that decode images: how they start and how they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator

from galr.common.errors import RunError

_SET_DEATH_SIGNAL = 1  # of prctl
PARENT = "GALR_PARENT"  # in the environment of a process that must not outlive its parent: that one


def with_parent() -> dict[str, str]:
    """The environment of a child that is killed when this process dies, even by SIGKILL."""
    return {**os.environ, PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Called first in such a child; the kernel then sees to it (Linux alone)."""
    parent = os.environ.pop(PARENT, None)
    if parent is None:
        return
    _be_killed_with_parent()
    if os.getppid() != int(parent):  # it has died already
        sys.exit(1)


def end_with_launcher() -> None:
    """Called first in what may be a rank: torchrun that is killed leaves its ranks waiting."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _be_killed_with_parent()


def _be_killed_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


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

    It comes by a signal, and so in the midst of anything, or from the socket by which a batch that
    the process has announced is fetched.
    """
    told = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
    if not told and not (isinstance(error, OSError | EOFError) and _fetches_a_batch(error)):
        return None
    return RunError(
        "dataset.workers",
        f"a process that loads images has died ({error})",
        "lower it (0 needs no shared memory), or give more memory (Docker: --shm-size)",
    )


def _fetches_a_batch(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(
        frame.f_globals.get("__name__") == "torch.multiprocessing.reductions" for frame, _ in frames
    )


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Without Python 3.12's warning of a fork beside threads: ours touch no lock of theirs."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        yield
