"""Explains the order that the multivariate score gave a query's candidates, term by term."""

from __future__ import annotations

from typing import NamedTuple

from galr.metrics.similarities import Array, as_floats
from postprocessing.evaluator import BLOCK_NUMBERS
from postprocessing.multivariate import combine, terms
from postprocessing.neighbours import find_neighbours
from postprocessing.settings import RerankSettings


class Explained(NamedTuple):
    """One candidate of a query: weighted terms, and ranks from 1."""

    candidate: int
    was: int  # rank by similarity
    now: int  # rank by score
    similarity: float
    saliency: float
    rank: float
    reverse: float
    score: float
    own_place: int  # rank of the query in the candidate's list
    reverse_place: int  # the reverse rank used for the term


def explain(similarity: Array, query: int, settings: RerankSettings) -> list[Explained]:
    """The candidates of ``query``, best first, with the terms that decided their order.

    similarity (Q, C) -> min(k, C) candidates. Raises IndexError if there is no such query.
    """
    matrix = as_floats(similarity)
    if not 0 <= query < len(matrix):
        raise IndexError(f"query must be in 0..{len(matrix) - 1}, got {query}")
    own = find_neighbours(matrix, settings.k, BLOCK_NUMBERS, query=query)
    parts = terms(own, settings)
    scores, order = combine(parts, settings).sort(dim=1, descending=True, stable=True)
    return [
        Explained(
            candidate=int(own.candidates[0, plain]),
            was=plain + 1,
            now=now,
            similarity=float(own.similarity[0, plain]),
            saliency=settings.w_saliency * float(parts.saliency[0, plain]),
            rank=settings.w_rank * float(parts.rank[0, plain]),
            reverse=settings.w_reverse * float(parts.reverse[0, plain]),
            score=float(scores[0, now - 1]),
            own_place=int(own.reverse_rank[0, plain]) + 1,
            reverse_place=int(parts.reverse_rank[0, plain]) + 1,
        )
        for now, plain in enumerate(order[0].tolist(), start=1)
    ]
