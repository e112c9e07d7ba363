import json
import logging
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from galr.common.errors import RunError, UserError
from galr.data.annotations import Annotations
from galr.data.image_cache import CachedImages, open_images
from galr.images import content
from galr.images.cache import Cache
from galr.images.decoding import decode_image, resize_to_square
from galr.images.square_files import ImageFiles
from galr.images.verify import verify_caches
from galr.options import DatasetOptions

SIDE = 12
NAMES = ("a.png", "b.jpg", "c.tif", "d.png")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "some_precomp"
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in NAMES:
        pixels = random.integers(0, 256, (17, 23, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / name)
    return folder


def annotations(names=NAMES, split="train"):
    return Annotations(split, tuple(names), tuple(names), np.arange(len(names)))


def options(data, **changes):
    return DatasetOptions(data_path=str(data), **changes)


def expected(data, names=NAMES):
    return [resize_to_square(decode_image(data / "images" / name), SIDE) for name in names]


def assert_images(found, pixels):
    assert len(found) == len(pixels)
    for index, image in enumerate(pixels):
        assert np.array_equal(found[index], image)


def logged(caplog):
    return "\n".join(record.getMessage() for record in caplog.records)


def test_the_cache_holds_what_decoding_gives(data):
    cached = open_images(options(data), annotations(), SIDE)
    decoded = open_images(options(data, image_cache="off"), annotations(), SIDE)
    assert isinstance(cached, CachedImages)
    assert isinstance(decoded, ImageFiles)
    assert cached.side == decoded.side == SIDE
    assert_images(cached, expected(data))
    assert_images(decoded, expected(data))
    assert cached.path == data / "image_cache" / f"train_{SIDE}px.h5"


def test_the_second_time_nothing_is_decoded(data, caplog, monkeypatch):
    open_images(options(data), annotations(), SIDE)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Cache, "_allocate", None)
    assert_images(open_images(options(data), annotations(), SIDE), expected(data))
    assert not caplog.records


def test_sizes_and_splits_have_caches_of_their_own(data):
    for split, side in [("train", 12), ("train", 16), ("test", 12)]:
        open_images(options(data), annotations(split=split), side)
    found = sorted(path.name for path in (data / "image_cache").iterdir())
    assert found == ["test_12px.h5", "train_12px.h5", "train_16px.h5"]


def test_a_selection_is_in_the_order_asked_for(data):
    for cache in ("auto", "off"):
        images = open_images(options(data, image_cache=cache), annotations(), SIDE)
        assert_images(images.select([2, 0]), expected(data, ("c.tif", "a.png")))
        assert_images(images.select(np.array([3, 1, 2])).select([1]), expected(data, ("b.jpg",)))


def test_images_travel_to_another_process(data):
    images = open_images(options(data), annotations(), SIDE).select([3, 1])
    packed = pickle.dumps(images)
    assert len(packed) < 2000
    assert_images(pickle.loads(packed), expected(data, ("d.png", "b.jpg")))  # noqa: S301 - ours


def other_image(path):
    """Another image of the same name, size and time, which an uncompressed TIFF allows."""
    stat, size = path.stat(), path.stat().st_size
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert path.stat().st_size == size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_images_that_are_as_they_were_are_not_decoded_for_their_time(data, monkeypatch):
    open_images(options(data), annotations(), SIDE)
    os.utime(data / "images" / "b.jpg", ns=(1, 1))
    monkeypatch.setattr(Cache, "_allocate", None)
    assert_images(open_images(options(data), annotations(), SIDE), expected(data))


def test_a_cache_of_an_earlier_version_goes_by_size_and_time(data, monkeypatch):
    path = open_images(options(data), annotations(), SIDE).path
    with h5py.File(path, "r+") as file:
        del file["digests"], file["row_digests"]
    other_image(data / "images" / "c.tif")
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "_allocate", None)
        open_images(options(data), annotations(), SIDE)
    os.utime(data / "images" / "c.tif", ns=(1, 1))
    assert_images(open_images(options(data), annotations(), SIDE), expected(data))


def test_digests_are_kept_and_files_read_again_only_where_they_changed(data, monkeypatch):
    monkeypatch.setattr(content, "UNSETTLED_NS", 0)
    open_images(options(data), annotations(), SIDE)
    memo = data / "image_cache" / content.MEMO
    assert json.loads(memo.read_text())["images"].keys() == set(NAMES)
    read = []
    monkeypatch.setattr(content, "_seen", {})
    own = content.digest_of_file
    monkeypatch.setattr(content, "digest_of_file", lambda path: read.append(path) or own(path))
    before = content.image_contents(data / "images", NAMES, [memo])
    assert read == []
    other_image(data / "images" / "c.tif")
    after = content.image_contents(data / "images", NAMES, [memo], keep=True)
    assert [Path(path).name for path in read] == ["c.tif"]
    assert (before.digests != after.digests).tolist() == [False, False, True, False]
    assert json.loads(memo.read_text())["images"]["c.tif"][3] == after.digests[2]
    memo.write_text(memo.read_text().replace(str(after.digests[2]), str(after.digests[2] - 1)))
    monkeypatch.setattr(content, "_seen", {})
    found = content.image_contents(data / "images", NAMES, [memo])  # of a damaged number
    assert found.digests.tolist() == after.digests.tolist()


