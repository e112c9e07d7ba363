"""The gated recurrent unit of skip-thoughts over captions, plain and with dropout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from galr.model.prefixes import Prefixes
from galr.model.variational_recurrence import last_states


class GRU(nn.Module):
    """A gated recurrent unit without recurrent bias (Kiros et al. 2015, eqs. 1-4).

    r = sigmoid(W_ir x + b_ir + W_hr h)
    i = sigmoid(W_ii x + b_ii + W_hi h)
    n = tanh(W_in x + b_in + r * (W_hn h))
    h' = (1 - i) * n + i * h

    ``input`` holds W_ir, W_ii, W_in in this order, ``recurrent`` W_hr, W_hi, W_hn.
    """

    def __init__(self, word_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.word_dim = word_dim
        self.hidden_dim = hidden_dim
        self.input = nn.Linear(word_dim, 3 * hidden_dim)
        self.recurrent = nn.Linear(hidden_dim, 3 * hidden_dim, bias=False)

    def forward(self, embedding: nn.Module, prefixes: Prefixes, mean: bool = False) -> Tensor:
        """Each caption's last state, or the mean of its states: (B, H).

        Projects each distinct word once and runs each prefix shared by captions once.
        """
        words = torch.cat([step.words for step in prefixes.steps])
        distinct, number = torch.unique(words, return_inverse=True)
        projected = self.input(embedding(distinct))  # (distinct words, 3H)
        numbers = torch.split(number, [len(step.words) for step in prefixes.steps])
        state = total = projected.new_zeros(1, self.hidden_dim)
        ended = []
        for t, (step, word) in enumerate(zip(prefixes.steps, numbers, strict=True), start=1):
            before = state[step.continued]
            recurrent = _rows(self.recurrent(before), step.parent)  # (n, 3H)
            inputs = _rows(projected, word)
            earlier = _rows(before, step.parent)
            state = _next_state(_by_gate(inputs), _by_gate(recurrent), earlier)
            if mean:
                total = _rows(total[step.continued], step.parent) + state
                ended.append(total[step.ended] / t)
            else:
                ended.append(state[step.ended])
        return _rows(torch.cat(ended), prefixes.place)


def dropout_masks(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
    """Inverted dropout masks: 0 with probability ``p``, else 1 / (1 - p), so that the mean is 1."""
    return like.new_empty(shape).bernoulli_(1.0 - p).div_(1.0 - p)


def bayesian_states(gru: GRU, words: PackedSequence, p: float) -> Tensor:
    """Last states (B, H) under variational dropout (Gal and Ghahramani 2016, section 4).

    Each caption draws one mask per gate for its inputs and one for its states, and keeps them over
    all steps. ``words`` are packed word vectors (sum of lengths, word_dim).
    """
    captions, size = int(words.batch_sizes[0]), gru.hidden_dim
    masks_in = dropout_masks((3, captions, gru.word_dim), p, words.data)
    caption = caption_of_word(words)
    masked = words.data * masks_in[:, caption]  # (3, sum of lengths, word_dim)
    weight_in = gru.input.weight.view(3, size, gru.word_dim).transpose(1, 2)
    inputs = torch.baddbmm(gru.input.bias.view(3, 1, size), masked, weight_in)
    masks_state = dropout_masks((3, captions, size), p, inputs)
    weight = gru.recurrent.weight.view(3, size, size).to(inputs.dtype)  # under autocast, half
    longest_first = last_states(inputs, weight, masks_state, caption, words.batch_sizes.tolist())
    return longest_first[words.unsorted_indices]


def dropped_states(gru: GRU, words: PackedSequence, p: float) -> Tensor:
    """Last states (B, H) with one mask per caption for its inputs and one for its states.

    All gates share the two masks, and the carried-over state is masked as well, as in the released
    DropUniSkip. ``words`` as in ``bayesian_states``.
    """
    captions = int(words.batch_sizes[0])
    mask_in = dropout_masks((captions, gru.word_dim), p, words.data)
    inputs = _by_gate(gru.input(words.data * mask_in[caption_of_word(words)]))
    mask_state = dropout_masks((captions, gru.hidden_dim), p, words.data)
    state, finished = torch.zeros_like(mask_state), []
    for step_inputs in torch.split(inputs, words.batch_sizes.tolist(), dim=1):
        active = step_inputs.shape[1]
        finished.append(state[active:])
        state = state[:active] * mask_state[:active]
        state = _next_state(step_inputs, _by_gate(gru.recurrent(state)), state)
    return torch.cat([state, *reversed(finished)])[words.unsorted_indices]


def _rows(table: Tensor, numbers: Tensor) -> Tensor:
    """``table[numbers]``; the gradient's sum over repeated rows is independent of threads."""
    return F.embedding(numbers, table)


def _by_gate(projected: Tensor) -> Tensor:
    """(n, 3H) -> (3, n, H)."""
    return projected.view(len(projected), 3, -1).transpose(0, 1)


def _next_state(inputs: Tensor, recurrent: Tensor, state: Tensor) -> Tensor:
    """The equations of ``GRU`` from both projections (3, n, H) and the state (n, H)."""
    reset = torch.sigmoid(inputs[0] + recurrent[0])
    update = torch.sigmoid(inputs[1] + recurrent[1])
    new = torch.tanh(inputs[2] + reset * recurrent[2])
    return torch.lerp(new, state, update)  # (1 - i) * n + i * h


def caption_of_word(words: PackedSequence) -> Tensor:
    """The caption, longest first, that each packed word belongs to: (sum of lengths,)."""
    captions = torch.arange(int(words.batch_sizes[0]))
    active = [captions[:size] for size in words.batch_sizes.tolist()]
    return torch.cat(active).to(words.data.device)
