"""What a pass over similarity lists yields, by numpy on the CPU and by sorting on a GPU.

A list is a row of a block (b, n), best entries wanted; equal entries are ordered by column. On the
CPU the block is cut into chunks that fit the cache, and threads share them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.metrics.similarities import even_blocks
from postprocessing import chunks, sorted_lists

# similarities that one thread handles at a time. They fit its cache; larger arrays would go back
# to the system after each chunk, and fetching their pages anew takes as long as the work
CHUNK_NUMBERS = 1 << 18


def fill_best(lists: Tensor, columns: Tensor, values: Tensor) -> None:
    """Writes the columns and values of each list's K best entries, best first.

    lists (b, n) in any layout; columns (b, K) int64, values (b, K), K <= n. Raises ValueError on
    NaN and infinity.
    """
    if lists.device.type != "cpu":
        sorted_lists.fill_best(lists, columns, values)
        return
    array, own_columns, own_values = lists.numpy(), columns.numpy(), values.numpy()

    def choose(rows: slice) -> None:
        own_columns[rows], own_values[rows] = chunks.best_of_chunk(
            _contiguous(array[rows]), columns.shape[1]
        )

    _for_chunks(choose, array.shape)


def fill_ranks(
    lists: Tensor, ends: Tensor, column: Tensor, places: Tensor, rank: Tensor, share: Tensor
) -> None:
    """Writes the rank in its list, from 0, of each entry asked for, and its share of the sum.

    lists (b, n) in any layout; list i is asked for ``column[ends[i]:ends[i + 1]]``, ends (b + 1,)
    from 0, column (P,). The entries' results go to ``places`` (P,) of the flat ``rank``, int64, and
    ``share``, float64.
    """
    if lists.device.type != "cpu":
        sorted_lists.fill_ranks(lists, ends, column, places, rank, share)
        return
    array, edges, asked, targets = (part.numpy() for part in (lists, ends, column, places))
    ranks, shares = rank.numpy(), share.numpy()

    def meet(rows: slice) -> None:
        own_ends = edges[rows.start : rows.stop + 1]
        own = slice(own_ends[0], own_ends[-1])
        ranks[targets[own]], shares[targets[own]] = chunks.ranks_and_shares_of_chunk(
            _contiguous(array[rows]), own_ends - own_ends[0], asked[own]
        )

    _for_chunks(meet, array.shape)


def _for_chunks(function: Callable[[slice], None], shape: tuple[int, ...]) -> None:
    """Calls ``function`` with each chunk of rows, by as many threads as torch may use."""
    threads = torch.get_num_threads()
    rows = even_blocks(shape[0], min(CHUNK_NUMBERS // shape[1], -(-shape[0] // threads)))
    if min(threads, len(rows)) == 1:
        for chunk in rows:
            function(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(function, rows))  # the list raises what a thread raised


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
