"""What the routes answer with, computed in turns beside the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from galr.common.errors import UserError
from galr.images.decoding import resize_to_square
from galr.search.archive import Archive, Asked, Match
from galr.search.images import CONDITION
from galr.search.serve.limits import Bodies, Limits, Question, Refused
from galr.search.serve.metrics import Metrics
from galr.search.serve.objects import Objects
from galr.search.serve.pictures import Picture, Pictures, View, read_upload
from galr.search.serve.places import collection, described, outlines, tile_of
from galr.search.serve.turns import Turns, each

SAMPLE, EXAMPLES = 12, 3  # images and captions that are shown before the first search
VIEW_THREADS = 2

Answer = dict[str, Any]


class _Search(NamedTuple):
    question: Question
    asked: Asked


class Site:
    """An archive, what is asked of it, and how it answers."""

    def __init__(
        self, archive: Archive, objects: Objects | None, limits: Limits, metrics: Metrics
    ) -> None:
        self.archive, self.objects, self.limits = archive, objects, limits
        self.metrics = metrics
        self.pictures = Pictures(archive)
        self.bodies = Bodies(limits)
        # a batch of searches at a time, since it takes all cores; images need not wait for it
        self.searches: Turns[_Search, Answer] = Turns(
            "search", self._found, limits, metrics, most=limits.batch
        )
        self.views: Turns[Callable[[], Any], Any] = Turns(
            "images", each, limits, metrics, threads=VIEW_THREADS
        )

    def close(self) -> None:
        """Drops what still waits."""
        self.searches.close()
        self.views.close()

    async def search(self, question: Question, upload: bytes | None = None) -> Answer:
        """The images that a question finds; raises Refused where it cannot be answered."""
        started = time.monotonic()
        text, image = question.sentence, None
        if upload is not None:
            image = await self.views.do(lambda: self._square(upload))
        self._check(question, has_image=image is not None)
        asked = Asked(text, image, question.like, question.weight)
        answer = await self.searches.do(_Search(question, asked))
        return {**answer, "seconds": round(time.monotonic() - started, 4)}

    async def about(self) -> Answer:
        """What the page must know of the archive."""
        found: Answer = await self.views.do(self._about)
        return found

    async def details(self, number: int) -> Answer:
        """An image's size, nearest captions, objects and edges; Refused as ``Pictures.get``."""
        found: Answer = await self.views.do(lambda: self._details(number))
        return found

    async def picture(self, number: int, view: View) -> Picture:
        """An image of the archive; Refused as ``Pictures.get``."""
        found: Picture = await self.views.do(lambda: self.pictures.get(number, view))
        return found

    def _square(self, upload: bytes) -> np.ndarray:
        encoder = self.archive.encoder
        return resize_to_square(read_upload(upload, self.limits, encoder.scaling), encoder.side)

    def _about(self) -> Answer:
        numbers = np.unique(np.linspace(0, len(self.archive) - 1, SAMPLE).round().astype(int))
        captions = self.archive.captions[0]
        short = [text for text in captions if len(text) < 60]
        step = max(1, len(short) // EXAMPLES)
        return {
            "images": len(self.archive),
            "exact": self.archive.manifest.approximate is None,
            "rerank": bool(captions),
            "objects": self.archive.manifest.local is not None,  # which an image sent has not
            "tiles": self.archive.tiles is not None,
            "columns": self.archive.files.columns,
            "outlines": outlines(self.archive),
            "sample": [self._image(number) for number in numbers.tolist()],
            "examples": short[step // 2 :: step][:EXAMPLES],
            "limits": self.limits._asdict(),
        }

    def _found(self, searches: Sequence[_Search]) -> list[Answer | Exception]:
        """The answer to each search, or why there is none: one at fault harms no other."""
        try:
            queries = self.archive.embed_all([search.asked for search in searches])
        except Exception as error:  # noqa: BLE001 - raised again where the search was asked for
            if len(searches) == 1:
                return [error]
            return [self._found([search])[0] for search in searches]
        return each(
            [
                lambda search=search, query=query: self._answer(search, query)  # type: ignore[misc]
                for search, query in zip(searches, queries, strict=True)
            ]
        )

    def _answer(self, search: _Search, query: np.ndarray) -> Answer:
        question, asked = search
        try:
            found = self.archive.found(
                query, asked, k=question.k, rerank=question.rerank, box=question.box,
                where=question.where,
            )  # fmt: skip
        except UserError as error:
            if error.place != CONDITION:
                raise
            raise Refused(422, f"The condition {error.what}; {error.remedy}.") from None
        text, encoder = asked.text, self.archive.encoder
        return {
            "results": [self._match(match) for match in found],
            "geojson": collection(found, text or ""),
            "unknown": encoder.unknown_words(text or "")[:20],
            "understood": text is None or encoder.knows_a_word(text),
        }

    def _details(self, number: int) -> Answer:
        picture = self.pictures.get(number, "large")
        name = self.archive.files[number].name
        captions = self.archive.closest_captions(number) if self.archive.captions[0] else []
        return {
            **self._image(number),
            "width": picture.width,
            "height": picture.height,
            "captions": [{"text": text, "score": score} for text, score in captions],
            "scene": None if self.objects is None else self.objects.of(name),
        }

    def _check(self, question: Question, *, has_image: bool) -> None:
        if question.like is not None and question.like >= len(self.archive):
            raise Refused(404, "There is no image of that number.")
        if question.like is not None and has_image:
            raise Refused(422, "Search by one image at a time.")
        if question.sentence is None and question.like is None and not has_image:
            raise Refused(422, "Write a sentence or choose an image.")
        if question.rerank and (has_image or question.like is not None):
            raise Refused(422, "Re-ranking works for sentence queries only.")
        if question.box is not None and (question.rerank or self.archive.tiles is None):
            raise Refused(422, "A box needs an archive of scene tiles, without re-ranking.")
        if question.rerank and not self.archive.captions[0]:
            raise Refused(422, "This archive has no captions, which re-ranking needs.")

    def _match(self, match: Match) -> dict[str, Any]:
        why = None if match.why is None else match.why._asdict()
        image = self._image(match.number)
        if match.tile is not None:
            image["tile"] = described(self.archive, match.tile)
        return {"rank": match.rank, "score": match.score, "why": why, **image}

    def _image(self, number: int) -> dict[str, Any]:
        there = self.pictures.is_there(number)
        name = self.archive.files[number].name
        tile = tile_of(self.archive, number)
        return {"number": number, "name": name, "there": there, "tile": tile}
