"""The queries that are answered best and worst, with their first answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from galr.data.annotations import Annotations
from galr.images.decoding import AS_IT_IS, decode_image
from galr.images.scaling import Scaling
from galr.report.direction import Answer, Direction
from galr.report.files import ReportFiles, jpeg_address
from galr.report.page import Html, element, joined

ANSWERS = 5
THUMBNAIL = 160  # pixels of its longer side


class Thumbnails:
    """Small pictures of the test images, made when they are asked for."""

    def __init__(self, folder: Path, names: Sequence[str], scaling: Scaling = AS_IT_IS) -> None:
        self.folder, self.names, self.scaling = folder, names, scaling
        self._made: dict[int, str] = {}

    def element(self, image: int) -> Html:
        """An image of the page; raises UserError where the file is missing or damaged."""
        if image not in self._made:
            picture = decode_image(self.folder / self.names[image], self.scaling)
            picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
            self._made[image] = jpeg_address(picture)
        return element("img", src=self._made[image], alt=self.names[image], loading="lazy")


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


def query_part(files: ReportFiles, direction: Direction, thumbnails: Thumbnails, most: int) -> Html:
    """The best and the worst queries of a direction; also queries_{i2t,t2i}.csv."""
    best, worst = best_and_worst(direction, most)
    parts, rows = [], []
    for kind, queries in (("best", best), ("worst", worst)):
        parts.append(element("h3", f"{direction.title.capitalize()}: the {kind} queries"))
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
) -> Html:
    rank = int(direction.ranks[query])
    told = f"The first right answer has rank {rank} of {direction.similarity.shape[1]}."
    if direction.name == "i2t":
        asked = element(
            "div", thumbnails.element(query), direction.annotations.images[query], class_="asked"
        )
        lines = [
            element(
                "li", _place(answer), " ", _quoted(_text(direction, answer)), _marks(answer),
                class_=_frame(answer),
            )
            for answer in answers
        ]  # fmt: skip
        row = element("div", asked, element("ol", *lines, class_="answers"), class_="row")
        return element("div", element("p", told), row, class_="query")
    items = [
        element(
            "div",
            thumbnails.element(answer.candidate),
            _place(answer),
            " ",
            _text(direction, answer),
            _marks(answer),
            class_=f"item {_frame(answer) or ''}".strip(),
        )
        for answer in answers
    ]
    asked = element("p", _quoted(direction.annotations.captions[query]), " ", told)
    return element("div", asked, element("div", *items, class_="row"), class_="query")


def _quoted(caption: str) -> Html:
    return element("q", caption, dir="auto")


def _place(answer: Answer) -> Html:
    return joined([f"{answer.place}. ", element("small", f"({answer.similarity:.3f})")])


def _marks(answer: Answer) -> Html:
    """Said in words too, since not everyone sees a frame."""
    if answer.right:
        return joined([" ", element("b", "✓ true")])
    return joined([" ", element("b", "= same text")]) if answer.same else Html("")


def _frame(answer: Answer) -> str | None:
    if answer.right:
        return "true"
    return "same" if answer.same else None


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