@pytest.mark.parametrize("damage", [b"", b"[]", b"{", b'{"a.png": [1, 2]}', b"\xff", b"[" * 99999])
def test_damaged_digests_are_taken_again(data, damage):
    memo = data / "image_cache" / content.MEMO
    memo.parent.mkdir()
    memo.write_bytes(damage)
    found = content.image_contents(data / "images", NAMES, [memo])
    assert found.digests.tolist() == content.image_contents(data / "images", NAMES).digests.tolist()


@pytest.mark.parametrize("change", ["content", "same time", "list"])
def test_a_stale_cache_is_built_again_and_says_why(data, caplog, change):
    open_images(options(data), annotations(), SIDE)
    names = NAMES
    if change == "content":
        Image.new("RGB", (9, 9), "red").save(data / "images" / "a.png")
    elif change == "same time":
        other_image(data / "images" / "c.tif")
    else:
        names = NAMES[::-1]
    caplog.set_level(logging.INFO)
    assert_images(open_images(options(data), annotations(names), SIDE), expected(data, names))
    reason = {"content": "1 images have changed, for example a.png", "same time": "example c.tif"}
    assert reason.get(change, "the list of images has changed") in logged(caplog)


@pytest.mark.parametrize("damage", ["noise", "cut", "empty", "version", "other"])
def test_a_damaged_cache_is_built_again(data, damage):
    path = open_images(options(data), annotations(), SIDE).path
    if damage == "version":
        with h5py.File(path, "r+") as file:
            file.attrs["version"] = 0
    elif damage == "other":
        with h5py.File(path, "w") as file:
            file["images"] = np.zeros(3)
    else:
        left = {"noise": b"no HDF5" * 99, "cut": path.read_bytes()[:-500], "empty": b""}
        path.unlink()
        path.write_bytes(left[damage])
    assert_images(open_images(options(data), annotations(), SIDE), expected(data))


def test_a_cache_in_use_survives_its_replacement(data):
    before = expected(data)
    images = open_images(options(data), annotations(), SIDE)
    Image.new("RGB", (9, 9), "red").save(data / "images" / "a.png")
    open_images(options(data), annotations(), SIDE)
    assert_images(images, before)


def test_a_copy_of_the_data_takes_its_cache_along(data, tmp_path, monkeypatch):
    open_images(options(data), annotations(), SIDE)
    copy = tmp_path / "copy_precomp"
    shutil.copytree(data, copy)  # keeps the times
    monkeypatch.setattr(Cache, "_allocate", None)
    assert_images(open_images(options(copy), annotations(), SIDE), expected(copy))


def test_a_folder_that_cannot_be_written_falls_back_to_the_users(
    data, tmp_path, caplog, monkeypatch
):
    # a file where the folder should be: refused to root as well, unlike a read-only folder
    (data / "image_cache").write_text("")
    caplog.set_level(logging.INFO)
    images = open_images(options(data), annotations(), SIDE)
    assert_images(images, expected(data))
    assert images.path.is_relative_to(tmp_path / "home" / "galr")
    assert "cannot be written" in logged(caplog)
    monkeypatch.setattr(Cache, "_allocate", None)
    assert_images(open_images(options(data), annotations(), SIDE), expected(data))


