"""Work on all cores that is stopped or loses a process."""

import os
import select
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.multiprocessing import reductions

from galr.common.errors import RunError
from galr.common.parallel import in_processes
from galr.common.processes import death_of_loader, end_with_launcher
from tests.tiny import ROOT


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


class Gone:
    """The end of a socket whose process was killed."""

    def detach(self):
        raise ConnectionResetError(104, "Connection reset by peer")


def test_a_loader_that_dies_while_its_batch_is_fetched_is_said():
    with pytest.raises(ConnectionResetError) as caught:
        reductions.rebuild_storage_fd(torch.UntypedStorage, Gone(), 4)
    assert "a process that loads images has died" in str(death_of_loader(caught.value))
    assert death_of_loader(ConnectionResetError(104, "of another socket")) is None


@pytest.mark.skipif(
    sys.platform != "linux", reason="no other system ends a process with its parent"
)
def test_a_rank_ends_with_its_launcher(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    readable, writable = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        if os.fork() == 0:
            end_with_launcher()
            os.write(writable, b"x")
        signal.pause()
    os.close(writable)
    assert os.read(readable, 1) == b"x"
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    assert select.select([readable], [], [], 10)[0]
    assert os.read(readable, 1) == b""  # nobody holds the other end
    os.close(readable)


CHILD = """
import time
from galr.common.processes import end_with_parent
end_with_parent()
print("started", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys
from galr.common.processes import with_parent
subprocess.run([sys.executable, "-c", {CHILD!r}], env=with_parent())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends such a child")
def test_a_killed_process_takes_its_child_along():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout.readline() == b"started\n"
        began = time.monotonic()
        parent.kill()
        assert parent.stdout.read() == b""  # until the child has ended
    assert time.monotonic() - began < 25  # of 60
