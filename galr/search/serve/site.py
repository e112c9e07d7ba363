"""What the routes answer with, computed in turns beside the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from galr.common.errors import UserError
from galr.images.decoding import resize_to_square
from galr.scenes.tiles import Tile, geojson
from galr.search.archive import Archive, Match
from galr.search.asked import Asked
from galr.search.images import CONDITION
from galr.search.serve.limits import Limits, Question
from galr.search.serve.objects import Objects
from galr.search.serve.pictures import Pictures
from galr.serving.limits import Refused
from galr.serving.metrics import Metrics
from galr.serving.turns import Turns, each
from galr.serving.uploads import read_upload

SAMPLE, EXAMPLES = 12, 3  # images and captions that are shown before the first search
OUTLINES = 500  # scenes that are drawn at most
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
        self.archive, self.objects = archive, objects
        self.limits, self.metrics = limits, metrics
        self.pictures = Pictures(archive)
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
        image = None if upload is None else await self.views.do(partial(self._square, upload))
        asked = Asked(question.sentence, image, question.like, question.weight)
        self._check(question, asked)
        answer = await self.searches.do(_Search(question, asked))
        return {**answer, "seconds": round(time.monotonic() - started, 4)}

    def _square(self, upload: bytes) -> np.ndarray:
        encoder = self.archive.encoder
        most = self.limits.upload_bytes, self.limits.upload_pixels
        return resize_to_square(read_upload(upload, *most, encoder.scaling), encoder.side)

    def about(self) -> Answer:
        """What the page must know of the archive."""
        numbers = np.unique(np.linspace(0, len(self.archive) - 1, SAMPLE).round().astype(int))
        captions, tiles = self.archive.captions[0], self.archive.tiles
        short = [text for text in captions if len(text) < 60]
        step = max(1, len(short) // EXAMPLES)
        outlines = [] if tiles is None else [facts.outline for facts in tiles.scenes.values()]
        return {
            "images": len(self.archive), "exact": self.archive.manifest.kind == "flat",
            "rerank": bool(captions), "tiles": tiles is not None,
            "objects": self.archive.manifest.local is not None,  # which an image sent has not
            "columns": self.archive.files.columns,
            "outlines": [outline for outline in outlines if outline is not None][:OUTLINES],
            "sample": [self._image(number) for number in numbers.tolist()],
            "examples": short[step // 2 :: step][:EXAMPLES], "limits": asdict(self.limits),
        }  # fmt: skip

    def _found(self, searches: Sequence[_Search]) -> list[Answer | Exception]:
        """The answer to each search, or why there is none: one at fault harms no other."""
        try:
            queries = self.archive.embed_all([search.asked for search in searches])
        except Exception as error:  # noqa: BLE001 - raised again where the search was asked for
            if len(searches) == 1:
                return [error]
            return [self._found([search])[0] for search in searches]
        both = zip(searches, queries, strict=True)
        return each([partial(self._answer, *search, query) for search, query in both])

    def _answer(self, question: Question, asked: Asked, query: np.ndarray) -> Answer:
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
        places = [(match.rank, match.score, match.tile) for match in found if match.tile]
        return {
            "results": [self._match(match) for match in found],
            "geojson": geojson(places, text or "") if places else None,
            "unknown": encoder.unknown_words(text or "")[:20],
            "understood": text is None or encoder.knows_a_word(text),
        }

    def details(self, number: int) -> Answer:
        """An image's size, nearest captions, objects and edges; Refused as ``Pictures.get``."""
        picture = self.pictures.get(number, "large")
        captions = self.archive.closest_captions(number) if self.archive.captions[0] else []
        return {
            **self._image(number), "width": picture.width, "height": picture.height,
            "captions": [{"text": text, "score": score} for text, score in captions],
            "scene": self.objects and self.objects.of(self.archive.files[number].name),
        }  # fmt: skip

    def _check(self, question: Question, asked: Asked) -> None:
        text, image, like, _ = asked
        if like is not None and like >= len(self.archive):
            raise Refused(404, "There is no image of that number.")
        tiles, captions = self.archive.tiles is not None, bool(self.archive.captions[0])
        for is_wrong, line in (
            (like is not None and image is not None, "Search by one image at a time."),
            (text is None and like is None and image is None,
             "Write a sentence or choose an image."),
            (question.rerank and not asked.is_text, "Re-ranking works for sentence queries only."),
            (question.box is not None and (question.rerank or not tiles),
             "A box needs an archive of scene tiles, without re-ranking."),
            (question.rerank and not captions,
             "This archive has no captions, which re-ranking needs."),
        ):  # fmt: skip
            if is_wrong:
                raise Refused(422, line)

    def _match(self, match: Match) -> Answer:
        image = self._image(match.number, match.tile)
        why = None if match.why is None else match.why._asdict()
        return {"rank": match.rank, "score": match.score, "why": why, **image}

    def _image(self, number: int, tile: Tile | None = None) -> Answer:
        name, tiles = self.archive.files[number].name, self.archive.tiles
        shown = None
        if tiles is not None:
            tile = tile or tiles.of(number)
            facts, corners = tiles.scenes[tile.scene], tile.footprint
            shown = {
                "scene": tile.scene, "size": [facts.width, facts.height],
                "window": list(tile.window), "merged": tile.merged,
                "footprint": None if corners is None else corners.tolist(),
            }  # fmt: skip
        there = self.pictures.is_there(number)
        return {"number": number, "name": name, "there": there, "tile": shown}
