"""Commands that are disturbed: a few here, all by ``python -m pytest -m faults`` and the module."""

from __future__ import annotations

import pytest

from tests.faults.library import build_shim
from tests.faults.trial import FAULTS, applies, disturb, usual, why_not
from tests.faults.world import COMMANDS, World

BY_NAME = {command.name: command for command in COMMANDS}
FEW = [
    ("train", "SIGKILL"),
    ("train", "Ctrl-C twice"),
    ("local_features build", "EIO"),
    ("local_features build", "SIGTERM"),
    ("local_features build", "ENOSPC"),
]
ALL = [(command.name, fault) for command in COMMANDS for fault in FAULTS if applies(fault, command)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    world = World(folder / "world", build_shim(folder))
    yield world
    world.close()


@pytest.fixture(scope="module")
def expected():
    return {}


def nothing_is_lost(world, expected, name, fault):
    if reason := why_not(fault, world):
        pytest.skip(reason)
    if name not in expected:
        expected[name] = usual(world, BY_NAME[name])
    trial = disturb(world, BY_NAME[name], expected[name], fault, seed=0)
    assert trial.losses == []


@pytest.mark.parametrize(("name", "fault"), FEW)
def test_a_disturbed_command_loses_nothing(world, expected, name, fault):
    nothing_is_lost(world, expected, name, fault)


@pytest.mark.faults
@pytest.mark.parametrize(("name", "fault"), ALL)
def test_every_command_withstands_every_fault(world, expected, name, fault):
    nothing_is_lost(world, expected, name, fault)
