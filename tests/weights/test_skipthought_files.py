"""The official files: what is read, what is refused, and what is written."""

import tracemalloc

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.skipthoughts_training.skipthought_files_export import write_skipthoughts
from galr.weights.skipthought_files import read_skipthoughts
from tests.model.skipthought_folder import (
    DICTIONARY,
    WORD_DIM,
    bi_arrays,
    table,
    uni_arrays,
    write_folder,
)

WORDS = ("ships", "zeppelin", "many")


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "seq2vec")


def test_rows_come_by_word_and_the_others_from_unk(folder):
    read = read_skipthoughts(folder, "uni", WORDS)
    expected = table(2)[[DICTIONARY.index(word) for word in ("ships", "UNK", "many")]]
    assert not read.embedding[0].any()
    np.testing.assert_array_equal(read.embedding[1:], expected)
    assert read.not_found == ("zeppelin",)


def test_only_the_needed_rows_are_read(folder):
    words = [f"word{number}" for number in range(200_000)] + ["UNK"]
    (folder / "dictionary.txt").write_text("\n".join(words) + "\n")
    big = np.lib.format.open_memmap(
        folder / "utable.npy", mode="w+", dtype=np.float32, shape=(len(words), WORD_DIM * 100)
    )
    big[:] = 0
    big[7] = 1
    big.flush()
    del big
    uni = uni_arrays()
    uni["encoder_W"], uni["encoder_Wx"] = (
        np.tile(uni[f"encoder_{k}"], (100, 1)) for k in ("W", "Wx")
    )
    np.savez(folder / "uni_skip.npz", **uni)
    tracemalloc.start()
    read = read_skipthoughts(folder, "uni", ["word7", "word199999"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read.embedding.sum() == WORD_DIM * 100
    assert peak < 20e6  # the table has 320 MB


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("uni", "dictionary.txt"),
        ("uni", "utable.npy"),
        ("uni", "uni_skip.npz"),
        ("bi", "btable.npy"),
        ("bi", "bi_skip.npz"),
    ],
)
def test_a_missing_file_is_named_with_the_ways_out(folder, layout, name):
    (folder / name).unlink()
    with pytest.raises(UserError) as error:
        read_skipthoughts(folder, layout, WORDS)
    line = str(error.value)
    assert line.startswith(f"{folder / name}: this skip-thought file is missing; ")
    for remedy in ("rkiros", "python -m galr.skipthoughts_training", "pretrained: false"):
        assert remedy in line


def test_a_folder_that_is_not_there_is_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"dictionary\.txt: this skip-thought file is missing"):
        read_skipthoughts(tmp_path / "nowhere", "uni", WORDS)


def test_dictionary_and_table_of_different_lengths(folder):
    np.save(folder / "utable.npy", table(rows=7))
    with pytest.raises(UserError, match=r"has 6 words, but utable\.npy has 7 rows"):
        read_skipthoughts(folder, "uni", WORDS)


def test_a_dictionary_without_unk_serves_the_words_it_has(folder):
    (folder / "dictionary.txt").write_text("eos\n-\nplane\nharbor\nmany\nships\n")
    assert read_skipthoughts(folder, "uni", ["ships"]).not_found == ()
    with pytest.raises(UserError, match=r"has no UNK, which stands for .* 'zeppelin'"):
        read_skipthoughts(folder, "uni", WORDS)


