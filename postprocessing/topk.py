"""Top-k entries and ranks in similarity lists; equal similarities are ordered by column.

A list is a row of a block (b, n). On the CPU, NumPy works on chunks that fit the cache, one per
thread: a threshold selects the few entries of each list that matter, and only these are sorted, as
integers composed of similarity and position. A GPU sorts whole lists.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.metrics.similarities import even_blocks

# similarities per thread and chunk: larger arrays leave the cache, and their pages would be mapped
# again for every chunk
CHUNK_NUMBERS = 1 << 18
GROUPS_PER_ENTRY = 4  # more groups raise the threshold of the top k but take longer
SUMMED_AT_A_TIME = 1 << 15  # numbers: their float64 copies stay in the cache
LARGEST_SHARE = 1e30  # keeps the saliency finite in float32 if a list's sum is nearly 0
NOT_FINITE = "similarity contains NaN or infinity; re-ranking needs finite numbers"

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


def fill_top_k(lists: Tensor, columns: Tensor, values: Tensor) -> None:
    """Writes the columns and values of each list's K largest entries, in descending order.

    lists (b, n) in any layout; columns (b, K) int64, values (b, K), K <= n. Raises ValueError on
    NaN and infinity.
    """
    if lists.device.type != "cpu":
        _sort_top_k(lists, columns, values)
        return
    k = columns.shape[1]
    array, own_columns, own_values = lists.numpy(), columns.numpy(), values.numpy()

    def fill(rows: slice) -> None:
        own_columns[rows], own_values[rows] = _top_k(_contiguous(array[rows]), k)

    _for_chunks(fill, array.shape)


def fill_ranks(
    lists: Tensor, offsets: Tensor, column: Tensor, target: Tensor, rank: Tensor, share: Tensor
) -> None:
    """Writes each requested entry's rank in its list, from 0, and its share of the list's sum.

    lists (b, n) in any layout. Of list i, ``column[offsets[i]:offsets[i + 1]]`` is requested;
    offsets (b + 1,) start at 0, column (P,). Results go to the positions ``target`` (P,) of the
    flat ``rank``, int64, and ``share``, float64.
    """
    if lists.device.type != "cpu":
        _sort_ranks(lists, offsets, column, target, rank, share)
        return
    array, starts, columns, targets = (part.numpy() for part in (lists, offsets, column, target))
    ranks_out, shares_out = rank.numpy(), share.numpy()

    def fill(rows: slice) -> None:
        own_starts = starts[rows.start : rows.stop + 1]
        own = slice(own_starts[0], own_starts[-1])
        ranks_out[targets[own]], shares_out[targets[own]] = _ranks_and_shares(
            _contiguous(array[rows]), own_starts - own_starts[0], columns[own]
        )

    _for_chunks(fill, array.shape)


def _sort_top_k(lists: Tensor, columns: Tensor, values: Tensor) -> None:
    """``fill_top_k`` on a GPU."""
    if not bool(lists.isfinite().all()):
        raise ValueError(NOT_FINITE)
    best, order = lists.sort(dim=1, descending=True, stable=True)
    columns.copy_(order[:, : columns.shape[1]])
    values.copy_(best[:, : columns.shape[1]])


def _sort_ranks(
    lists: Tensor, offsets: Tensor, column: Tensor, target: Tensor, rank: Tensor, share: Tensor
) -> None:
    """``fill_ranks`` on a GPU."""
    ranks = lists.sort(dim=1, descending=True, stable=True).indices.argsort(dim=1)
    row = torch.repeat_interleave(offsets.diff())
    rank[target] = ranks[row, column]
    sums = lists.sum(dim=1, dtype=torch.float64)
    sums = torch.where(sums.isfinite() & (sums != 0), sums, torch.inf)
    share[target] = (lists[row, column] / sums[row]).clamp_(-LARGEST_SHARE, LARGEST_SHARE)


def _for_chunks(function: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    """Calls ``function`` with each chunk of rows, on as many threads as torch may use."""
    threads = torch.get_num_threads()
    chunks = even_blocks(shape[0], min(CHUNK_NUMBERS // shape[1], -(-shape[0] // threads)))
    if min(threads, len(chunks)) == 1:
        for rows in chunks:
            function(rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, chunks))  # list() re-raises exceptions of the threads


def _contiguous(lists: Floats) -> Floats:
    """``lists`` with contiguous rows; 64 columns are copied at a time, which stay in the cache."""
    if lists.flags.c_contiguous:
        return lists
    copy = np.empty(lists.shape, lists.dtype)
    for start in range(0, lists.shape[1], 64):
        copy[:, start : start + 64] = lists[:, start : start + 64]
    return copy


def _top_k(lists: Floats, k: int) -> tuple[Integers, Floats]:
    """Columns and values of each list's k largest entries: (b, n) -> two (b, min(k, n))."""
    if not np.isfinite(lists).all():
        raise ValueError(NOT_FINITE)
    b, n = lists.shape
    entries, starts = _sorted_entries(lists, _top_k_threshold(lists, k))
    best = entries[starts[:-1, None] + np.arange(min(k, n))]
    return best - np.arange(0, b * n, n)[:, None], lists.reshape(-1)[best]


