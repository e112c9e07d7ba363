"""Processes that answer at one port, which uvicorn watches over."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from galr.common.errors import UserError
from galr.common.processes import cores
from galr.serving.guard import Guard
from galr.serving.logs import LogFormat, start_logging
from galr.serving.metrics import SHARED, forget_process
from galr.serving.server import Server, config_of

logger = logging.getLogger(__name__)

PAUSE = 1.0  # seconds before a worker that has died is started anew
START_SECONDS = 300  # that a worker may take until it answers
REMEDY = "see its message above, if any; each worker needs memory for its own model"


def run_workers(
    make: Callable[[], Guard],
    listening: socket.socket,
    started: Callable[[], None],
    workers: int,
    log: LogFormat,
) -> None:
    """Answers in several processes by the application that ``make`` gives, which is sent to each.

    ``started`` is called once all of them take requests. One that dies is started anew. SIGHUP
    replaces them one after the other by new ones, which make the application anew, while the others
    answer. Raises UserError where the first do not start, for the reason that they have written.
    """
    with tempfile.TemporaryDirectory(prefix="galr-metrics-") as shared:
        os.environ[SHARED] = shared
        try:
            _Workers(_InWorker(make, workers, log), listening, started).run()
        finally:
            del os.environ[SHARED]


@dataclass(frozen=True)
class _InWorker:
    """The application in a process of its own, which ends with the one that started it."""

    make: Callable[[], Guard]
    workers: int
    log: LogFormat

    def __call__(self) -> Guard:
        start_logging(self.log)
        torch.set_num_threads(max(1, cores() // self.workers))
        threading.Thread(target=_follow_parent, daemon=True).start()
        try:
            return self.make()
        except UserError as error:
            logger.error("error: %s", error)
            sys.exit(STARTUP_FAILURE)


class _Worker(Process):
    """A process that answers."""

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """What it does."""
        self._server = Server(self.config)
        super().target(sockets)


class _Workers(Multiprocess):
    """Workers that share a port; they have failed where one of the first does not start."""

    def __init__(
        self, app: _InWorker, listening: socket.socket, started: Callable[[], None]
    ) -> None:
        super().__init__(config_of(app, factory=True, workers=app.workers), [listening])
        self._started, self._failed = started, ""

    def run(self) -> None:
        """Until SIGTERM or Ctrl-C."""
        super().run()
        if self._failed:
            raise UserError("--workers", f"a worker did not start {self._failed}", REMEDY)

    def init_processes(self) -> None:
        """Starts the workers, and waits for them."""
        self.processes = [self._begin() for _ in range(self.processes_num)]
        if all(map(self._is_ready, self.processes)):
            self._started()
        else:
            if not self._is_ending():
                ended = [worker.exitcode for worker in self.processes if worker.exitcode]
                self._failed = f"within {START_SECONDS} seconds"
                if ended:
                    self._failed = f"(exit status {ended[0]})"
            self.should_exit.set()

    def keep_subprocess_alive(self) -> None:
        """Replaces those that have died."""
        for place, worker in enumerate(self.processes):
            if worker.process.is_alive() or self.should_exit.is_set():
                continue
            logger.error("worker %s ended with %s: starting another", worker.pid, worker.exitcode)
            forget_process(worker.pid)
            self.should_exit.wait(PAUSE)
            self.processes[place] = self._begin()

    def restart_all(self) -> None:
        """Replaces all, one after the other."""
        for place, old in enumerate(self.processes):
            new = self._begin()
            if not self._is_ready(new):
                new.kill()
                new.join()
                if not self._is_ending():
                    logger.error("a new worker did not start: keeping the earlier ones")
                return
            self.processes[place] = new
            old.terminate()
            old.join()
            forget_process(old.pid)

    def terminate_all(self) -> None:
        """Has all of them end, which take what is in the queue of the port to the last."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def _begin(self) -> Process:
        worker = _Worker(self.config, self.sockets)
        worker.start()
        return worker

    def _is_ready(self, worker: Process) -> bool:
        """Waits until it takes requests: True; False where it, or this process, is ending."""
        for _ in range(START_SECONDS):
            if worker.wait_until_ready(1):
                return True
            if self._is_ending() or not worker.process.is_alive():
                return False
        return False

    def _is_ending(self) -> bool:
        return bool({signal.SIGTERM, signal.SIGINT} & set(self.signal_queue))


def _follow_parent() -> None:
    """Ends this process, as by SIGTERM, when the one that started it has gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
