"""The kinds of sentence encoders, from files and without."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch

from galr import build_skipthoughts
from galr.common.errors import UserError
from galr.model.skipthoughts import KINDS
from tests.model import skipthought_folder
from tests.model.skipthought_folder import DICTIONARY, all_states, last_state, write_folder

WORDS = ("ships", "zeppelin", "many", "<unk>")  # two of them stand in the dictionary
TOKENS = torch.tensor([[3, 1, 2, 0, 0], [4, 0, 0, 0, 0], [3, 1, 2, 2, 1], [3, 1, 0, 0, 0]])
LENGTHS = torch.tensor([3, 1, 5, 2])


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "seq2vec")


def vectors_of(row, length, table):
    """What the released code looks up: the word's row, or that of UNK."""
    places = [
        DICTIONARY.index(WORDS[i - 1] if WORDS[i - 1] in DICTIONARY else "UNK")
        for i in row[:length].tolist()
    ]
    return table[places]


@pytest.mark.parametrize("kind", ["UniSkip", "DropUniSkip", "BayesianUniSkip"])
def test_uni_kinds_are_the_equations_of_the_paper(folder, kind):
    encoder = build_skipthoughts(kind, folder, WORDS).eval()
    arrays, table = skipthought_folder.uni_arrays(), skipthought_folder.table(2)
    expected = [
        last_state(arrays, "encoder_", vectors_of(row, length, table))
        for row, length in zip(TOKENS, LENGTHS, strict=True)
    ]
    assert encoder.sentence_dim == skipthought_folder.UNI_DIM
    np.testing.assert_allclose(encoder(TOKENS, LENGTHS).detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "pool"), [("BiSkip", "last"), ("BiGRU", "mean")])