def _top_k_threshold(lists: Floats, k: int) -> Floats:
    """A value reached by at least k entries of each list and few more: (b, n) -> (b,).

    The k-th largest of the maxima of groups of entries.
    """
    b, n = lists.shape
    if k >= n:
        return np.full(b, -np.inf, lists.dtype)
    groups = min(n, GROUPS_PER_ENTRY * k)
    maxima = lists[:, : n // groups * groups].reshape(b, -1, groups).max(axis=1)
    return np.partition(maxima, groups - k, axis=1)[:, groups - k]


def _ranks_and_shares(
    lists: Floats, offsets: Integers, column: Integers
) -> tuple[Integers, NDArray[np.float64]]:
    """``fill_ranks`` of one chunk: ranks and shares (P,) in the order of the requests."""
    b, n = lists.shape
    lengths = np.diff(offsets)
    requested = np.repeat(np.arange(0, b * n, n), lengths) + column
    values = lists.reshape(-1)[requested]
    # entries below the smallest requested one affect no rank
    threshold = np.full(b, np.inf, lists.dtype)
    some = lengths > 0
    if some.any():
        threshold[some] = np.minimum.reduceat(values, offsets[:-1][some])
    entries, starts = _sorted_entries(lists, threshold)
    position = np.empty(b * n, np.int32)
    position[entries] = np.arange(len(entries), dtype=np.int32)
    ranks = position[requested] - np.repeat(starts[:-1], lengths)
    share = values / np.repeat(_sums(lists), lengths)
    return ranks, np.clip(share, -LARGEST_SHARE, LARGEST_SHARE, out=share)


def _sorted_entries(lists: Floats, threshold: Floats) -> tuple[Integers, Integers]:
    """The entries that reach their list's threshold (b,), list by list, each in descending order.

    lists (b, n) -> positions in the flat lists (M,), and where each list starts among these,
    (b + 1,).
    """
    b, n = lists.shape
    entries = np.flatnonzero(lists >= threshold[:, None])
    starts = np.searchsorted(entries, np.arange(0, b * n + 1, n))
    values = lists.reshape(-1)[entries]
    if lists.dtype != np.float32:
        return entries[np.lexsort((-values, entries // n))], starts
    # upper bits: the similarity, descending; lower bits: the position
    shift = (b * n - 1).bit_length()
    keys = (_descending_integers(values) << shift) | entries
    for start, stop in itertools.pairwise(starts.tolist()):
        keys[start:stop].sort()
    return keys & ((1 << shift) - 1), starts


def _descending_integers(values: Floats) -> Integers:
    """Integers of 32 bits that descend as the float32 ``values`` ascend."""
    bits = (values + np.float32(0)).view(np.int32)  # adding 0 turns -0 into 0
    # below the sign bit, negative floats are ordered the other way round
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    descending: Integers = np.invert(bits).astype(np.int64)
    return descending


def _sums(lists: Floats) -> NDArray[np.float64]:
    """Sums to divide by: infinity where the sum is 0 or overflows."""
    # converting whole rows gives the same sum in every chunk; with dtype=, NumPy would split them
    # at the end of its buffer
    with np.errstate(over="ignore", invalid="ignore"):
        parts = even_blocks(len(lists), SUMMED_AT_A_TIME // lists.shape[1])
        sums = np.concatenate([lists[rows].astype(np.float64).sum(axis=1) for rows in parts])
    return np.where(np.isfinite(sums) & (sums != 0), sums, np.inf)
