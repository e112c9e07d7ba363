"""What pass over similarity lists yields, by numpy on the CPU and by sorting on a GPU.

A list is a row of a block (b, n), best entries wanted; equal entries are ordered by column. On the
CPU the block is cut into chunks that fit the cache, and threads share them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.evaluation.similarities import even_blocks
from postprocessing import chunks, sorted_lists

CHUNK_NUMBERS = 1 << 18  # similarities that one thread handles at a time: they fit its cache

Part = TypeVar("Part")


def best_of_lists(lists: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Columns (int64) and values of each list's k best entries, best first.

    lists (b, n) in any layout -> two (b, min(k, n)). Raises ValueError on NaN and infinity.
    """
    if lists.device.type != "cpu":
        return sorted_lists.best_of_lists(lists, k)
    array = lists.numpy()
    parts = _map(lambda rows: chunks.best_of_chunk(_contiguous(array[rows]), k), array.shape)
    columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
    return torch.from_numpy(columns), torch.from_numpy(values)


def ranks_and_sums(lists: Tensor, lengths: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Rank in its list, from 0, of each entry asked for, and each list's sum.

    lists (b, n) in any layout; lengths (b,): how many entries of a list are asked for; column
    (P,): them, list by list -> (P,) int64 and (b,) float64.
    """
    if lists.device.type != "cpu":
        return sorted_lists.ranks_and_sums(lists, lengths, column)
    array, asked = lists.numpy(), column.numpy()
    ends = np.concatenate(([0], np.cumsum(lengths.numpy())))

    def meet(rows: slice) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        row = np.repeat(
            np.arange(rows.stop - rows.start), np.diff(ends[rows.start : rows.stop + 1])
        )
        own = asked[ends[rows.start] : ends[rows.stop]]
        return chunks.ranks_and_sums_of_chunk(_contiguous(array[rows]), row, own)

    ranks, sums = (np.concatenate(part) for part in zip(*_map(meet, array.shape), strict=True))
    return torch.from_numpy(ranks), torch.from_numpy(sums)


def _map(function: Callable[[slice], Part], shape: tuple[int, ...]) -> list[Part]:
    """``function`` of each chunk of rows, in order, by as many threads as torch may use."""
    threads = torch.get_num_threads()
    rows = even_blocks(shape[0], min(CHUNK_NUMBERS // shape[1], -(-shape[0] // threads)))
    if min(threads, len(rows)) == 1:
        return [function(chunk) for chunk in rows]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, rows))


def _contiguous(lists: NDArray[np.floating]) -> NDArray[np.floating]:
    """``lists`` with rows that lie in one piece; columns are turned 64 at a time.

    So both sides of the copy stay in the cache.
    """
    if lists.flags.c_contiguous:
        return lists
    turned = np.empty(lists.shape, lists.dtype)
    for start in range(0, lists.shape[1], 64):
        turned[:, start : start + 64] = lists[:, start : start + 64]
    return turned
