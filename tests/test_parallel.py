"""Work on all cores that is stopped or loses a process."""

import os
import signal
import time

import pytest

from galr.common.errors import RunError
from galr.common.parallel import in_processes


def doubled(item):
    return 2 * item


def killed(item):
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def slow(item):
    time.sleep(0.05)
    return item


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr("galr.common.parallel.cores", lambda: 2)


def test_results_are_in_order():
    assert list(in_processes(doubled, range(20), "work", chunk=3, alone=4)) == list(range(0, 40, 2))


def test_a_killed_process_is_said():
    with pytest.raises(RunError, match="work: one of the processes that do it was killed"):
        list(in_processes(killed, range(20), "work", chunk=1, alone=4))


def test_stopping_does_not_wait_for_what_is_left():
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - within the loop
        results = in_processes(slow, range(2000), "work", chunk=1, alone=4)
        next(results)
        results.throw(KeyboardInterrupt())
    assert time.monotonic() - began < 25  # of 50