def test_a_dictionary_that_is_no_text(folder):
    (folder / "dictionary.txt").write_bytes(b"eos\nUNK\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"dictionary\.txt:3: is not UTF-8"):
        read_skipthoughts(folder, "uni", WORDS)


def test_words_with_odd_line_separators_keep_their_rows(folder):
    words = ["a b", "c d", "UNK", "ships", "many", "x"]
    (folder / "dictionary.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    read = read_skipthoughts(folder, "uni", ["ships"])
    np.testing.assert_array_equal(read.embedding[1], table(2)[3])


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


@pytest.mark.parametrize("name", ["utable.npy", "uni_skip.npz"])
def test_pickles_are_refused_and_never_run(folder, name):
    objects = np.array([Bomb()], dtype=object)
    if name.endswith("npz"):
        np.savez(folder / name, **(uni_arrays() | {"encoder_U": objects}))
    else:
        np.save(folder / name, objects, allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read as plain arrays"):
        read_skipthoughts(folder, "uni", WORDS)


@pytest.mark.parametrize("name", ["utable.npy", "uni_skip.npz"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", None])
def test_damaged_files(folder, name, content):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError, match=name):
        read_skipthoughts(folder, "uni", WORDS)


def test_an_archive_in_place_of_an_array_and_the_other_way(folder):
    uni, utable = (folder / name for name in ("uni_skip.npz", "utable.npy"))
    whole = uni.read_bytes()
    uni.write_bytes(utable.read_bytes())
    with pytest.raises(UserError, match="not an archive"):
        read_skipthoughts(folder, "uni", WORDS)
    utable.write_bytes(whole)
    with pytest.raises(UserError, match="not one array"):
        read_skipthoughts(folder, "uni", WORDS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("encoder_W", np.zeros((WORD_DIM + 1, 12), np.float32), r"\(4, 12\), got \(5, 12\)"),
        ("encoder_b", np.zeros((1, 12), np.float32), r"\(12\), got \(1, 12\)"),
        ("encoder_Ux", np.zeros((6, 5), np.float32), "expected shape"),
        ("encoder_U", np.zeros((6, 12), np.int64), "expected float32, got int64"),
        ("encoder_bx", np.full(6, np.nan, np.float32), "not finite"),
    ],
)
def test_wrong_arrays(folder, key, value, message):
    np.savez(folder / "uni_skip.npz", **(uni_arrays() | {key: value}))
    with pytest.raises(UserError, match=message) as error:
        read_skipthoughts(folder, "uni", WORDS)
    assert "uni_skip.npz" in str(error.value)


def test_an_array_that_is_missing(folder):
    arrays = uni_arrays()
    del arrays["encoder_Wx"]
    np.savez(folder / "uni_skip.npz", **arrays)
    with pytest.raises(UserError, match=r"uni_skip\.npz: has no array encoder_Wx"):
        read_skipthoughts(folder, "uni", WORDS)


def test_a_table_of_one_dimension_or_not_finite(folder):
    np.save(folder / "utable.npy", np.zeros(6, np.float32))
    with pytest.raises(UserError, match=r"expected shape \(any, any\), got \(6,\)"):
        read_skipthoughts(folder, "uni", WORDS)
    np.save(folder / "utable.npy", table() * np.inf)
    with pytest.raises(UserError, match="not finite"):
        read_skipthoughts(folder, "uni", WORDS)


def test_double_precision_is_read_as_single(folder):
    np.save(folder / "utable.npy", table(2).astype(np.float64))
    assert read_skipthoughts(folder, "uni", WORDS).embedding.dtype == np.float32


@pytest.mark.parametrize("layout", ["uni", "bi"])
def test_what_is_written_equals_the_official_layout(folder, tmp_path, layout):
    read = read_skipthoughts(folder, layout, DICTIONARY)
    rows = read.embedding[1:]
    paths = write_skipthoughts(
        tmp_path / "out", layout, DICTIONARY, [rows[:4], rows[4:]], read.grus
    )
    for path in paths:
        official = folder / path.name
        if path.suffix == ".npz":
            with np.load(path) as ours, np.load(official) as theirs:
                assert sorted(ours) == sorted(theirs)
                for key in theirs:
                    assert ours[key].dtype == np.float32
                    np.testing.assert_array_equal(ours[key], theirs[key])
        else:
            assert path.read_bytes() == official.read_bytes()


def test_writing_checks_the_number_of_rows(tmp_path):
    with pytest.raises(ValueError, match="6 rows, got 4"):
        write_skipthoughts(tmp_path, "uni", DICTIONARY, [table()[:4]], [])


def test_two_directions_of_different_sizes(folder):
    arrays = bi_arrays()
    arrays |= {key.replace("encoder_", "encoder_r_"): value for key, value in uni_arrays().items()}
    np.savez(folder / "bi_skip.npz", **arrays)
    with pytest.raises(UserError, match="two directions have different sizes"):
        read_skipthoughts(folder, "bi", WORDS)
