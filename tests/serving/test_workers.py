"""Processes that answer at one port: replaced at SIGHUP, and where one does not come up."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from galr.common.errors import UserError
from galr.serving.guard import Guard, Hosts
from galr.serving.limits import Limits
from galr.serving.metrics import Metrics
from galr.serving.server import listen
from galr.serving.workers import run_workers
from tests.tiny import ROOT


def tell_process():
    """An application that tells which process answers."""

    async def process(_):
        return PlainTextResponse(str(os.getpid()))

    return Guard(Starlette(routes=[Route("/", process)]), Hosts(()), Limits(), Metrics())


def answer():
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        run_workers(tell_process, listening, partial(print, port, flush=True), 1, "text")


def test_at_sighup_a_worker_gives_way_to_one_that_answers():
    program = f"from {__name__} import answer; answer()"
    server = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}/"
        first = now = httpx.get(address, trust_env=False).text
        server.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while now == first:  # each request is answered meanwhile, or get raises
            assert time.monotonic() < until
            now = httpx.get(address, trust_env=False).text
            time.sleep(0.02)
        assert now.isdecimal()
    finally:
        server.send_signal(signal.SIGTERM)
        _, error = server.communicate(timeout=60)
    assert (server.returncode, error) == (0, "")


def test_a_worker_that_dies_before_it_answers_is_told():
    started = []
    with (
        listen("127.0.0.1", 0) as listening,
        pytest.raises(UserError, match=r"a worker did not start \(exit status 7\)"),
    ):
        run_workers(partial(os._exit, 7), listening, partial(started.append, 1), 1, "text")
    assert not started
