"""What the tests of sweeps share."""

import importlib

import pytest

from galr.sweep import runs
from tests.processes import Command


@pytest.fixture
def quick_start(tmp_path_factory, monkeypatch):
    """The processes of a sweep have torch from the start."""

    def run_module(module, arguments, log, environment):
        command = Command(
            importlib.import_module(module).main, *arguments,
            folder=tmp_path_factory.mktemp("run"), environment=environment,
        )  # fmt: skip
        done = command.wait()
        log.write(done.stdout + done.stderr)
        log.flush()
        return done.returncode

    monkeypatch.setattr(runs, "_run_module", run_module)
