"""What is trained, against a loop over sentences and words written from the paper."""

import pytest
import torch
from torch.nn.functional import log_softmax

from galr.model.skipthoughts import KINDS
from galr.skipthoughts_training.model import (
    AdaptiveSoftmax,
    FullSoftmax,
    Neighbours,
    Sentences,
    SkipThoughtsModel,
    word_softmax,
)

WORDS = 9  # with the end (class 0) and the unknown word (class 1)


def sentences(*rows):
    tokens = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.int64)
    for target, row in zip(tokens, rows, strict=True):
        target[: len(row)] = torch.tensor(row)
    return Sentences(tokens, torch.tensor([len(row) for row in rows], dtype=torch.int64))


BATCH = [[3, 4, 5], [6], [2, 7, 7, 9]]
BEFORE = {1: [3, 4, 5, 8], 2: [6]}
AFTER = {0: [6], 1: [2, 7]}


def neighbours(by_row):
    return Neighbours(sentences(*by_row.values()), torch.tensor(list(by_row), dtype=torch.int64))


def slow_gru_step(gru, x, state):
    """PyTorch's own equations, gates r, z, n."""
    inputs = (gru.weight_ih_l0 @ x + gru.bias_ih_l0).chunk(3)
    before = (gru.weight_hh_l0 @ state + gru.bias_hh_l0).chunk(3)
    reset, update = (torch.sigmoid(a + b) for a, b in zip(inputs[:2], before[:2], strict=True))
    new = torch.tanh(inputs[2] + reset * before[2])
    return (1 - update) * new + update * state


def slow_log_probabilities(model, decoder, vector, sentence):
    state, before, found = torch.zeros(decoder.gru.hidden_size, dtype=vector.dtype), 0, []
    for word in [*sentence, 1]:  # id 1 is the end of the sentence
        x = torch.cat([model.encoder.embedding(torch.tensor(before)), vector])
        state = slow_gru_step(decoder.gru, x, state)
        scores = model.softmax.projection(state)
        found.append(log_softmax(scores, dim=0)[word - 1])
        before = word
    return found


@pytest.mark.parametrize("kind", ["UniSkip", "BiSkip"])
def test_log_probabilities_and_gradients_equal_the_loop(kind):
    torch.manual_seed(0)
    model = SkipThoughtsModel(KINDS[kind](WORDS, 5, 6), decoder_dim=7, softmax="full").double()
    fast = model(sentences(*BATCH), neighbours(BEFORE), neighbours(AFTER))
    slow = []
    for decoder, by_row in ((model.previous, BEFORE), (model.following, AFTER)):
        for row, sentence in by_row.items():
            vector = model.encoder(*sentences(BATCH[row]))[0]
            slow += slow_log_probabilities(model, decoder, vector, sentence)
    assert len(fast) == len(slow) == 5 + 2 + 2 + 3
    torch.testing.assert_close(fast.sort()[0], torch.stack(slow).sort()[0], rtol=1e-9, atol=0)
    weights = list(model.parameters())
    for got, expected in zip(
        torch.autograd.grad(fast.sum(), weights),
        torch.autograd.grad(torch.stack(slow).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_a_batch_may_have_no_sentence_before_or_none_after():
    torch.manual_seed(0)
    model = SkipThoughtsModel(KINDS["UniSkip"](WORDS, 5, 6), decoder_dim=7, softmax="full")
    assert len(model(sentences(*BATCH), neighbours({}), neighbours(AFTER))) == 5
    assert len(model(sentences(*BATCH), neighbours(BEFORE), neighbours({}))) == 7


@pytest.mark.parametrize("classes", [2001, 2500, 10001, 12000])
def test_adaptive_softmax_is_a_distribution(classes):
    torch.manual_seed(0)
    softmax = word_softmax("adaptive", 16, classes)
    assert isinstance(softmax, AdaptiveSoftmax)
    state = torch.randn(1, 16).expand(classes, 16)
    total = softmax(state, torch.arange(classes)).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "dim", "classes"),
    [("adaptive", 16, 2000), ("full", 16, 12000), ("adaptive", 8, 12000)],
)
def test_full_softmax_where_asked_for_or_small(kind, dim, classes):
    assert isinstance(word_softmax(kind, dim, classes), FullSoftmax)
