import json
import os
import resource
import subprocess
import sys

import pytest
import torch

from galr.common.atomic import atomic_path, temporary_name, write_json, write_text
from galr.common.errors import RunError
from galr.common.saving import save_torch


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_are_made_and_content_is_whole(tmp_path):
    path = tmp_path / "a" / "b" / "file.json"
    write_json(path, {"mR": 1.5})
    assert json.loads(path.read_text()) == {"mR": 1.5}


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="file/below: cannot be written") as caught:
        write_text(tmp_path / "file" / "below", "x")
    assert caught.value.status == 1


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = temporary_name(tmp_path / "file")
    left = own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{dead.pid}."))
    living = own.with_name(own.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}."))
    left.mkdir()
    (left / "part").touch()
    living.touch()
    write_text(tmp_path / "other", "x")
    assert sorted(tmp_path.iterdir()) == sorted([living, tmp_path / "other"])


def test_a_folder_that_was_removed_is_not_made_again(tmp_path):
    with pytest.raises(RunError, match="cannot be written"):
        write_text(tmp_path / "gone" / "file", "x", parents=False)
    assert list(tmp_path.iterdir()) == []


def test_torch_says_what_the_disk_said(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(RunError, match="File too large"):
            save_torch(tmp_path / "x.pth", {"a": torch.zeros(100_000), "b": torch.zeros(10)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def failing_write(path, message):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError(message)


def test_a_disk_that_fails_while_hdf5_closes_a_file_is_said_in_a_line(tmp_path):
    told = "Disable slist on flush dest failure failed (file write failed: errno = 5, at = 0x7f)"
    with pytest.raises(RunError, match=r"a.h5: cannot be written \(Input/output error\)"):
        failing_write(tmp_path / "a.h5", told)
    with pytest.raises(RuntimeError, match="another"):
        failing_write(tmp_path / "a.h5", "another")
    assert list(tmp_path.iterdir()) == []
