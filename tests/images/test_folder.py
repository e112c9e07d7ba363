"""Folders as people have them, and names that nearly fit."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.images.folder import found_names, list_images
from galr.local_features.names import NameIndex


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith((".jpg", ".png", ".tif", ".jfif")):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, "PNG")
        else:
            path.write_bytes(b"\x00\x05\x16\x07")
    return folder


def place(index):
    return f"list:{index + 1}"


def test_images_are_listed_by_name_below_the_folder(tmp_path):
    names = ["airport/001.jpg", "beach/001.JPG", "b.jfif", "Screenshot 1\u202fPM.png", "港口/é.tif"]
    assert list_images(put(tmp_path, *names)).names == tuple(sorted(names))


def test_what_is_passed_over_is_counted_by_kind(tmp_path, caplog):
    caplog.set_level("INFO")
    put(
        tmp_path,
        "a.png",
        "._a.png",
        "__MACOSX/._a.png",
        "Thumbs.db",
        ".DS_Store",
        "d/.hidden/b.png",
    )
    put(tmp_path, "b.heic", "c.HEIF", "d.avif", "e", "notes.txt")
    os.symlink(tmp_path, tmp_path / "loop")
    os.symlink(tmp_path / "nothing", tmp_path / "gone.png")
    listing = list_images(tmp_path)
    assert listing.names == ("a.png",)
    assert listing.skipped == {
        "hidden": 5, "HEIC": 2, "AVIF": 1, "without a suffix": 1, ".txt": 1, "links": 2
    }  # fmt: skip
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "1 images; ignored 5 hidden, " in record.message
    assert "2 HEIC" in record.message


def test_hidden_files_alone_are_no_warning(tmp_path, caplog):
    caplog.set_level("INFO")
    list_images(put(tmp_path, "a.png"))
    assert not caplog.records
    list_images(put(tmp_path, "._a.png"))
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_folder_without_images_says_what_is_in_it(tmp_path):
    put(tmp_path, "a.heic", "._b.png")
    with pytest.raises(UserError, match=r"contains no image files \(ignored 1 \w+, 1 \w+\)"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="there is no such image folder"):
        list_images(tmp_path / "none")


NEAR = {
    "a.tif": ("a.jpg", "suffix"),
    "a": ("a.jpg", "suffix"),
    "A.JPG": ("a.jpg", "case"),
    "airport\\001.jpg": ("airport/001.jpg", "slashes"),
    "a\u00e9roport.jpg": (unicodedata.normalize("NFD", "a\u00e9roport.jpg"), "Unicode form"),
    "at 1 PM.jpg": ("at 1\u202fPM.jpg", "Unicode form"),
    "a.jpg": ("train2014/a.jpg", "folder"),
    "train2014/a.jpg": ("a.jpg", "folder"),
    "Airport\\001.tif": ("airport/001.jpg", "slashes and case and suffix"),
}


@pytest.mark.parametrize("name", NEAR)
def test_the_one_file_that_fits_is_used_and_said(tmp_path, caplog, name):
    there, difference = NEAR[name]
    put(tmp_path, there, "other.jpg")
    assert found_names(["other.jpg", name, name], tmp_path, place) == ["other.jpg", there, there]
    (record,) = caplog.records
    assert (
        f"1 of 2 image names were matched to files that differ ({difference} 1)" in record.message
    )


def test_several_files_that_fit_are_named(tmp_path):
    put(tmp_path, "a.jpg", "a.png", "x/b.jpg", "y/b.jpg")
    with pytest.raises(UserError, match=r"list:1: .* 2 files match: 'a.jpg', 'a.png'"):
        found_names(["a.tif"], tmp_path, place)
    with pytest.raises(UserError, match=r"2 files match: 'x/b.jpg', 'y/b.jpg'"):
        found_names(["b.jpg"], tmp_path, place)


def test_one_file_is_not_taken_for_two_names(tmp_path):
    put(tmp_path, "a.jpg")
    with pytest.raises(UserError, match=r"list:2: the file .*a.jpg matches both 'a.jpg' and"):
        found_names(["a.jpg", "a.tif"], tmp_path, place)


def test_a_file_of_another_folder_is_missing(tmp_path):
    put(tmp_path, "beach/001.jpg")
    with pytest.raises(UserError, match=r"there is no image .*airport/001.jpg \(1 of 1 are"):
        found_names(["airport/001.jpg"], tmp_path, place)


def test_annotations_hold_the_names_of_the_files(tmp_path):
    put(tmp_path / "images", "airport/001.jpg", "b.png")
    (tmp_path / "train_filename.txt").write_text("airport\\001.JPG\nb.tif\n")
    (tmp_path / "train_caps.txt").write_text("one\ntwo\n")
    found = read_annotations(tmp_path, "train", tmp_path / "images")
    assert found.images == ("airport/001.jpg", "b.png")


def test_the_nearest_kind_of_name_comes_first():
    index = NameIndex(["a.tif", "A.tif", "x/a.png", "é.txt", "scene.v2"])
    assert index.rows("a.tif") == [0]
    assert index.rows("A.png") == [1]
    assert index.rows("y/x/a.jpg") == [2]
    assert index.rows("e\u0301.jpg") == [3]
    assert index.rows("scene") == []
