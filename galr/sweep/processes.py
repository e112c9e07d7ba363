"""Processes of a sweep, which end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from galr.common.processes import PARENT

PATIENCE = 30.0  # seconds that a process has to write what it holds
_started: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


def run_alone(command: Sequence[str], log: IO[str], environment: Mapping[str, str]) -> int:
    """Runs ``command`` with its output in ``log``; its exit status, that of SIGTERM once the sweep
    ends."""
    if _ending.is_set():
        return -signal.SIGTERM
    environment = {**environment, PARENT: str(os.getpid())}  # or it would go on, if this is killed
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    _started.add(process)
    try:
        return process.wait()
    finally:
        _started.discard(process)


@contextlib.contextmanager
def ending_started() -> Iterator[None]:
    """Where the block raises, by Ctrl-C or SIGTERM too, what was started is ended first."""
    _ending.clear()
    try:
        yield
    except BaseException:
        _ending.set()
        for process in list(_started):
            process.terminate()
        for process in list(_started):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
        raise
