"""The processes that answer at one address: one here, or several that are watched over."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import NamedTuple

import torch

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.common.processes import cores
from galr.search.archive import Archive
from galr.search.encoder import import_encoder
from galr.search.serve.app import create_app
from galr.search.serve.guard import Guard, Hosts
from galr.search.serve.limits import Limits
from galr.search.serve.logs import LogFormat, start_logging
from galr.search.serve.metrics import SHARED, forget_process
from galr.search.serve.objects import Objects
from galr.search.serve.server import server_of

logger = logging.getLogger(__name__)

SPARE_FILES = 256  # descriptors for all that is no connection
PAUSE = 1.0  # seconds before a worker that has died is started anew
START_SECONDS = 300  # that a worker may take to read its archive


class Recipe(NamedTuple):
    """All that a process needs to make the application."""

    archive: str
    images: str | Path | None
    local: str | Path | None
    device: str
    names: tuple[str, ...]
    is_open: bool
    log: LogFormat
    encoder: str | None = None

    def app(self) -> Guard:
        """The application with its archive, model and captions read; raises UserError."""
        archive = Archive.open(
            self.archive,
            images=self.images,
            device=choose_device(self.device),
            encoder=None if self.encoder is None else import_encoder(self.encoder),
        )
        objects = None if self.local is None else Objects(self.local, archive.manifest)
        _ = (
            archive.encoder,
            archive.captions,
        )  # now, so that nobody waits or is told of damage later
        limits = Limits()
        files = _descriptors(2 * limits.connections + SPARE_FILES)
        connections = min(limits.connections, (files - SPARE_FILES) // 2)
        hosts = Hosts(self.names, is_open=self.is_open)
        limits = limits._replace(connections=max(16, connections))
        return create_app(archive, objects=objects, hosts=hosts, limits=limits)


def run_here(recipe: Recipe, listening: socket.socket, started: Callable[[], None]) -> None:
    """Answers in this process until SIGTERM or Ctrl-C."""
    server = server_of(recipe.app())
    server.on_started = started
    # uvicorn raises the signal once more when it has ended; that was all that it was sent for
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[listening])


def run_workers(
    recipe: Recipe, listening: socket.socket, number: int, started: Callable[[], None]
) -> None:
    """Answers in ``number`` processes until SIGTERM or Ctrl-C.

    A worker that dies is started anew. SIGHUP replaces them one after the other by new ones, which
    open the archive as it is then, while the others answer. Raises UserError where the first do not
    start, for the reason that they have written.
    """
    with tempfile.TemporaryDirectory(prefix="galr-metrics-") as shared:
        os.environ[SHARED] = shared
        try:
            _Workers(recipe, listening, number).run(started)
        finally:
            del os.environ[SHARED]


class _Workers:
    def __init__(self, recipe: Recipe, listening: socket.socket, number: int) -> None:
        self._recipe, self._listening, self._number = recipe, listening, number
        self._processes = multiprocessing.get_context("spawn")
        self._workers: list[SpawnProcess] = []
        self._signals: list[int] = []
        self._woken, self._wake = self._processes.Pipe(duplex=False)

    def run(self, started: Callable[[], None]) -> None:
        handled = {
            one: signal.signal(one, self._note)
            for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        try:
            self._begin(started)
            while not self._is_ending():
                wait([self._woken, *(worker.sentinel for worker in self._workers)])
                if self._woken.poll():
                    self._woken.recv_bytes()
                if signal.SIGHUP in self._signals and not self._is_ending():
                    self._signals.clear()
                    self._replace_all()
                self._revive()
        finally:
            self._end()
            for one, handler in handled.items():
                signal.signal(one, handler)

    def _note(self, number: int, _: object) -> None:
        self._signals.append(number)
        self._wake.send_bytes(b".")

    def _is_ending(self) -> bool:
        return bool({signal.SIGTERM, signal.SIGINT} & set(self._signals))

    def _begin(self, started: Callable[[], None]) -> None:
        begun = [self._start() for _ in range(self._number)]
        self._workers = [worker for worker, _ in begun]
        for worker, ready in begun:
            if not self._is_ready(worker, ready):
                if self._is_ending():
                    return
                raise UserError("--workers", "a worker did not start", "see what it says above")
        started()

    def _start(self) -> tuple[SpawnProcess, Connection]:
        ready, tell = self._processes.Pipe(duplex=False)
        threads = max(1, cores() // self._number)
        worker = self._processes.Process(
            target=_work, args=(self._recipe, self._listening, tell, threads), daemon=False
        )
        worker.start()
        tell.close()
        return worker, ready

    def _is_ready(self, worker: SpawnProcess, ready: Connection) -> bool:
        """Waits until it takes requests: True; False where it, or this process, is ending."""
        until = time.monotonic() + START_SECONDS
        while not self._is_ending() and (left := until - time.monotonic()) > 0:
            found = wait([ready, worker.sentinel, self._woken], left)
            if ready in found:
                with contextlib.suppress(EOFError):
                    return bool(ready.recv_bytes())
            if worker.sentinel in found:
                return False
            if self._woken in found:
                self._woken.recv_bytes()
        return False

    def _replace_all(self) -> None:
        for place, old in enumerate(self._workers):
            new, ready = self._start()
            if not self._is_ready(new, ready):
                new.kill()
                new.join()
                logger.error("a new worker did not start: the earlier ones go on")
                return
            self._workers[place] = new
            old.terminate()
            old.join()
            forget_process(old.pid or 0)

    def _revive(self) -> None:
        for place, worker in enumerate(self._workers):
            if worker.is_alive() or self._is_ending():
                continue
            logger.error("worker %s has ended with %s: another begins", worker.pid, worker.exitcode)
            forget_process(worker.pid or 0)
            wait([self._woken], PAUSE)
            self._workers[place], _ = self._start()

    def _end(self) -> None:
        self._listening.close()  # so that what is in its queue is taken by the workers, to the last
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()
        for worker in self._workers:
            worker.join()


def _work(recipe: Recipe, listening: socket.socket, tell: Connection, threads: int) -> None:
    """One worker: answers until SIGTERM, SIGINT, or the end of the process that started it."""
    start_logging(recipe.log)
    torch.set_num_threads(threads)
    try:
        server = server_of(recipe.app())
    except UserError as error:
        logger.error("error: %s", error)
        sys.exit(error.status)

    def say() -> None:
        with contextlib.suppress(OSError):  # nobody waits for a worker that replaces one that died
            tell.send_bytes(b"ready")

    server.on_started = say
    signal.signal(signal.SIGTERM, lambda *_: None)  # see run_here

    def follow() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        server.should_exit = True

    threading.Thread(target=follow, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _descriptors(wanted: int) -> int:
    """How many files this process may open, raised towards ``wanted`` where that is allowed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft
