"""Prefixes shared by captions, so that a recurrence runs over each prefix once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One time step: the distinct prefixes of t + 1 words.

    ``words`` (n,): their last ids. ``continued`` (m,): prefixes of the previous step that are
    extended; prefix i extends number ``parent[i]`` of these. ``ended`` (e,): prefixes that are
    whole captions.
    """

    words: Tensor
    continued: Tensor
    parent: Tensor
    ended: Tensor


@dataclass(frozen=True)
class Prefixes:
    """The steps, and each caption's position among all ended ones in order of steps, (B,)."""

    steps: tuple[Step, ...]
    place: Tensor


def shared_prefixes(tokens: Tensor, lengths: Tensor) -> Prefixes:
    """The distinct prefixes of captions: tokens (B, T), lengths (B,) on the CPU.

    RSICD's test captions have 62,163 words but 29,023 distinct prefixes; even batches of 70 share
    44 % of their steps.
    """
    ids = tokens.detach().cpu().numpy()
    counts = lengths.numpy()
    ids = np.where(np.arange(ids.shape[1]) < counts[:, None], ids, -1)
    order = np.lexsort(ids.T[::-1])
    ids, counts = ids[order], counts[order]
    new = np.ones(ids.shape, bool)
    # row i is the first with its prefix of t + 1 words if it differs from row i - 1 up to there
    new[1:] = np.logical_or.accumulate(ids[1:] != ids[:-1], axis=1)
    new &= ids >= 0
    beginning = np.cumsum(new, axis=0) - 1  # (B, T): number of the prefix within the step

    def on_device(indices: np.ndarray) -> Tensor:
        return torch.from_numpy(indices).to(tokens.device)

    steps, ended_rows = [], []
    for t in range(int(counts.max())):
        rows = new[:, t]
        parents = beginning[rows, t - 1] if t else np.zeros(int(rows.sum()), np.int64)
        continued, parent = np.unique(parents, return_inverse=True)
        ending = np.flatnonzero(counts == t + 1)
        ended_rows.append(order[ending])
        steps.append(
            Step(
                on_device(ids[rows, t]),
                on_device(continued),
                on_device(parent),
                on_device(beginning[ending, t]),
            )
        )
    place = np.empty(len(order), np.int64)
    place[np.concatenate(ended_rows)] = np.arange(len(order))
    return Prefixes(tuple(steps), on_device(place))
