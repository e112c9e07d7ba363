"""TensorBoard's curves have each epoch once, however a run was stopped and resumed."""

import pytest

from galr.common.errors import RunError
from galr.common.events import Events
from tests.faults.contents import curves

ROWS = [{"epoch": float(epoch), "loss": 3.0 - epoch, "mR": 10.0 * epoch} for epoch in range(3)]
WHOLE = {
    "train/loss": [(0, 3.0), (1, 2.0), (2, 1.0)],
    "train/mR": [(0, 0.0), (1, 10.0), (2, 20.0)],
}


def write(folder, before, rows):
    with Events(folder, before, lambda name: f"train/{name}") as events:
        for row in rows:
            events.add(row)


def test_a_resumed_run_has_each_epoch_once(tmp_path):
    write(tmp_path, [], ROWS[:2])
    write(tmp_path, ROWS[:1], ROWS[1:])
    assert curves(tmp_path) == WHOLE


def test_a_clock_that_was_set_back_changes_nothing(tmp_path):
    write(tmp_path, [], ROWS[:2])
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "events.out.tfevents.9999999999.host.1")
    write(tmp_path, ROWS[:1], ROWS[1:])
    assert curves(tmp_path) == WHOLE


def test_a_file_that_was_cut_short_is_made_whole(tmp_path):
    write(tmp_path, [], ROWS[:2])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    write(tmp_path, ROWS[:2], ROWS[2:])
    assert curves(tmp_path) == WHOLE


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        Events(tmp_path / "file", [])
