"""Best entries and ranks in a chunk of lists on the CPU, without sorting what does not matter.

A floor for each list leaves the few entries that can matter, and these are sorted, all lists at
once, as integers made of list, similarity and column: so ties go to the lower column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GROUPS_A_CANDIDATE = 4  # more of them raise the floor, and cost more to find it
LARGEST_SHARE = 1e30  # keeps the saliency of a list whose sum is nearly 0 finite in float32
NOT_FINITE = "similarity holds NaN or infinity; rerank needs finite numbers"
MOST_PADDING = 4  # times the keys, before they are sorted as one

Floats = NDArray[np.floating]
Integers = NDArray[np.int64]


class BestFirst(NamedTuple):
    """Entries of lists in order: list by list, best first; M entries, b lists.

    ``row`` and ``column`` (M,); ``starts`` (b + 1,): where each list starts, and M.
    """

    row: Integers
    column: Integers
    starts: Integers


def best_of_chunk(lists: Floats, k: int) -> tuple[Integers, Floats]:
    """Columns and values of each list's k best entries, best first.

    lists (b, n) -> two (b, min(k, n)). Raises ValueError on NaN and infinity.
    """
    if not np.isfinite(lists).all():
        raise ValueError(NOT_FINITE)
    order = best_first(lists, _floor(lists, k))
    places = np.arange(min(k, lists.shape[1]))
    columns = order.column[order.starts[:-1, None] + places]
    return columns, np.take_along_axis(lists, columns, axis=1)


def ranks_and_shares_of_chunk(
    lists: Floats, row: Integers, column: Integers
) -> tuple[Integers, NDArray[np.float64]]:
    """Rank of some entries in their lists, from 0, and their share of the lists' sums.

    lists (b, n); row, column (P,): the entries, list by list -> (P,) and (P,) float64.
    """
    b, n = lists.shape
    asked = row * n + column
    values = lists.reshape(-1)[asked]
    # nothing below the worst entry that is asked for can change a rank
    floor = np.full(b, np.inf, lists.dtype)
    np.minimum.at(floor, row, values)
    order = best_first(lists, floor)
    place = np.empty(b * n, np.int64)
    place[order.row * n + order.column] = np.arange(len(order.row))
    share = np.clip(values / _sums(lists)[row], -LARGEST_SHARE, LARGEST_SHARE)
    return place[asked] - order.starts[row], share


def _sums(lists: Floats) -> NDArray[np.float64]:
    """Sums that one can divide by: infinity for 0, and where a sum overflows."""
    # whole rows in float64 are summed alike wherever they lie; with dtype= numpy cuts them where
    # its buffer ends
    with np.errstate(over="ignore", invalid="ignore"):
        sums = lists.astype(np.float64).sum(axis=1)
    return np.where(np.isfinite(sums) & (sums != 0), sums, np.inf)


def best_first(lists: Floats, floor: Floats) -> BestFirst:
    """Each list's entries that reach its floor, in order; lists (b, n), floor (b,)."""
    b, n = lists.shape
    entries = np.flatnonzero(lists >= floor[:, None])
    starts = np.searchsorted(entries, np.arange(b + 1) * n)
    row = np.repeat(np.arange(b), np.diff(starts))
    values = lists.reshape(-1)[entries]
    bits = max(1, (n - 1).bit_length())
    keys = row << (63 - b.bit_length())
    keys |= _descending(values, 63 - b.bit_length() - bits) << bits
    keys |= entries - row * n
    column = _sorted_by_row(keys, row, starts) & ((1 << bits) - 1)
    if lists.dtype == np.float64:
        column = _mended(lists, row, column)
    return BestFirst(row, column, starts)


def _sorted_by_row(keys: Integers, row: Integers, starts: Integers) -> Integers:
    """``keys`` (M,), which lie row by row, sorted within each row."""
    width = int(np.diff(starts).max())
    rows = len(starts) - 1
    if width * rows > MOST_PADDING * len(keys):
        keys.sort()  # the row is their first bits
        return keys
    # many short sorts are several times faster than a long one
    padded = np.full(rows * width, np.iinfo(np.int64).max)
    places = np.arange(len(keys)) + (row * width - starts[row])
    padded[places] = keys
    padded.reshape(rows, width).sort(axis=1)
    return padded[places]


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


def _descending(values: Floats, bits: int) -> Integers:
    """Integers of ``bits`` bits that fall as ``values`` rise; equal ones may have been different.

    That happens to float64 alone, whose own integers have 64 bits.
    """
    width = values.dtype.itemsize * 8
    integers = (values + 0.0).view(f"i{width // 8}")  # the sum makes -0 the 0 that it equals
    largest = (1 << (width - 1)) - 1
    rising = integers ^ ((integers >> (width - 1)) & largest)
    if width > bits:
        rising >>= width - bits
    # from -2^(w-1) .. 2^(w-1) - 1 to 2^w - 1 .. 0
    falling: Integers = (1 << (min(width, bits) - 1)) - 1 - rising.astype(np.int64)
    return falling


def _mended(lists: Floats, row: Integers, column: Integers) -> Integers:
    """``column`` in true order where the keys took different values for the same."""
    values = lists[row, column]
    if not ((np.diff(values) > 0) & (np.diff(row) == 0)).any():
        return column
    return column[np.lexsort((column, -values, row))]