def test_bi_kinds_are_two_directions_side_by_side(folder, kind, pool):
    encoder = build_skipthoughts(kind, folder, WORDS).eval()
    arrays, table = skipthought_folder.bi_arrays(), skipthought_folder.table(3)
    expected = []
    for row, length in zip(TOKENS, LENGTHS, strict=True):
        vectors = vectors_of(row, length, table)
        states = [
            all_states(arrays, "encoder_", vectors),
            all_states(arrays, "encoder_r_", vectors[::-1]),
        ]
        pooled = [s[-1] if pool == "last" else s.mean(axis=0) for s in states]
        expected.append(np.concatenate(pooled))
    assert encoder.sentence_dim == 2 * skipthought_folder.BI_DIM
    np.testing.assert_allclose(encoder(TOKENS, LENGTHS).detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_without_files_the_sizes_are_the_arguments(kind):
    encoder = build_skipthoughts(kind, words=WORDS, word_dim=5, hidden_dim=8).eval()
    assert encoder.sentence_dim == 8
    width = 8 if kind == "BagOfWords" else 5  # its word vectors are as long as their mean
    assert encoder.embedding.weight.shape == (len(WORDS) + 1, width)
    assert not encoder.embedding.weight[0].any()
    assert encoder(TOKENS, LENGTHS).shape == (4, 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_padding_and_company_change_nothing(kind, training):
    encoder = build_skipthoughts(kind, words=WORDS, dropout=0, word_dim=5, hidden_dim=8)
    encoder.train(training)
    together = encoder(torch.nn.functional.pad(TOKENS, (0, 50)))
    alone = [encoder(row[None, :n]) for row, n in zip(TOKENS, LENGTHS, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)
    torch.testing.assert_close(together, encoder(TOKENS, LENGTHS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_trains_all_weights(kind):
    encoder = build_skipthoughts(kind, words=WORDS, word_dim=5, hidden_dim=8)
    encoder(TOKENS, LENGTHS).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert not encoder.embedding.weight.grad[0].any()


def test_fixed_embedding_is_not_trained(folder):
    encoder = build_skipthoughts("BayesianUniSkip", folder, WORDS, fixed_embedding=True)
    encoder(TOKENS, LENGTHS).sum().backward()
    assert encoder.embedding.weight.grad is None
    assert encoder.gru.input.weight.grad is not None


def test_coverage_is_one_line_and_the_others_are_listed(folder, caplog):
    with caplog.at_level(logging.INFO):
        encoder = build_skipthoughts("UniSkip", folder, WORDS)
    assert caplog.messages == [f"{folder / 'dictionary.txt'}: 2 of 4 words found"]
    assert encoder.not_found == ("zeppelin", "<unk>")


def test_unknown_kind_and_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="UniSkip, DropUniSkip"):
        build_skipthoughts("Uniskip", words=WORDS)
    with pytest.raises(ValueError, match="dropout"):
        build_skipthoughts("UniSkip", words=WORDS, dropout=1.0)
    with pytest.raises(ValueError, match="even"):
        build_skipthoughts("BiSkip", words=WORDS, word_dim=4, hidden_dim=7)


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (torch.tensor([[1, 5]]), None, "token id 5 is outside the embedding table"),
        (torch.tensor([[1, -1]]), None, "token id -1 is outside"),
        (torch.tensor([[1, 2], [0, 0]]), None, "caption 1 of the batch is empty"),
        (torch.tensor([[1, 2]]), torch.tensor([0]), "caption 0 of the batch is empty"),
        (torch.tensor([[1, 2]]), torch.tensor([3]), "caption 0 of the batch has 3 tokens"),
        (torch.tensor([[1, 2]]), torch.tensor([1, 1]), r"lengths must be \(1,\), got \(2,\)"),
        (torch.tensor([1, 2]), None, r"tokens must be \(B, T\) of int64, got \(2,\)"),
        (torch.tensor([[1.0, 2.0]]), None, "float32"),
    ],
)
def test_wrong_captions_are_refused(tokens, lengths, message):
    encoder = build_skipthoughts("BayesianUniSkip", words=WORDS, word_dim=5, hidden_dim=8)
    with pytest.raises(ValueError, match=message):
        encoder(tokens, lengths)


def test_no_captions_give_no_vectors():
    encoder = build_skipthoughts("BayesianUniSkip", words=WORDS, word_dim=5, hidden_dim=8)
    assert encoder(torch.empty(0, 3, dtype=torch.int64)).shape == (0, 8)


def test_a_caption_of_any_length_is_encoded():
    encoder = build_skipthoughts("UniSkip", words=WORDS, word_dim=5, hidden_dim=8).eval()
    assert encoder(torch.ones(2, 200, dtype=torch.int64)).isfinite().all()


def test_kinds_load_each_others_files_only(folder):
    (folder / "bi_skip.npz").unlink()
    build_skipthoughts("UniSkip", folder, WORDS)
    with pytest.raises(UserError, match=r"bi_skip\.npz"):
        build_skipthoughts("BiGRU", folder, WORDS)


def test_gives_the_reference_vectors(parity_root, tmp_path):
    script = parity_root / "skipthought_files.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    with np.load(parity_root / "golden_skipthought.npz") as golden:
        tokens, lengths = torch.from_numpy(golden["tokens"]), torch.from_numpy(golden["lengths"])
        words = [str(word) for word in golden["vocabulary"]]
        for kind in ("UniSkip", "DropUniSkip", "BayesianUniSkip", "BiSkip"):
            encoder = build_skipthoughts(kind, tmp_path, words).eval()
            with torch.inference_mode():
                vectors = encoder(tokens, lengths)
            np.testing.assert_allclose(vectors, golden[kind], rtol=0, atol=1e-5)


def test_a_bag_of_words_is_the_mean_of_those_that_are_not_left_out():
    torch.manual_seed(0)
    encoder = build_skipthoughts("BagOfWords", None, WORDS, dropout=0.5, hidden_dim=3)
    table = encoder.embedding.weight.detach()
    whole = torch.stack(
        [table[row[:length]].mean(dim=0) for row, length in zip(TOKENS, LENGTHS, strict=True)]
    )
    torch.testing.assert_close(encoder.eval()(TOKENS, LENGTHS), whole)
    seen = torch.cat([encoder.train()(TOKENS[:1], LENGTHS[:1]) for _ in range(200)])
    subsets = [
        table[TOKENS[0, :3]][[bool(number >> i & 1) for i in range(3)]].sum(dim=0)
        / max(1, number.bit_count())
        for number in range(8)
    ]
    nearest = torch.cdist(seen, torch.stack(subsets)).min(dim=1)
    assert nearest.values.max() < 1e-3
    assert set(nearest.indices.tolist()) == set(range(8))


def test_a_bag_of_words_is_read_from_no_files(folder):
    with pytest.raises(UserError, match=r"set model\.seq2vec\.pretrained=false"):
        build_skipthoughts("BagOfWords", folder, WORDS)