def test_without_any_folder_images_are_decoded(data, tmp_path, caplog, monkeypatch):
    (data / "image_cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(data / "image_cache"))
    images = open_images(options(data), annotations(), SIDE)
    assert isinstance(images, ImageFiles)
    assert "decoded every time" in logged(caplog)


def test_a_named_folder_keeps_data_sets_apart(data, tmp_path):
    other = tmp_path / "other_precomp"
    shutil.copytree(data, other)
    first, second = (
        open_images(options(folder, image_cache=str(tmp_path / "shared")), annotations(), SIDE)
        for folder in (data, other)
    )
    assert first.path != second.path
    assert first.path.is_relative_to(tmp_path / "shared")
    assert not (data / "image_cache").exists()


def test_an_image_folder_elsewhere_is_used(data, tmp_path):
    (data / "images").rename(tmp_path / "elsewhere")
    chosen = options(data, image_path=str(tmp_path / "elsewhere"))
    assert len(open_images(chosen, annotations(), SIDE)) == len(NAMES)


def test_above_the_limit_images_are_decoded(data, caplog):
    images = open_images(options(data, image_cache_gb=1e-6), annotations(), SIDE)
    assert isinstance(images, ImageFiles)
    assert "more than dataset.image_cache_gb = 1e-06" in logged(caplog)
    assert not (data / "image_cache").exists()


def test_a_full_disk_means_decoding(data, caplog, monkeypatch):
    free = shutil.disk_usage(data)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    assert isinstance(open_images(options(data), annotations(), SIDE), ImageFiles)
    assert "decoded every time" in logged(caplog)


def test_a_missing_image_is_named(data):
    (data / "images" / "c.tif").unlink()
    with pytest.raises(UserError, match=r"c\.tif: there is no such image file"):
        open_images(options(data), annotations(), SIDE)


def test_damaged_images_are_named_at_once_and_leave_no_cache(data):
    (data / "images" / "b.jpg").write_text("text")
    (data / "images" / "d.png").write_text("text")
    with pytest.raises(UserError, match=r"b\.jpg: is not an image.*1 more: d\.png"):
        open_images(options(data), annotations(), SIDE)
    assert not list((data / "image_cache").iterdir())


def test_leftovers_of_a_killed_build_are_removed(data):
    folder = data / "image_cache"
    folder.mkdir()
    leftover = folder / f"train_{SIDE}px.h5.999999.tmp"
    leftover.write_bytes(b"half")
    open_images(options(data), annotations(), SIDE)
    assert [path.name for path in folder.iterdir()] == [f"train_{SIDE}px.h5"]


def _open_in_a_process(data, barrier, queue):
    barrier.wait()
    images = open_images(options(data), annotations(), SIDE)
    queue.put(np.stack([images[index] for index in range(len(images))]))


def test_two_processes_that_build_at_once_both_get_it(data):
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_open_in_a_process, args=(data, barrier, queue)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    for pixels in found:
        assert np.array_equal(pixels, np.stack(expected(data)))


@pytest.mark.parametrize(("written", "read"), [(False, "off"), (True, "auto")])
def test_off_in_a_yaml_is_a_word(written, read):
    assert DatasetOptions(image_cache=written).image_cache == read


def verified(data):
    return verify_caches(options(data))


def test_verify_says_what_it_compared(data):
    open_images(options(data), annotations(), SIDE)
    assert verified(data) == [f"{data}/image_cache/train_{SIDE}px.h5: 4 rows and images unchanged"]


def test_verify_names_images_that_changed_and_rows_that_are_damaged(data):
    images = open_images(options(data), annotations(), SIDE)
    before = images.path.read_bytes()
    with images.path.open("r+b") as file:
        file.seek(images.offset + 2 * SIDE * SIDE * 3)  # of the third image
        file.write(bytes([1, 2, 3]))
    with pytest.raises(
        UserError, match=r"has rows that changed since they were written, of c\.tif"
    ):
        verified(data)
    images.path.write_bytes(before)
    other_image(data / "images" / "c.tif")
    with pytest.raises(UserError, match=r"was built from other content of c\.tif; delete the file"):
        verified(data)


def test_verify_reads_files_anew_and_not_their_kept_digests(data, monkeypatch):
    monkeypatch.setattr(content, "UNSETTLED_NS", 0)
    open_images(options(data), annotations(), SIDE)
    memo = data / "image_cache" / content.MEMO
    other_image(data / "images" / "c.tif")
    entries = json.loads(memo.read_text())["images"]
    entries["c.tif"][2] = (data / "images" / "c.tif").stat().st_ctime_ns  # as if nothing happened
    content._write([memo], entries)

    with pytest.raises(UserError, match=r"other content of c\.tif"):
        verified(data)


@pytest.mark.parametrize("damage", ["noise", "lengths", "earlier"])
def test_verify_refuses_a_damaged_cache_and_says_which_it_cannot_compare(data, damage):
    path = open_images(options(data), annotations(), SIDE).path
    if damage == "noise":
        path.write_bytes(b"noise")
    else:
        with h5py.File(path, "r+") as file:
            del file["row_digests"]
            if damage == "lengths":
                file["row_digests"] = np.zeros(4, np.int64)[:3]
    if damage == "earlier":
        assert verified(data) == [f"{path}: not compared: built by an earlier version"]
    else:
        with pytest.raises(UserError, match=r"train_12px\.h5: cannot be read"):
            verified(data)


def test_a_cache_that_is_removed_while_it_is_used_is_named(data):
    images = open_images(options(data), annotations(), SIDE)
    images.path.unlink()
    with pytest.raises(RunError, match="run the command again to rebuild it"):
        images.select([0])
