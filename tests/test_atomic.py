import json

import pytest

from galr.common.atomic import atomic_path, write_json, write_text
from galr.common.errors import RunError


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
