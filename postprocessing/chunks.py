"""Best entries and ranks in a chunk of lists on the CPU, without sorting what does not matter.

A floor for each list leaves the few entries that can matter, and these are sorted, all lists at
once, as integers made of list, similarity and column: so ties go to the lower column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GROUPS_A_CANDIDATE = 4  # more of them raise the floor, and cost more to find it

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
        raise ValueError("similarity holds NaN or infinity; rerank needs finite numbers")
    order = best_first(lists, _floor(lists, k))
    places = np.arange(min(k, lists.shape[1]))
    columns = order.column[order.starts[:-1, None] + places]
    return columns, np.take_along_axis(lists, columns, axis=1)


def ranks_and_sums_of_chunk(
    lists: Floats, row: Integers, column: Integers
) -> tuple[Integers, NDArray[np.float64]]:
    """Rank of some entries in their lists, from 0, and the sums of the lists.

    lists (b, n); row, column (P,): the entries, list by list -> (P,) and (b,) float64.
    """
    b, n = lists.shape
    asked = row * n + column
    # nothing below the worst entry that is asked for can change a rank
    floor = np.full(b, np.inf, lists.dtype)
    np.minimum.at(floor, row, lists.reshape(-1)[asked])
    order = best_first(lists, floor)
    place = np.empty(b * n, np.int64)
    place[order.row * n + order.column] = np.arange(len(order.row))
    # whole rows in float64 are summed alike wherever they lie; with dtype= numpy cuts them where
    # its buffer ends
    with np.errstate(over="ignore", invalid="ignore"):  # the caller checks
        sums = lists.astype(np.float64).sum(axis=1)
    return place[asked] - order.starts[row], sums


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
    keys.sort()
    column = keys & ((1 << bits) - 1)
    if lists.dtype == np.float64:
        column = _mended(lists, row, column)
    return BestFirst(row, column, starts)


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
