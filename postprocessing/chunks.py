"""Best entries and ranks in a chunk of lists on the CPU, without sorting what does not matter.

A floor for each list leaves the few entries that can matter, and these are sorted list by list as
integers made of similarity and place: so ties go to the lower column. Where many entries of a list
are asked for, its similarities alone are sorted, and the entries are looked up there.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.metrics.similarities import even_blocks

GROUPS_A_CANDIDATE = 4  # more of them raise the floor, and cost more to find it
MOST_PADDING = 4  # numbers a kept entry, before lists are sorted one by one
MANY_ASKED = 32  # entries of a list, from which it is cheaper to look them up
WIDENED_AT_A_TIME = 1 << 15  # numbers: they stay in the cache
LARGEST_SHARE = 1e30  # keeps the saliency of a list whose sum is nearly 0 finite in float32
NOT_FINITE = "similarity holds NaN or infinity; rerank needs finite numbers"

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


class BestFirst(NamedTuple):
    """Entries of lists in order: list by list, best first; M entries, b lists of n.

    ``entry`` (M,): list * n + column; ``starts`` (b + 1,): where each list starts, and M.
    """

    entry: Integers
    starts: Integers


def best_of_chunk(lists: Floats, k: int) -> tuple[Integers, Floats]:
    """Columns and values of each list's k best entries, best first.

    lists (b, n), in one piece -> two (b, min(k, n)). Raises ValueError on NaN and infinity.
    """
    if not np.isfinite(lists).all():
        raise ValueError(NOT_FINITE)
    b, n = lists.shape
    order = best_first(lists, _floor(lists, k))
    best = order.entry[order.starts[:-1, None] + np.arange(min(k, n))]
    return best - np.arange(0, b * n, n)[:, None], lists.reshape(-1)[best]


def ranks_and_shares_of_chunk(
    lists: Floats, ends: Integers, column: Integers
) -> tuple[Integers, NDArray[np.float64]]:
    """Rank of some entries in their lists, from 0, and their share of the lists' sums.

    lists (b, n), in one piece; list i is asked for ``column[ends[i]:ends[i + 1]]``, ends (b + 1,)
    from 0, column (P,) -> (P,) and (P,) float64.
    """
    b, n = lists.shape
    lengths = np.diff(ends)
    asked = np.repeat(np.arange(0, b * n, n), lengths) + column
    values = lists.reshape(-1)[asked]
    # nothing below the worst entry that is asked for can change a rank
    floor = np.full(b, np.inf, lists.dtype)
    some = lengths > 0
    if some.any():
        floor[some] = np.minimum.reduceat(values, ends[:-1][some])
    ranks = None
    if len(asked) >= MANY_ASKED * b:
        ranks = _looked_up(lists, floor, ends, asked, values)
    if ranks is None:
        order = best_first(lists, floor)
        place = np.empty(b * n, np.int32)
        place[order.entry] = np.arange(len(order.entry), dtype=np.int32)
        ranks = place[asked] - np.repeat(order.starts[:-1], lengths)
    share = values / np.repeat(_sums(lists), lengths)
    return ranks, np.clip(share, -LARGEST_SHARE, LARGEST_SHARE, out=share)


def best_first(lists: Floats, floor: Floats) -> BestFirst:
    """Each list's entries that reach its floor, in order; lists (b, n), floor (b,)."""
    b, n = lists.shape
    entries = np.flatnonzero(lists >= floor[:, None])
    starts = np.searchsorted(entries, np.arange(0, b * n + 1, n))
    bits = (b * n - 1).bit_length()
    keys = _falling(lists.reshape(-1)[entries], 63 - bits)
    keys <<= bits
    keys |= entries
    entry = _sorted_by_list(keys, starts) & ((1 << bits) - 1)
    if lists.dtype == np.float64:
        entry = _mended(lists, entry)
    return BestFirst(entry, starts)


