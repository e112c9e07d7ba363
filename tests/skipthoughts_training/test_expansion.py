"""The linear map from word vectors to the encoder's, and the files it is learnt from."""

import logging

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.skipthoughts_training import expansion
from galr.skipthoughts_training.expansion import WordVectors

KNOWN = ("eos", "UNK", *(f"word{i}" for i in range(20)))


def lines(words, vectors):
    return "".join(
        f"{word} {' '.join(map(repr, map(float, vector)))}\n"
        for word, vector in zip(words, vectors, strict=True)
    )


@pytest.fixture
def vectors():
    return np.random.default_rng(0).standard_normal((len(KNOWN) + 3, 5)).astype(np.float32)


@pytest.fixture
def file(tmp_path, vectors):
    path = tmp_path / "vectors.txt"
    path.write_text(lines([*KNOWN[2:], "lake", "ice rink", "été", "<a>", "<b>"], vectors))
    return path


@pytest.mark.parametrize("block", [1, 2, 4096])
def test_finds_the_map_that_made_the_table(file, vectors, monkeypatch, block):
    monkeypatch.setattr(expansion, "BLOCK", block)
    true_map = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    table = np.concatenate([np.ones((2, 4), np.float32), vectors[:20] @ true_map])
    read = WordVectors(file, KNOWN)
    assert read.new_words == ["lake", "ice rink", "été", "<a>", "<b>"]
    found = read.fit(table)
    np.testing.assert_allclose(found, true_map, rtol=0, atol=1e-5)
    mapped = np.concatenate(list(read.mapped(found)))
    np.testing.assert_allclose(mapped, vectors[20:] @ true_map, rtol=0, atol=1e-5)


def test_the_map_has_the_least_squared_error(file, vectors):
    table = np.random.default_rng(2).standard_normal((22, 4)).astype(np.float32)
    found = WordVectors(file, KNOWN).fit(table)
    residual = vectors[:20] @ found - table[2:]
    np.testing.assert_allclose(vectors[:20].T @ residual, 0, atol=1e-4)


def test_word2vecs_first_line_blank_lines_and_tabs_change_nothing(file, tmp_path):
    other = tmp_path / "word2vec.txt"
    text = file.read_text().replace("word3 ", "word3\t") + "\n"
    other.write_text("25 5\n" + text)
    ours, theirs = WordVectors(file, KNOWN), WordVectors(other, KNOWN)
    assert ours.new_words == theirs.new_words
    np.testing.assert_array_equal(ours.shared_vectors, theirs.shared_vectors)


def test_a_word_that_stands_twice_is_taken_once(file):
    first = WordVectors(file, KNOWN)
    file.write_text(file.read_text() + "lake 1 1 1 1 1\nword3 1 1 1 1 1\n")
    again = WordVectors(file, KNOWN)
    assert again.new_words == first.new_words
    np.testing.assert_array_equal(again.shared_vectors, first.shared_vectors)
    mapped = [np.concatenate(list(each.mapped(np.eye(5)))) for each in (first, again)]
    np.testing.assert_array_equal(*mapped)


def test_too_few_shared_words_are_said(tmp_path, caplog):
    path = tmp_path / "few.txt"
    path.write_text("word1 1 0 0\nword2 0 1 0\nlake 1 1 0\n")
    with caplog.at_level(logging.WARNING):
        found = WordVectors(path, KNOWN).fit(np.ones((22, 2), np.float32))
    assert "2 shared words underdetermine the map from 3 dimensions" in caplog.text
    np.testing.assert_allclose(np.array([1, 1, 0]) @ found, [2, 2], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word1 1 2 3\nword2 1 2\n", r"vectors\.txt:2: expected a word and 3 numbers"),
        ("word1 1 2 3\nword2 1 x 3\n", r"vectors\.txt:2: expected a word and 3 numbers"),
        ("word1 1 nan 3\n", r"vectors\.txt:1: expected a word and 3 numbers"),
        ("word1\n", r"vectors\.txt:1: expected a word and 0 numbers"),
        ("ship 1 2\n", "shares no word with the corpus"),
        ("", "shares no word with the corpus"),
    ],
)
def test_files_that_are_no_vectors(tmp_path, text, message):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        WordVectors(path, KNOWN)
