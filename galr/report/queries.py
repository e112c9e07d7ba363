"""The best and worst queries, with their top results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from galr.data.annotations import Annotations
from galr.images.decoding import AS_IT_IS, decode_image
from galr.images.scaling import Scaling
from galr.report.direction import Answer, Direction
from galr.report.files import ReportFiles, jpeg_address
from galr.report.page import joined, part

ANSWERS = 5
THUMBNAIL = 160  # pixels of its longer side


class Thumbnail(NamedTuple):
    """A small image of the page: its address, which holds it, and its name."""

    source: str
    name: str


class Thumbnails:
    """Thumbnails of the test images, made when they are asked for."""

    def __init__(self, folder: Path, names: Sequence[str], scaling: Scaling = AS_IT_IS) -> None:
        self.folder, self.names, self.scaling = folder, names, scaling
        self._made: dict[int, Thumbnail] = {}

    def __getitem__(self, image: int) -> Thumbnail:
        """The thumbnail of an image; raises UserError where the file is missing or damaged."""
        if image not in self._made:
            small = decode_image(self.folder / self.names[image], self.scaling)
            small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
            self._made[image] = Thumbnail(jpeg_address(small), self.names[image])
        return self._made[image]


def best_and_worst(direction: Direction, most: int) -> tuple[list[int], list[int]]:
    """At most ``most`` queries each, of different images.

    Best: of rank 1, and with the greatest distance to the best wrong answer. Worst: the highest
    rank, then the greatest distance to the best wrong answer that is above.
    """
    best = np.lexsort((-direction.margins, direction.ranks))
    worst = np.lexsort((direction.margins, -direction.ranks))
    good = _of_different_images(direction, best, most, ())
    return good, _of_different_images(direction, worst, most, good)


def _of_different_images(
    direction: Direction, order: Sequence[int] | np.ndarray, most: int, taken: Sequence[int]
) -> list[int]:
    images = {direction.image_of(query) for query in taken}
    chosen: list[int] = []
    for query in map(int, order):
        if len(chosen) == most:
            break
        if direction.image_of(query) not in images:
            chosen.append(query)
            images.add(direction.image_of(query))
    return chosen


def query_part(
    files: ReportFiles, direction: Direction, thumbnails: Thumbnails, most: int
) -> Markup:
    """The best and the worst queries of a direction; also queries_{i2t,t2i}.csv."""
    best, worst = best_and_worst(direction, most)
    parts, rows = [], []
    for kind, queries in (("best", best), ("worst", worst)):
        parts.append(part("heading", f"{direction.title.capitalize()}: the {kind} queries"))
        for query in queries:
            answers = direction.answers(query, ANSWERS)
            parts.append(_shown(direction, query, answers, thumbnails))
            rows += [
                [kind, _query_text(direction, query), answer.place, _text(direction, answer),
                 answer.similarity, int(answer.right), int(answer.same)]
                for answer in answers
            ]  # fmt: skip
    header = ["kind", "query", "place", "answer", "similarity", "right", "same_text"]
    files.numbers(f"queries_{direction.name}", header, rows)
    return joined(parts)


def _shown(
    direction: Direction, query: int, answers: Sequence[Answer], thumbnails: Thumbnails
) -> Markup:
    rank, candidates = int(direction.ranks[query]), direction.similarity.shape[1]
    if direction.name == "i2t":
        captions = [(answer, _text(direction, answer)) for answer in answers]
        return part("image_query", thumbnails[query], rank, candidates, captions)
    images = [(answer, thumbnails[answer.candidate]) for answer in answers]
    return part("text_query", _query_text(direction, query), rank, candidates, images)


def _text(direction: Direction, answer: Answer) -> str:
    return answer_names(direction.name, direction.annotations)[answer.candidate]


def _query_text(direction: Direction, query: int) -> str:
    return query_names(direction.name, direction.annotations)[query]


def query_names(direction: str, annotations: Annotations) -> tuple[str, ...]:
    """What asks: the names of images, or captions."""
    return annotations.images if direction == "i2t" else annotations.captions


def answer_names(direction: str, annotations: Annotations) -> tuple[str, ...]:
    """What is asked for."""
    return annotations.captions if direction == "i2t" else annotations.images
