"""The server: a page, a search, the images that it finds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from galr.common.errors import UserError
from galr.search.archive import Archive
from galr.search.serve.guard import Guard, Hosts
from galr.search.serve.limits import Limits, Question, Refused
from galr.search.serve.metrics import INSTALL, Metrics
from galr.search.serve.objects import Objects
from galr.search.serve.pictures import View
from galr.search.serve.site import Site

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("page.js", "ask.js", "details.js", "elements.js", "places.js", "scene.js")
FILES = {  # address: file and its kind
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/{name}": (name, "text/javascript") for name in SCRIPTS},
}
GONE = 499  # nginx's status for a client that has closed its connection
VIEWS: dict[str, View] = {"thumb": "thumb", "large": "large", "scene": "scene"}


def create_app(
    archive: Archive,
    *,
    objects: Objects | None = None,
    hosts: Hosts | None = None,
    limits: Limits | None = None,
) -> Guard:
    """An ASGI application for the page of ``archive``."""
    limits = limits or Limits()
    metrics = Metrics(len(archive))
    site = Site(archive, objects, limits, metrics)

    @contextlib.asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(openapi_url=None, lifespan=closing)
    guard = Guard(app, hosts or Hosts(()), limits, metrics)
    _answer_errors(app)
    _add_health(app, site, guard)
    _add_page(app)
    _add_searches(app, site)
    _add_images(app, site)
    return guard


def _add_health(app: FastAPI, site: Site, guard: Guard) -> None:
    @app.get("/health")
    async def health() -> JSONResponse:
        status = "ok"
        if guard.is_closing:
            status = "closing"
        elif site.searches.is_stuck():
            status = "stuck"
        told = {
            "status": status,
            "images": len(site.archive),
            "waiting": site.searches.waiting(),
        }
        return _answer(told, 200 if status == "ok" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        if not site.metrics.are_kept:
            raise Refused(501, f"The package prometheus_client is not installed: {INSTALL}")
        text, kind = site.metrics.render()
        return Response(text, headers={"content-type": kind, "cache-control": "no-store"})


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

    def check_kind(request: Request, *kinds: str) -> None:
        if not request.headers.get("content-type", "").lower().startswith(kinds):
            raise Refused(415, f"The content type must be {' or '.join(kinds)}.")

    @app.get("/api/archive")
    async def about() -> JSONResponse:
        return _answer(await site.about())

    @app.post("/api/search")
    async def search(request: Request) -> JSONResponse:
        check_kind(request, "application/json")
        async with site.bodies.of(request, limits.question_bytes) as body:
            question = Question.from_json(body, limits)
        return _answer(await _unless_gone(request, site.search(question)))

    @app.post("/api/search/image")
    async def search_image(request: Request) -> JSONResponse:
        check_kind(request, "image/", "application/octet-stream")
        question = Question.from_address(dict(request.query_params), limits)
        async with site.bodies.of(request, limits.upload_bytes) as body:
            return _answer(await _unless_gone(request, site.search(question, body)))


def _add_images(app: FastAPI, site: Site) -> None:
    @app.get("/api/images/{number}")
    async def details(number: str) -> JSONResponse:
        return _answer(await site.details(_number(number)))

    @app.get("/images/{number}/{view}")
    async def picture(request: Request, number: str, view: str) -> Response:
        if view not in VIEWS:
            raise Refused(404, "There is nothing here.")
        tag = site.pictures.tag(_number(number), VIEWS[view])
        # no-cache: the browser asks whether its copy is still the image of that number
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        found = await site.picture(_number(number), VIEWS[view])
        return Response(found.jpeg, media_type="image/jpeg", headers=headers)


def _answer_errors(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        answer = _answer({"error": error.line}, error.status)
        if error.status in (408, 413):  # more of the request may come, which nobody waits for
            answer.headers["connection"] = "close"
        if error.later is not None:
            answer.headers["retry-after"] = str(error.later)
        return answer

    async def gone(_: Request, error: Exception) -> Response:
        assert isinstance(error, ClientDisconnect)
        return Response(status_code=GONE)  # which nobody receives

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
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(UserError, failed)
    app.add_exception_handler(Exception, failed)


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Result]) -> Result:
    """What ``answer`` returns; it is given up, and ClientDisconnect raised, once nobody listens."""
    answering = asyncio.ensure_future(answer)
    going = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({answering, going}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return answering.result()
    finally:
        answering.cancel()
        going.cancel()


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _answer(content: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(content, status, headers={"cache-control": "no-store"})


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise Refused(404, "There is no image of that number.")
    return int(text)
