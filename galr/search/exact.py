"""Exact search: every embedding is compared, a block of them at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.search.storage import Floats

BLOCK_ROWS = 1 << 16


class Found(NamedTuple):
    """The best rows of each query, best first, and their scores: (Q, K) int64 and float32."""

    rows: NDArray[np.int64]
    scores: Floats


class Exact:
    """The K embeddings of largest inner product; ties in the order of rows.

    embeddings (I, D) may be mapped into memory: beside them a block's scores are held. ``among``:
    the rows that may be found, all where it is None.
    """

    def __init__(
        self,
        embeddings: Floats,
        block_rows: int = BLOCK_ROWS,
        among: NDArray[np.int64] | None = None,
    ) -> None:
        self.embeddings, self.block_rows, self.among = embeddings, block_rows, among

    def search(self, queries: Floats, k: int) -> Found:
        """queries (Q, D) -> K = min(k, I) rows of each."""
        rows = np.empty((len(queries), 0), dtype=np.int64)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        admitted = self.embeddings if self.among is None else self.among
        for start in range(0, len(admitted), self.block_rows):
            block = admitted[start : start + self.block_rows]
            numbers = np.arange(start, start + len(block))
            if self.among is not None:
                numbers, block = self.among[numbers], self.embeddings[block]
            own = queries @ block.T  # (Q, b)
            numbers = np.broadcast_to(numbers, own.shape)
            more = best(numbers, own, k)
            rows = np.concatenate([rows, more.rows], axis=1)
            rows, scores = best(rows, np.concatenate([scores, more.scores], axis=1), k)
        return Found(rows, scores)


def best(rows: NDArray[np.int64], scores: Floats, k: int) -> Found:
    """The k best of rows (Q, R) by their scores (Q, R), ties by row."""
    kept = min(k, rows.shape[1])
    if kept == 0:
        return Found(rows[:, :0], scores[:, :0])
    least = np.partition(scores, -kept, axis=1)[:, -kept]
    found = Found(np.empty((len(rows), kept), np.int64), np.empty((len(rows), kept), np.float32))
    for query, limit in enumerate(least):
        # more than are wanted, where several are equal to the last one
        places = np.flatnonzero(scores[query] >= limit)
        places = places[np.lexsort((rows[query, places], -scores[query, places]))][:kept]
        found.rows[query], found.scores[query] = rows[query, places], scores[query, places]
    return found
