"""HDF5 files that were made to harm: refused at once, with nothing read from elsewhere."""

import gc
import os
import resource
import struct

import h5py
import numpy as np
import pytest

from galr.common.errors import UserError
from galr.common.hdf5 import check_heaps, own_attributes, own_dataset, write_hdf5
from galr.local_features.store import read_store, write_local_features
from galr.options import DreaOptions


@pytest.fixture
def store(tmp_path):
    drea = DreaOptions(classes=("x",), objects=2)
    zeros = np.zeros((3, 2, drea.features), np.float32), np.zeros((3, 2, 2), np.float32)
    write_local_features(tmp_path / "a.h5", ["a.png", "b.png", "c.png"], *zeros, drea)
    return tmp_path / "a.h5"


def test_texts_without_an_end_are_not_looked_for(store):
    content = bytearray(store.read_bytes())
    heap = content.find(b"GCOL\1\0\0\0")
    place, end = heap + 16, heap + struct.unpack_from("<Q", content, heap + 8)[0]
    while (found := struct.unpack_from("<HHIQ", content, place))[0]:
        place += 16 + (found[3] + 7) // 8 * 8
    assert found[3] == end - place  # what is free
    check_heaps(store)
    struct.pack_into("<Q", content, place + 8, 0)
    store.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a complete store .*its texts are damaged"):
        read_store(store)


@pytest.mark.parametrize("kind", ["external link", "soft link", "external numbers", "virtual"])
def test_numbers_that_lie_elsewhere_are_not_read(store, kind):
    secret = store.parent / "secret"
    with h5py.File(secret, "w") as file:
        file["adjacency"] = np.ones((3, 2, 2), np.float32)
    with h5py.File(store, "r+") as file:
        shape, name = file["adjacency"].shape, "adjacency"
        file.move(name, "own")
        if kind == "external link":
            file[name] = h5py.ExternalLink(str(secret), name)
        elif kind == "soft link":
            file[name] = h5py.SoftLink("/own")
        elif kind == "external numbers":
            raw = [(os.fsencode(secret), 0, 48)]
            file.create_dataset(name, shape, np.float32, external=raw)
        else:
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(str(secret), name, shape)
            file.create_virtual_dataset(name, layout)
    with pytest.raises(UserError, match="adjacency is no dataset of its own"):
        read_store(store)


def test_more_than_a_file_can_hold_is_not_made_room_for(store):
    with h5py.File(store, "r+") as file:
        del file["adjacency"]
        file.create_dataset("adjacency", (3, 40_000, 40_000), np.float32)  # 19 GB of nothing
    with pytest.raises(UserError, match=r"adjacency claims 19,200 MB, and holds 0 bytes"):
        read_store(store)


def test_texts_beyond_the_end_are_not_looked_for(store):
    with h5py.File(store, "r") as file:
        offset = file["names"].id.get_offset()
    content = bytearray(store.read_bytes())
    struct.pack_into("<IQ", content, offset, 1_466_199_307, 8_796_093_022_352)
    store.write_bytes(content)
    with pytest.raises(UserError, match="its texts are damaged"):
        read_store(store)


def test_what_is_packed_is_read(store):
    with h5py.File(store, "r+") as file:
        del file["adjacency"]
        file.create_dataset("adjacency", data=np.zeros((3, 2, 2), np.float32), compression="gzip")
        own_dataset(file, "adjacency")
    assert read_store(store).features.adjacency.shape == (3, 2, 2)


@pytest.mark.parametrize("most", [100, 3000, 5000])
def test_a_disk_that_fails_is_an_error_and_the_process_goes_on(tmp_path, most, capfd):
    numbers = np.arange(1000)
    with write_hdf5(tmp_path / "whole.h5") as file:
        file["numbers"] = numbers
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))  # what a larger file meets is EFBIG
    try:
        with pytest.raises(OSError, match="too large"), write_hdf5(tmp_path / "a.h5") as file:
            file["numbers"] = numbers
        with (
            pytest.raises(OSError, match="too large"),
            write_hdf5(tmp_path / "whole.h5", "r+") as file,
        ):
            file["more"] = numbers
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    del file  # the library would end the process here, and print what it could not write
    gc.collect()
    assert capfd.readouterr() == ("", "")
    with write_hdf5(tmp_path / "a.h5") as file:
        file["numbers"] = numbers
    with h5py.File(tmp_path / "a.h5") as file:
        assert (file["numbers"][:] == numbers).all()


@pytest.mark.parametrize("bits", [b"\xff\x00\x00", b"\xff\xff\x00"])
def test_a_text_of_a_damaged_kind_is_refused(tmp_path, bits):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["source"] = "a text of any length"
        file.create_dataset("names", data=["a", "b"], dtype=h5py.string_dtype())
    content = path.read_bytes()
    kind = b"\x19\x01\x01\x00"  # version 1 of the class 9, sequences: text in UTF-8
    attribute = content.index(kind, content.index(b"source\0"))
    path.write_bytes(content[: attribute + 1] + bits + content[attribute + 4 :])
    with h5py.File(path) as file, pytest.raises(ValueError, match="source is neither"):
        own_attributes(file)
    whole = content.replace(kind, kind[:1] + bits)
    path.write_bytes(whole)
    with h5py.File(path) as file, pytest.raises(ValueError, match="names is neither"):
        own_dataset(file, "names")


def test_a_damaged_name_of_an_attribute_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["source"] = 1
    path.write_bytes(path.read_bytes().replace(b"source", b"sou\0ce"))
    with h5py.File(path) as file, pytest.raises(ValueError, match="attributes are damaged"):
        own_attributes(file)
