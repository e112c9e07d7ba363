import h5py
import numpy as np
import pytest

from galr.common.errors import UserError
from galr.local_features.store import (
    LocalFeatures,
    read_local_features,
    read_store,
    write_local_features,
)
from galr.options import DreaOptions

DREA = DreaOptions(classes=("ship", "plane"), objects=3)


def matrices(images, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.random((images, 3, 7), dtype=np.float32),
        rng.random((images, 3, 3), dtype=np.float32),
    )


def error_of(path, images=("a.tif",), drea=DREA):
    with pytest.raises(UserError) as caught:
        read_local_features(path, images, drea)
    assert str(path) in str(caught.value)
    assert caught.value.status == 2
    return str(caught.value)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "local.h5"
    write_local_features(path, ["a.tif", "b.tif", "é 1.jpg"], *matrices(3), DREA, "a test")
    return path


def test_what_was_written_is_read_in_the_order_of_the_images(store):
    representation, adjacency = matrices(3)
    features = read_local_features(store, ["é 1.jpg", "a.tif"], DREA)
    assert np.array_equal(features.representation, representation[[2, 0]])
    assert np.array_equal(features.adjacency, adjacency[[2, 0]])
    assert features.representation.dtype == features.adjacency.dtype == np.float32
    whole = read_store(store)
    assert (whole.drea, whole.source, whole.row("b.png")) == (DREA, "a test", 1)


def test_select_takes_images_in_any_order_and_none():
    features = LocalFeatures(*matrices(3))
    assert np.array_equal(features.select(np.array([2, 2])).adjacency, matrices(3)[1][[2, 2]])
    assert features.select([]).representation.shape == (0, 3, 7)


def test_the_options_are_attributes_that_any_reader_of_hdf5_sees(store):
    with h5py.File(store) as file:
        assert file.attrs["min_score"] == 0.3
        assert list(file.attrs["classes"]) == ["ship", "plane"]
        assert bool(file.attrs["denoise"])


@pytest.mark.parametrize("stored", ["a.txt", "a.TIF", "a.jpg", "a"])
def test_an_entry_is_found_by_its_stem(tmp_path, stored):
    write_local_features(tmp_path / "s.h5", [stored, "a.v2"], *matrices(2), DREA)
    features = read_local_features(tmp_path / "s.h5", ["a.tif", "a.v2.tif"], DREA)
    assert np.array_equal(features.adjacency, matrices(2)[1])


def test_the_exact_name_goes_before_the_stem(tmp_path):
    write_local_features(tmp_path / "s.h5", ["a.jpg", "a.tif"], *matrices(2), DREA)
    features = read_local_features(tmp_path / "s.h5", ["a.tif"], DREA)
    assert np.array_equal(features.adjacency, matrices(2)[1][1:])


def test_a_stem_that_fits_twice_is_an_error(tmp_path, store):
    write_local_features(tmp_path / "s.h5", ["a.jpg", "a.png"], *matrices(2), DREA)
    assert "a.tif matches both a.jpg and a.png" in error_of(tmp_path / "s.h5")
    assert "matches both a.tif and a.jpg" in error_of(store, ["a.tif", "a.jpg"])


def test_images_without_an_entry_are_named(store):
    assert "has no entry for x.tif" in error_of(store, ["a.tif", "x.tif"])
    many = [f"x{i}.tif" for i in range(5)]
    assert "5 images (x0.tif, x1.tif, x2.tif, ...)" in error_of(store, many)


def test_other_options_show_both_and_how_to_rebuild(store):
    drea = DreaOptions(classes=("ship", "plane"), objects=3, min_score=0.5, denoise=False)
    message = error_of(store, drea=drea)
    assert "dataset.drea.min_score is 0.3 in the store and 0.5 in the options" in message
    assert "dataset.drea.denoise is true in the store and false in the options" in message
    assert "python -m galr.local_features build" in message
    message = error_of(store, drea=DreaOptions(classes=("ship",), objects=3))
    assert "is [ship, plane] in the store and [ship] in the options" in message


def test_matrices_without_known_options_need_only_fit(tmp_path):
    write_local_features(tmp_path / "s.h5", ["a.txt"], *matrices(1), None)
    assert read_store(tmp_path / "s.h5").drea is None
    other = DREA.model_copy(update={"min_score": 0.9})
    assert read_local_features(tmp_path / "s.h5", ["a.tif"], other).adjacency.shape == (1, 3, 3)
    message = error_of(tmp_path / "s.h5", drea=DreaOptions())
    assert "3 objects of 7 features" in message
    assert "20 of 20" in message


def test_a_missing_file_says_how_to_make_it(tmp_path):
    assert "python -m galr.local_features build" in error_of(tmp_path / "none.h5")
    assert "no such store" in error_of(tmp_path)


def test_what_is_no_store_is_an_error(tmp_path, store):
    released = tmp_path / "local.npy"
    np.save(released, np.zeros(3))
    assert "convert" in error_of(released)
    (tmp_path / "text.h5").write_text("no")
    assert "is not an HDF5 file" in error_of(tmp_path / "text.h5")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(store.read_bytes()[:700])
    assert "is not a complete store" in error_of(cut)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    assert "is not a complete store" in error_of(tmp_path / "other.h5")


def change(path, dataset, value):
    with h5py.File(path, "r+") as file:
        del file[dataset]
        file[dataset] = value


@pytest.mark.parametrize(
    ("dataset", "value", "message"),
    [
        ("adjacency", np.full((3, 3, 3), np.nan, np.float32), "adjacency of a.tif contains NaN"),
        ("adjacency", np.zeros((3, 3, 4), np.float32), "got (3, 3, 7) and (3, 3, 4)"),
        ("representation", np.zeros((2, 3, 7), np.float32), "got (2, 3, 7)"),
        ("representation", np.zeros((3, 3, 9), np.float32), "got (3, 3, 9)"),
        ("representation", np.zeros((3, 3, 7), np.int64), "must be real-valued"),
        ("representation", np.float32(1), "must be"),
        ("names", np.array([b"a.tif", b"a.tif", b"b.tif"]), "must be distinct"),
        ("names", np.zeros(3), "not a complete store"),
    ],
)
def test_damaged_matrices_are_an_error(store, dataset, value, message):
    change(store, dataset, value)
    assert message in error_of(store)


def test_damaged_options_are_an_error(store):
    with h5py.File(store, "r+") as file:
        file.attrs["min_score"] = 7.0
    assert "its options are not DREA's" in error_of(store)
    with h5py.File(store, "r+") as file:
        del file.attrs["min_score"]
    assert "the option min_score is missing" in error_of(store)
    with h5py.File(store, "r+") as file:
        file.attrs["version"] = 99
    assert "version 99" in error_of(store)


def test_writing_what_nobody_could_read_is_refused(tmp_path):
    representation, adjacency = matrices(2)
    for names, first, second in (
        (["a"], representation, adjacency),
        (["a", "a"], representation, adjacency),
        (["a", "b"], representation, adjacency[:, :2]),
        (["a", "b"], representation * np.nan, adjacency),
    ):
        with pytest.raises(ValueError, match=r"must|NaN"):
            write_local_features(tmp_path / "s.h5", names, first, second, DREA)
    assert list(tmp_path.iterdir()) == []
