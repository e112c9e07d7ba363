"""The server: a page, a search, the images that it finds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image
from starlette.exceptions import HTTPException

from galr.common.errors import UserError
from galr.search.archive import Archive, Match
from galr.search.serve.guard import Guard, Hosts
from galr.search.serve.limits import Limits, Question, Refused, read_body
from galr.search.serve.objects import Objects
from galr.search.serve.pictures import Pictures, View, read_upload
from galr.search.serve.places import collection, described, outlines, tile_of
from galr.search.serve.worker import Worker

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("page.js", "ask.js", "details.js", "elements.js", "places.js", "scene.js")
FILES = {  # address: file and its kind
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript") for name in SCRIPTS},
}
VIEWS: dict[str, View] = {"thumb": "thumb", "large": "large", "scene": "scene"}
SAMPLE, EXAMPLES = 12, 3  # images and captions that are shown before the first search


class Site:
    """What the routes answer with; the methods that are not async run in the workers."""

    def __init__(self, archive: Archive, objects: Objects | None, limits: Limits) -> None:
        self.archive, self.objects, self.limits = archive, objects, limits
        self.pictures = Pictures(archive)
        # one search at a time, since it takes all cores; images need not wait for it
        self.searches = Worker("search", 1, limits)
        self.views = Worker("images", 2, limits._replace(waiting=8 * limits.results))

    def about(self) -> dict[str, Any]:
        """What the page must know of the archive."""
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
            "outlines": outlines(self.archive),
            "sample": [self._image(number) for number in numbers.tolist()],
            "examples": short[step // 2 :: step][:EXAMPLES],
            "limits": self.limits._asdict(),
        }

    def search(self, question: Question, upload: bytes | None) -> dict[str, Any]:
        """Raises Refused for a question that cannot be answered."""
        started = time.monotonic()
        text = question.sentence
        image: Image.Image | None = None
        if upload is not None:
            image = read_upload(upload, self.limits, self.archive.encoder.scaling)
        self._check(question, has_image=image is not None)
        found = self.archive.query(
            text,
            image=image,
            like=question.like,
            k=question.k,
            weight=question.weight,
            rerank=question.rerank,
            box=question.box,
        )
        encoder = self.archive.encoder
        return {
            "results": [self._match(match) for match in found],
            "geojson": collection(found, text or ""),
            "unknown": encoder.unknown_words(text or "")[:20],
            "understood": text is None or encoder.knows_a_word(text),
            "seconds": round(time.monotonic() - started, 4),
        }

    def details(self, number: int) -> dict[str, Any]:
        """An image's size, nearest captions, objects and edges; Refused as ``Pictures.get``."""
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


def create_app(
    archive: Archive,
    *,
    objects: Objects | None = None,
    hosts: Hosts | None = None,
    limits: Limits | None = None,
) -> Guard:
    """An ASGI application for the page of ``archive``."""
    limits = limits or Limits()
    site = Site(archive, objects, limits)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.searches.close()
        site.views.close()

    app = FastAPI(openapi_url=None, lifespan=closing)
    _answer_errors(app)
    _add_page(app)
    _add_searches(app, site)
    _add_images(app, site)
    return Guard(app, hosts or Hosts(()))


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    @app.get("/{name}")
    async def page(name: str = "") -> Response:
        if f"/{name}" not in FILES:
            raise Refused(404, "There is nothing here.")
        file, kind = FILES[f"/{name}"]
        return FileResponse(PAGE / file, media_type=kind, headers={"cache-control": "no-cache"})


def _add_searches(app: FastAPI, site: Site) -> None:
    limits = site.limits

    async def body_of(request: Request, most: int, *kinds: str) -> bytes:
        if not request.headers.get("content-type", "").lower().startswith(kinds):
            raise Refused(415, f"The content type must be {' or '.join(kinds)}.")
        try:
            return await asyncio.wait_for(read_body(request, most), limits.body_seconds)
        except (asyncio.TimeoutError, TimeoutError):
            raise Refused(408, "The request came too slowly.") from None

    @app.get("/api/archive")
    async def about() -> JSONResponse:
        return _answer(await site.searches.do(site.about))

    @app.post("/api/search")
    async def search(request: Request) -> JSONResponse:
        body = await body_of(request, limits.question_bytes, "application/json")
        question = Question.from_json(body, limits)
        return _answer(await site.searches.do(site.search, question, None))

    @app.post("/api/search/image")
    async def search_image(request: Request) -> JSONResponse:
        question = Question.from_address(dict(request.query_params), limits)
        body = await body_of(request, limits.upload_bytes, "image/", "application/octet-stream")
        return _answer(await site.searches.do(site.search, question, body))


def _add_images(app: FastAPI, site: Site) -> None:
    @app.get("/api/images/{number}")
    async def details(number: str) -> JSONResponse:
        return _answer(await site.searches.do(site.details, _number(number)))

    @app.get("/images/{number}/{view}")
    async def picture(request: Request, number: str, view: str) -> Response:
        if view not in VIEWS:
            raise Refused(404, "There is nothing here.")
        tag = site.pictures.tag(_number(number), VIEWS[view])
        # no-cache: the browser asks whether its copy is still the image of that number
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        found = await site.views.do(site.pictures.get, _number(number), VIEWS[view])
        return Response(found.jpeg, media_type="image/jpeg", headers=headers)


def _answer_errors(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        answer = _answer({"error": error.line}, error.status)
        if error.status in (408, 413):  # more of the request may come, which nobody waits for
            answer.headers["connection"] = "close"
        return answer

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        line = "There is nothing here." if error.status_code == 404 else str(error.detail)
        return _answer({"error": line}, error.status_code)

    async def failed(_: Request, error: Exception) -> JSONResponse:
        # what it says may hold paths: that is for whoever runs the server
        if isinstance(error, UserError):
            logger.error("error: %s", error)
        return _answer({"error": "The search failed; the server's log says why."}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(UserError, failed)
    app.add_exception_handler(Exception, failed)


def _answer(content: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(content, status, headers={"cache-control": "no-store"})


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise Refused(404, "There is no image of that number.")
    return int(text)
