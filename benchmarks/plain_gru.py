"""The Bayesian text encoder as a plain cell, written from its equations, to compare with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from galr.model.skipthoughts import SentenceEncoder

WORD_DIM, SENTENCE_DIM = 620, 2400  # the official sizes


class PlainBayesianGRU(nn.Module):
    """A GRU cell in a loop over time: three input and three recurrent products a step.

    r = sigmoid(W_ir (x * m_ir) + b_ir + W_hr (h * m_hr))
    i = sigmoid(W_ii (x * m_ii) + b_ii + W_hi (h * m_hi))
    n = tanh(W_in (x * m_in) + b_in + r * (W_hn (h * m_hn)))
    h' = (1 - i) * n + i * h

    Every caption of the batch runs for as many steps as the longest; masks last over the steps.
    """

    def __init__(self, encoder: SentenceEncoder, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        words = encoder.embedding.num_embeddings
        self.embedding = nn.Embedding(words, WORD_DIM, padding_idx=0)
        inputs = [nn.Linear(WORD_DIM, SENTENCE_DIM) for _ in range(3)]
        recurrents = [nn.Linear(SENTENCE_DIM, SENTENCE_DIM, bias=False) for _ in range(3)]
        self.inputs, self.recurrents = nn.ModuleList(inputs), nn.ModuleList(recurrents)
        with torch.no_grad():
            self.embedding.weight.copy_(encoder.embedding.weight)
            for gate in range(3):
                rows = slice(gate * SENTENCE_DIM, (gate + 1) * SENTENCE_DIM)
                inputs[gate].weight.copy_(encoder.gru.input.weight[rows])
                inputs[gate].bias.copy_(encoder.gru.input.bias[rows])
                recurrents[gate].weight.copy_(encoder.gru.recurrent.weight[rows])

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens (B, T), lengths (B,) -> (B, SENTENCE_DIM)."""
        words = self.embedding(tokens)
        masks_x = [self._mask(len(tokens), WORD_DIM) for _ in range(3)]
        masks_h = [self._mask(len(tokens), SENTENCE_DIM) for _ in range(3)]
        state = words.new_zeros(len(tokens), SENTENCE_DIM)
        states = []
        for t in range(tokens.shape[1]):
            x = [self.inputs[g](words[:, t] * masks_x[g]) for g in range(3)]
            h = [self.recurrents[g](state * masks_h[g]) for g in range(3)]
            reset, update = torch.sigmoid(x[0] + h[0]), torch.sigmoid(x[1] + h[1])
            new = torch.tanh(x[2] + reset * h[2])
            state = (1 - update) * new + update * state
            states.append(state)
        return torch.stack(states, dim=1)[torch.arange(len(tokens)), lengths - 1]

    def _mask(self, captions: int, numbers: int) -> Tensor | float:
        if not self.training or self.dropout == 0:
            return 1.0
        return torch.empty(captions, numbers).bernoulli_(1 - self.dropout).div_(1 - self.dropout)
