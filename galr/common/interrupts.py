"""Ctrl-C and SIGTERM: a command stops in order, whoever swallows the exception that says so."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FORCED = 4  # so many signals end a command that does not come to its end


class _State:
    """What came since ``stoppable`` began in process ``owner``."""

    owner = 0
    first: int = 0  # the signal
    count = 0


_state = _State()


def told() -> str:
    """``stopped by Ctrl-C``, or by the signal that came."""
    return "stopped by SIGTERM" if _state.first == signal.SIGTERM else "stopped by Ctrl-C"


def status() -> int:
    """The exit status of a command that was stopped."""
    return 128 + (_state.first or signal.SIGINT)


def came() -> bool:
    """Whether the command is to stop."""
    return _state.first != 0 and _state.owner == os.getpid()


def check() -> None:
    """Raises KeyboardInterrupt where one came and was lost on its way.

    Numpy, destructors and callbacks of C drop exceptions. Loops call this once a round.
    """
    if came() and not _is_under_way():
        raise KeyboardInterrupt(told())


@contextlib.contextmanager
def stoppable(*, is_script: bool = False) -> Iterator[None]:
    """Within it both signals raise KeyboardInterrupt, and more of them let it clean up.

    Only in the main thread; elsewhere, and inside another one, it does nothing. After a script
    they end the process, which only clears up by then.
    """
    if came() or _state.owner == os.getpid():
        yield
        return
    before: dict[int, Any] = {}
    hooks, is_held = (sys.unraisablehook, sys.excepthook), False
    with contextlib.suppress(ValueError):  # in another thread
        for number in SIGNALS:
            # what nohup or a shell has put out of reach stays so
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, _stop)
        _state.owner, _state.first, _state.count = os.getpid(), 0, 0
        is_held = True
        sys.unraisablehook, sys.excepthook = _without_interrupts, _without_echoes
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = hooks
        for which, handler in before.items():
            signal.signal(which, signal.SIG_DFL if is_script else handler)
        if is_held:
            _state.owner, _state.first = 0, 0


def _stop(number: int, _: FrameType | None) -> None:
    if _state.owner != os.getpid():  # in a fork that has not chosen its own way yet
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        return
    _state.first = int(_state.first or number)
    _state.count += 1
    if _state.count >= FORCED:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    if not _is_under_way():
        raise KeyboardInterrupt(told())


def _is_under_way() -> bool:
    """Whether a KeyboardInterrupt is just being handled by one of the callers."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _without_interrupts(unraisable: Any) -> None:  # noqa: ANN401 - sys.UnraisableHookArgs
    """Says nothing in a destructor of an interruption, nor of a loader's death by torch's handler.

    ``check`` and the loader raise them again.
    """
    if not _is_known(unraisable.exc_value):
        sys.__unraisablehook__(unraisable)


def _without_echoes(kind: type[BaseException], error: BaseException, trace: Any) -> None:  # noqa: ANN401
    """The same where Cython prints what a destructor raises, as those of h5py do."""
    if not _is_known(error):
        sys.__excepthook__(kind, error, trace)


def _is_known(error: BaseException | None) -> bool:
    """Whether it is raised elsewhere too: a file of HDF5 that cannot be closed could not be written
    before."""
    known = ("DataLoader worker", "Can't decrement id ref count")
    return isinstance(error, KeyboardInterrupt) or any(each in str(error) for each in known)
