"""Lists of similarities, best first, without sorting what does not matter.

A list is a row of a block (b, n). A floor for each list leaves the few entries that can matter,
and these are sorted, all lists at once, as integers made of list, similarity and column: so ties
go to the lower column, and no order is left to chance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.evaluation.similarities import even_blocks

GROUPS_A_CANDIDATE = 4  # more of them raise the floor, and cost more to find it
MOST_NUMBERS = 1 << 29  # in a block: list and column must fit into 31 bits of a key
SUMMED_AT_A_TIME = 1 << 18  # numbers that are widened to float64 at a time: they fit the cache


class BestFirst(NamedTuple):
    """Entries of lists in order: list by list, best first; M entries, b lists.

    ``row`` and ``column`` (M,); ``starts`` (b + 1,): where each list starts, and M.
    """

    row: Tensor
    column: Tensor
    starts: Tensor


def best_candidates(lists: Tensor, k: int) -> Tensor:
    """Columns of each list's k best entries, best first, ties by column.

    lists (b, n) -> (b, min(k, n)) int64.
    """
    order = best_first(lists, _floor(lists, k))
    places = torch.arange(min(k, lists.shape[1]), device=lists.device)
    return order.column[order.starts[:-1, None] + places]


def ranks_in_lists(lists: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Rank of some entries in their lists, from 0, ties by column.

    lists (b, n); row, column (P,): the entries -> (P,) int64.
    """
    b, n = lists.shape
    asked = row * n + column
    # nothing below the worst entry that is asked for can change a rank
    floor = torch.full_like(lists[:, 0], torch.inf)
    floor.scatter_reduce_(0, row, lists.view(-1)[asked], "amin")
    order = best_first(lists, floor)
    place = torch.empty(b * n, dtype=torch.int32, device=lists.device)
    place[order.row * n + order.column] = torch.arange(
        len(order.row), dtype=torch.int32, device=lists.device
    )
    return place[asked] - order.starts[row]


def best_first(lists: Tensor, floor: Tensor) -> BestFirst:
    """Each list's entries that reach its floor, in order; lists (b, n), floor (b,)."""
    b, n = lists.shape
    entries = _nonzero(lists >= floor[:, None])  # flat and ascending
    firsts = torch.arange(b + 1, device=lists.device) * n
    starts = torch.searchsorted(entries, firsts)
    row = torch.repeat_interleave(starts.diff())
    bits = max(1, (n - 1).bit_length())
    keys = ((row << 32) | _descending(lists.view(-1)[entries])) << bits
    keys |= entries - firsts[row]
    return BestFirst(row, _sorted(keys) & ((1 << bits) - 1), starts)


def list_sums(lists: Tensor) -> Tensor:
    """Sum of each list, in float64 and in an order of its own: (b, n) -> (b,).

    A list's sum does not depend on the lists that are summed beside it.
    """
    if lists.is_cuda:
        return lists.sum(dim=1, dtype=torch.float64)
    sums = torch.empty(len(lists), dtype=torch.float64)
    for block in even_blocks(len(lists), SUMMED_AT_A_TIME // lists.shape[1]):
        sums[block] = torch.from_numpy(lists[block].double().numpy().sum(axis=1))
    return sums


def _floor(lists: Tensor, k: int) -> Tensor:
    """A number that at least k entries of each list reach, and few more: (b, n) -> (b,).

    The k-th largest of the maxima of groups of entries.
    """
    b, n = lists.shape
    if k >= n:
        return torch.full_like(lists[:, 0], -torch.inf)
    groups = min(n, GROUPS_A_CANDIDATE * k)
    maxima = lists[:, : n // groups * groups].reshape(b, -1, groups).amax(dim=1)
    if maxima.is_cuda:
        return maxima.topk(k, dim=1).values[:, -1]
    kth: Tensor = torch.from_numpy(np.partition(maxima.numpy(), groups - k, axis=1))[:, groups - k]
    return kth


def _descending(values: Tensor) -> Tensor:
    """Integers 0 .. 2^32 - 1 in the reverse order of ``values``, equal for equal ones."""
    if values.dtype == torch.float32:
        bits = (values + 0.0).view(torch.int32)  # the sum makes -0 the 0 that it equals
        ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        return (1 << 31) + (~ascending).long()
    # 64 bits leave no room for list and column: the values' own ranks do
    if values.is_cuda:
        ascending = torch.unique(values, return_inverse=True)[1]
    else:
        ascending = torch.from_numpy(np.unique(values.numpy(), return_inverse=True)[1])
    return len(values) - ascending


# numpy's are several times as fast as torch's on the CPU


def _nonzero(mask: Tensor) -> Tensor:
    flat = mask.view(-1)
    if mask.is_cuda:
        return flat.nonzero()[:, 0]
    return torch.from_numpy(np.flatnonzero(flat.numpy()))


def argsort(keys: Tensor) -> Tensor:
    """The stable order of integers (M,) from 0 to 2^31: (M,) int64."""
    if keys.is_cuda:
        return keys.argsort(stable=True)
    places = torch.arange(len(keys))
    return torch.from_numpy(np.sort(((keys << 32) | places).numpy())) & 0xFFFFFFFF


def _sorted(keys: Tensor) -> Tensor:
    return keys.sort().values if keys.is_cuda else torch.from_numpy(np.sort(keys.numpy()))