def _sorted_by_list(keys: Integers, starts: Integers) -> Integers:
    """``keys`` (M,), which lie list by list, sorted within each list."""
    counts = np.diff(starts)
    b, width = len(counts), int(counts.max())
    if b * width > MOST_PADDING * len(keys):
        for start, stop in itertools.pairwise(starts):
            keys[start:stop].sort()
        return keys
    # equal lengths are sorted in one call
    kept = np.flatnonzero(np.arange(width) < counts[:, None])
    padded = np.full(b * width, np.iinfo(np.int64).max)
    padded[kept] = keys
    padded.reshape(b, width).sort(axis=1)
    return padded[kept]


def _looked_up(
    lists: Floats, floor: Floats, ends: Integers, asked: Integers, values: Floats
) -> Integers | None:
    """Ranks of the entries ``asked`` (P,) with ``values``; None where so many tie that it is slow.

    lists (b, n), floor (b,): no value is below it; ends (b + 1,).
    """
    b, n = lists.shape
    entries = np.flatnonzero(lists >= floor[:, None])
    starts = np.searchsorted(entries, np.arange(0, b * n + 1, n))
    rising = lists.reshape(-1)[entries]
    not_above = np.empty(len(asked), np.int64)
    edges = zip(itertools.pairwise(starts.tolist()), itertools.pairwise(ends.tolist()), strict=True)
    for (start, stop), (first, last) in edges:
        own = rising[start:stop]
        own.sort()
        not_above[first:last] = own.searchsorted(values[first:last], side="right")
    lengths = np.diff(ends)
    ranks = np.repeat(np.diff(starts), lengths) - not_above
    before = np.repeat(starts[:-1], lengths) + not_above - 2
    ties = np.flatnonzero((rising[before] == values) & (not_above > 1))
    if len(ties) > b:
        return None
    for tie in ties:
        row, column = divmod(int(asked[tie]), n)
        ranks[tie] += np.count_nonzero(lists[row, :column] == values[tie])
    return ranks


def _sums(lists: Floats) -> NDArray[np.float64]:
    """Sums that one can divide by: infinity for 0, and where a sum overflows."""
    # whole rows in float64 are summed alike wherever they lie; with dtype= numpy cuts them where
    # its buffer ends
    with np.errstate(over="ignore", invalid="ignore"):
        parts = even_blocks(len(lists), WIDENED_AT_A_TIME // lists.shape[1])
        sums = np.concatenate([lists[rows].astype(np.float64).sum(axis=1) for rows in parts])
    return np.where(np.isfinite(sums) & (sums != 0), sums, np.inf)


def _floor(lists: Floats, k: int) -> Floats:
    """A number that at least k entries of each list reach, and few more: (b, n) -> (b,).

    The k-th largest of the maxima of groups of entries.
    """
    b, n = lists.shape
    if k >= n:
        return np.full(b, -np.inf, lists.dtype)
    groups = min(n, GROUPS_A_CANDIDATE * k)
    whole = lists[:, : n // groups * groups]
    maxima = whole.reshape(b, -1, groups).max(axis=1)
    return np.partition(maxima, groups - k, axis=1)[:, groups - k]


def _falling(values: Floats, bits: int) -> Integers:
    """Integers of at most ``bits`` bits and a sign that fall as ``values`` rise.

    Different values may become equal: of float64 alone, whose own integers have 64 bits.
    """
    width = values.dtype.itemsize * 8
    integers = (values + 0.0).view(f"i{width // 8}")  # the sum makes -0 the 0 that it equals
    # of negative numbers all bits but the sign are turned, so that they rise; then all
    signs = integers >> (width - 1)
    signs &= (1 << (width - 1)) - 1
    integers ^= signs
    np.invert(integers, out=integers)
    if width > bits + 1:
        integers >>= width - 1 - bits
    falling: Integers = integers.astype(np.int64)
    return falling


def _mended(lists: Floats, entry: Integers) -> Integers:
    """``entry`` in true order where the keys took different values for the same."""
    row = entry // lists.shape[1]
    values = lists.reshape(-1)[entry]
    if not ((np.diff(values) > 0) & (np.diff(row) == 0)).any():
        return entry
    return entry[np.lexsort((entry, -values, row))]
