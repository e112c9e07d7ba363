"""Processes that answer at one port, where one of them does not come up."""

import os
from functools import partial

import pytest

from galr.common.errors import UserError
from galr.serving.server import listen
from galr.serving.workers import run_workers


def test_a_worker_that_dies_before_it_answers_is_told():
    started = []
    with (
        listen("127.0.0.1", 0) as listening,
        pytest.raises(UserError, match=r"a worker did not start \(exit status 7\)"),
    ):
        run_workers(partial(os._exit, 7), listening, partial(started.append, 1), 1, "text")
    assert not started
