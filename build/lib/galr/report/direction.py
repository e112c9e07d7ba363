"""One direction of retrieval: its queries, their answers in order, and which are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from galr.data.annotations import Annotations, caption_groups
from galr.report.outcome import DIRECTIONS, Outcome
from postprocessing.rerank import Reranked

Integers = NDArray[np.int64]


class Answer(NamedTuple):
    """A candidate of a query; ``same``: not its own, yet of the very same text."""

    candidate: int
    place: int
    similarity: float
    right: bool
    same: bool


@dataclass(frozen=True)
class Direction:
    """``i2t``: images ask for captions; ``t2i``: captions ask for images."""

    name: str
    annotations: Annotations
    similarity: NDArray[np.floating]  # (Q, C)
    plain_ranks: Integers  # (Q,) without rerank
    ranks: Integers  # (Q,) as they are in the end
    reranked: Reranked | None

    @property
    def title(self) -> str:
        """In words."""
        return DIRECTIONS[self.name]

    @cached_property
    def _captions_of(self) -> list[Integers]:
        """The captions of each image."""
        image = self.annotations.caption_to_image
        edges = np.cumsum(np.bincount(image, minlength=len(self.annotations.images)))
        return np.split(np.argsort(image, kind="stable"), edges[:-1])

    @cached_property
    def _groups(self) -> Integers:
        groups: Integers = caption_groups(self.annotations.captions)
        return groups

    def image_of(self, query: int) -> int:
        """The image that asks, or the one that the caption is of."""
        return query if self.name == "i2t" else int(self.annotations.caption_to_image[query])

    def right(self, query: int) -> Integers:
        """The query's own candidates."""
        if self.name == "i2t":
            return self._captions_of[query]
        return self.annotations.caption_to_image[[query]]

    def same_text(self, query: int) -> Integers:
        """All candidates that a text of the query belongs to, its own too."""
        if self.name == "i2t":
            return np.flatnonzero(np.isin(self._groups, self._groups[self.right(query)]))
        alike = self._groups == self._groups[query]
        return np.unique(self.annotations.caption_to_image[alike])

    def order(self, query: int) -> Integers:
        """All candidates, best first; of equal ones the wrong come first, as ranks count them."""
        right = np.zeros(self.similarity.shape[1], dtype=bool)
        right[self.right(query)] = True
        plain = np.lexsort((right, -self.similarity[query]))
        if self.reranked is None:
            return plain
        chosen = np.asarray(self.reranked.candidates[query])
        chosen = chosen[np.lexsort((right[chosen], -np.asarray(self.reranked.scores[query])))]
        return np.concatenate([chosen, plain[~np.isin(plain, chosen)]])

    def answers(self, query: int, most: int) -> list[Answer]:
        """The first ``most``, and the first right one where it stands behind them."""
        order = self.order(query)
        right, same = self.right(query), self.same_text(query)
        shown = list(range(min(most, len(order))))
        first_right = int(np.isin(order, right).argmax())
        shown += [first_right] if first_right >= most else []
        return [
            Answer(
                int(order[place]),
                place + 1,
                float(self.similarity[query, order[place]]),
                bool(order[place] in right),
                bool(order[place] in same),
            )
            for place in shown
        ]

    @cached_property
    def margins(self) -> NDArray[np.float64]:
        """(Q,) cosine of the best right candidate less that of the best wrong one."""
        margins = np.zeros(len(self.similarity))
        for query, row in enumerate(self.similarity):
            right = self.right(query)
            wrong = np.delete(row, right)
            margins[query] = row[right].max() - wrong.max(initial=-1.0)
        return margins

    @cached_property
    def first_answers(self) -> Integers:
        """(Q,) the candidate at the first place."""
        return np.array([self.order(query)[0] for query in range(len(self.similarity))])


def directions(outcome: Outcome) -> Iterator[Direction]:
    """Image to text, then text to image, of the fold that is shown."""
    shown = outcome.shown
    final = shown.ranks[outcome.variants[-1]]
    similarity = shown.similarity.numpy()
    for number, name in enumerate(DIRECTIONS):
        plain: Tensor = getattr(shown.ranks["without_rerank"], name)
        yield Direction(
            name,
            outcome.test.annotations,
            similarity.T if name == "t2i" else similarity,
            plain.cpu().numpy(),
            getattr(final, name).cpu().numpy(),
            None if shown.reranked is None else shown.reranked[number],
        )
