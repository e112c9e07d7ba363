"""Dropout of the recurrent kinds against a slow loop, and what its masks do."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from galr.model.gru import GRU, bayesian_states, dropout_masks, dropped_states
from galr.model.prefixes import shared_prefixes

LENGTHS = torch.tensor([2, 5, 1, 5, 3])
P = 0.4


def words_and_gru(dtype=torch.float64):
    torch.manual_seed(3)
    gru = GRU(4, 6).to(dtype)
    return gru, torch.randn(len(LENGTHS), 5, 4, dtype=dtype, requires_grad=True)


def packed(words):
    return pack_padded_sequence(words, LENGTHS, batch_first=True, enforce_sorted=False)


def slow_states(gru, words, masks_in, masks_state, carry_masked):
    """Gate by gate and step by step; masks (3, B, .) by gate, of the longest caption first."""
    order = torch.argsort(LENGTHS, descending=True, stable=True)
    ended = [None] * len(LENGTHS)
    for row, caption in enumerate(order.tolist()):
        state = torch.zeros(gru.hidden_dim, dtype=words.dtype)
        for x in words[caption, : LENGTHS[caption]]:
            carried = state * masks_state[0, row] if carry_masked else state
            parts = []
            for gate in range(3):
                chosen = slice(gate * gru.hidden_dim, (gate + 1) * gru.hidden_dim)
                before = carried if carry_masked else state * masks_state[gate, row]
                parts.append(
                    (
                        gru.input.weight[chosen] @ (x * masks_in[gate, row])
                        + gru.input.bias[chosen],
                        gru.recurrent.weight[chosen] @ before,
                    )
                )
            reset, update = (torch.sigmoid(a + b) for a, b in parts[:2])
            new = torch.tanh(parts[2][0] + reset * parts[2][1])
            state = (1 - update) * new + update * carried
        ended[caption] = state
    return torch.stack(ended)


def gradients(states, gru, words):
    weights = (words, *gru.parameters())
    scale = torch.linspace(-1, 2, states.numel(), dtype=states.dtype).view_as(states)
    return torch.autograd.grad((states * scale).sum(), weights)


@pytest.mark.parametrize("kind", ["bayesian", "dropped"])
def test_equals_the_loop_with_masks_that_last(kind):
    gru, words = words_and_gru()
    bayesian = kind == "bayesian"
    torch.manual_seed(7)
    fast = (bayesian_states if bayesian else dropped_states)(gru, packed(words), P)
    torch.manual_seed(7)
    gates = (3,) if bayesian else ()
    masks_in = dropout_masks((*gates, len(LENGTHS), 4), P, words.detach())
    masks_state = dropout_masks((*gates, len(LENGTHS), 6), P, words.detach())
    if not bayesian:
        masks_in, masks_state = masks_in.expand(3, -1, -1), masks_state.expand(3, -1, -1)
    slow = slow_states(gru, words, masks_in, masks_state, carry_masked=not bayesian)
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-12)
    for got, expected in zip(gradients(fast, gru, words), gradients(slow, gru, words), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("function", [bayesian_states, dropped_states])
def test_without_dropout_it_is_the_plain_gru(function):
    gru, words = words_and_gru()
    ids = torch.arange(1, 26).view(5, 5)
    table = nn.Embedding.from_pretrained(torch.cat([words.new_zeros(1, 4), words.flatten(0, 1)]))
    plain = gru(table, shared_prefixes(ids, LENGTHS))
    torch.testing.assert_close(function(gru, packed(words), 0.0), plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("function", [bayesian_states, dropped_states])
def test_a_caption_keeps_its_input_mask_over_time_and_draws_its_own(function):
    torch.manual_seed(5)
    gru, words = GRU(30, 40).double(), torch.randn(5, 5, 30, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(function(gru, packed(words), 0.6).sum(), words)
    # an input number that all gates drop has no gradient; the reset gate has none in the first
    # step, where there is no state to reset
    patterns = [gradient[row, 1:length] == 0 for row, length in enumerate(LENGTHS) if length > 1]
    for pattern in patterns:
        assert pattern.any()
        assert torch.equal(pattern, pattern[:1].expand_as(pattern))
    assert len({tuple(pattern[0].tolist()) for pattern in patterns}) == len(patterns)


@pytest.mark.parametrize(("function", "alike"), [(bayesian_states, False), (dropped_states, True)])
def test_gates_have_masks_of_their_own_in_the_bayesian_kind_only(function, alike):
    torch.manual_seed(5)
    gru, word = GRU(30, 40).double(), torch.randn(1, 1, 30, dtype=torch.float64)
    one_word = pack_padded_sequence(word, torch.tensor([1]), batch_first=True)
    states = function(gru, one_word, 0.5)
    (gradient,) = torch.autograd.grad(states.sum(), gru.input.weight)
    _, seen_by_update, seen_by_new = (gradient.view(3, 40, 30) != 0).any(dim=1)
    assert torch.equal(seen_by_update, seen_by_new) == alike


@pytest.mark.parametrize("p", [0.0, 0.25, 0.7])
def test_masks_have_mean_1_and_drop_their_share(p):
    torch.manual_seed(0)
    masks = dropout_masks((1000, 200), p, torch.empty(0, dtype=torch.float64))
    assert masks.mean().item() == pytest.approx(1.0, abs=0.02)
    assert (masks == 0).double().mean().item() == pytest.approx(p, abs=0.01)
    assert masks.unique().numel() == (2 if p else 1)


def test_masks_are_new_for_every_batch():
    gru, words = words_and_gru()
    first, second = (bayesian_states(gru, packed(words), P) for _ in range(2))
    assert not torch.equal(first, second)


def test_trains_under_autocast():
    gru, words = words_and_gru(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = bayesian_states(gru, packed(words), P)
    states.float().sum().backward()
    assert gru.recurrent.weight.grad.isfinite().all()


def test_gradients_are_the_same_bits_in_every_run_with_two_threads():
    torch.manual_seed(0)
    gru, embedding = GRU(64, 256), nn.Embedding(20, 64)
    lengths = torch.randint(3, 9, (300,))
    prefixes = shared_prefixes(torch.randint(0, 20, (300, 8)), lengths)
    upstream = torch.randn(300, 256)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        runs = set()
        for _ in range(10):
            gru.zero_grad()
            gru(embedding, prefixes, mean=True).backward(upstream)
            runs.add(gru.recurrent.weight.grad.numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    assert len(runs) == 1
