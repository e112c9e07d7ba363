"""One writer a folder."""

import os
import signal

import pytest

from galr.common.errors import RunError
from galr.common.folder_lock import only_writer


def test_a_second_writer_is_refused_and_leftovers_go(tmp_path):
    (tmp_path / "x.tmp").write_text("half")
    with only_writer(tmp_path):
        assert not (tmp_path / "x.tmp").exists()
        with pytest.raises(RunError, match="another run is writing to it"), only_writer(tmp_path):
            pass
    with only_writer(tmp_path):
        pass


def test_parts_exclude_their_whole_and_not_each_other(tmp_path):
    refused = pytest.raises(RunError, match="another run is writing to it")
    with only_writer(tmp_path / "0", part=True), only_writer(tmp_path / "1", part=True):
        with refused, only_writer(tmp_path):
            pass
        with refused, only_writer(tmp_path / "1", part=True):
            pass
    with only_writer(tmp_path), refused, only_writer(tmp_path / "0", part=True):
        pass


def test_a_helper_that_outlives_its_parent_does_not_hold_the_folder(tmp_path):
    readable, writable = os.pipe()
    with only_writer(tmp_path):
        child = os.fork()
        if child == 0:
            os.write(writable, b"x")
            signal.pause()
        os.read(readable, 1)
    try:
        with only_writer(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_folder_that_was_moved_away_is_missed(tmp_path):
    with only_writer(tmp_path / "run") as lock:
        lock.check()
        (tmp_path / "run" / "x").write_text("x")
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(RunError, match="removed or moved"):
            lock.check()
        (tmp_path / "run").mkdir()
        with pytest.raises(RunError, match="removed or moved"):
            lock.check()


def test_a_folder_that_stays_empty_is_not_left(tmp_path):
    with only_writer(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []
