"""Released files are read; what would run is not."""

import contextlib
import io
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.common.errors import UserError
from galr.detectors.command import main
from galr.detectors.released import read_released
from galr.local_features.store import read_local_features, read_store
from galr.options import DreaOptions

NAMES = ["airport_1.txt", "é 2.txt", "x.3.txt"]


def matrices(dtype=np.float64):
    rng = np.random.default_rng(0)
    return {
        "local_rep": {name: rng.random((20, 20)).astype(dtype) for name in NAMES},
        "adj_matrix": {name: rng.random((20, 20)).astype(dtype) for name in NAMES},
    }


def check(released, wanted):
    assert released.names == NAMES
    for row, name in enumerate(NAMES):
        for key, matrix in zip(wanted, released[1:], strict=True):
            np.testing.assert_array_equal(matrix[row], np.float32(wanted[key][name]))


def refusal_of(path, value=None):
    if value is not None:
        path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value))
    with pytest.raises(UserError, match="none of its code was run") as caught:
        read_released(path)
    assert (caught.value.status, "\n" in str(caught.value)) == (2, False)
    return str(caught.value)


def test_a_released_file_becomes_a_store(tmp_path, capsys):
    np.save(tmp_path / "released.npy", matrices())
    out = tmp_path / "local.h5"
    main(["convert", str(tmp_path / "released.npy"), "--out", str(out)])
    assert "3 images, 20 objects with 20 features each" in capsys.readouterr().out
    check(read_released(tmp_path / "released.npy"), matrices())
    assert read_store(out).names == tuple(NAMES)
    features = read_local_features(out, ["x.3.tif", "airport_1.tif"], DreaOptions())
    wanted = matrices()["adj_matrix"]
    np.testing.assert_array_equal(features.adjacency[0], np.float32(wanted["x.3.txt"]))
    main(["inspect", str(out)])
    assert "options behind these matrices are unknown" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", [np.float32, ">f8", np.int64])
def test_every_protocol_is_read(tmp_path, protocol, dtype):
    (tmp_path / "r.pkl").write_bytes(pickle.dumps(matrices(dtype), protocol))
    check(read_released(tmp_path / "r.pkl"), matrices(dtype))


def test_columns_first_and_plain_lists_are_read(tmp_path):
    wanted = matrices()
    changed = {
        "local_rep": {k: np.asfortranarray(v) for k, v in wanted["local_rep"].items()},
        "adj_matrix": {k: [list(row) for row in v] for k, v in wanted["adj_matrix"].items()},
    }
    (tmp_path / "r.pkl").write_bytes(pickle.dumps(changed))  # the rows hold scalars of numpy
    check(read_released(tmp_path / "r.pkl"), wanted)


class Runs:
    """A pickle of it calls ``function``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_malicious_file_runs_nothing(tmp_path, monkeypatch, capfd):
    mark = tmp_path / "mark"
    for number, bad in enumerate(
        [
            Runs(os.system, f"touch {mark}"),
            Runs(eval, f"open({str(mark)!r}, 'w')"),
            Runs(exec, f"open({str(mark)!r}, 'w')"),
            Runs(getattr, "x", "join"),
            Runs(np.fromfile, str(mark)),
            Runs(zlib.decompress, b"x"),
            Runs(io.open, str(mark), "w"),
        ]
    ):
        value = matrices()
        value["local_rep"][NAMES[0]] = bad
        path = tmp_path / f"{number}.npy"
        np.save(path, value) if number else np.save(path, np.array([bad], dtype=object))
        assert "it asks for" in refusal_of(path)
    assert not mark.exists()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "stream",
    [
        b"cos\nsystem\n(S'echo run'\ntR.",
        b"(S'echo run'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08echo run\x85R.",
        b"Pid\n.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"cnumpy\nndarray\n(N}S'real'\nNsb.",  # changes a stand-in
        b"c_codecs\nencode\n}S'_run'\nNsb.",
        b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(tR.",
        b"\x80\x02" + b"r" + struct.pack("<I", 2**31) + b".",
        b"N" + b"r" + struct.pack("<I", 2**31) + b".",  # a memo of 2^31 entries
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a terabyte of bytes
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"(" * 10_000 + b".",
        b"",
        b"hello",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
    ],
)
def test_crafted_streams_are_refused_in_one_line(tmp_path, stream, capfd):
    refusal_of(tmp_path / "bad.npy", stream)
    assert capfd.readouterr().out == ""


def entries(**changes):
    return {**matrices(), **changes}


def nested(depth):
    value = [1.0] * 10
    for _ in range(depth):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "no dictionary local_rep"),
        ([], "no dictionary local_rep"),
        ({}, "no dictionary local_rep"),
        ({"local_rep": {}, "adj_matrix": {}}, "no dictionary local_rep"),
        (entries(adj_matrix={"x.txt": np.zeros((20, 20))}), "one of the two matrices"),
        (entries(local_rep={7: np.zeros((20, 20))}), "are not image names"),
        (
            {"local_rep": {"a": np.zeros((3, 20))}, "adj_matrix": {"a": np.zeros((4, 4))}},
            "local_rep has shape (3, 20), adj_matrix (4, 4)",
        ),
        (
            {
                "local_rep": {"a": np.zeros((3, 20)), "b": np.zeros((4, 20))},
                "adj_matrix": {"a": np.zeros((3, 3)), "b": np.zeros((3, 3))},
            },
            "local_rep of b has shape (4, 20)",
        ),
        ({"local_rep": {"a": np.zeros(3)}, "adj_matrix": {"a": np.zeros(3)}}, "shape (3,)"),
        ({"local_rep": {"a": np.eye(2) * np.nan}, "adj_matrix": {"a": np.eye(2)}}, "NaN"),
        ({"local_rep": {"a": np.eye(2) * 1e300}, "adj_matrix": {"a": np.eye(2)}}, "infinity"),
        ({"local_rep": {"a": "text"}, "adj_matrix": {"a": np.eye(2)}}, "nor rows of numbers"),
        ({"local_rep": {"a": [["x"]]}, "adj_matrix": {"a": np.eye(1)}}, "nor rows of numbers"),
        (
            {"local_rep": {"a": [[1], [2, 3]]}, "adj_matrix": {"a": np.eye(2)}},
            "do not form a matrix",
        ),
        ({"local_rep": {"a": [[10**400]]}, "adj_matrix": {"a": np.eye(1)}}, "damaged"),
        ({"local_rep": {"a": nested(30)}, "adj_matrix": {"a": np.eye(1)}}, "nor rows of numbers"),
        (
            {"local_rep": {"a": [[1.0] * 3000] * 3000}, "adj_matrix": {"a": np.eye(1)}},
            "rows do not form a matrix",
        ),
        ({"local_rep": {"a": np.array([{}])}, "adj_matrix": {"a": np.eye(1)}}, "no numbers"),
        ({"local_rep": {"a": np.array([["x"]])}, "adj_matrix": {"a": np.eye(1)}}, "is not numeric"),
    ],
)
def test_what_is_no_pair_of_matrices_is_refused(tmp_path, value, message):
    assert message in refusal_of(tmp_path / "bad.pkl", value)


def test_an_array_of_numbers_is_no_released_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert "it contains numbers (float64)" in refusal_of(tmp_path / "a.npy")
    with pytest.raises(UserError, match="cannot be read"):
        read_released(tmp_path / "none.npy")


WHOLE = pickle.dumps(matrices(np.float32), 3)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_damaged_bytes_are_refused_or_change_numbers_alone(tmp_path_factory, at, changed):
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(WHOLE[:at] + changed + WHOLE[at + len(changed) :])
    with contextlib.suppress(UserError):
        assert len(read_released(path).names) == 3
