"""The server: a page, a search, the images that it finds."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import Gauge

from galr.search.archive import Archive
from galr.search.serve.limits import Limits, Question
from galr.search.serve.objects import Objects
from galr.search.serve.pictures import SIDES
from galr.search.serve.site import Site
from galr.serving.answers import answer_errors, unless_gone
from galr.serving.guard import Guard, Hosts
from galr.serving.limits import Bodies, Refused
from galr.serving.metrics import Metrics

PAGE = Path(__file__).parent / "page"
mimetypes.add_type("text/javascript", ".js")  # as systems have different tables


def create_app(
    archive: Archive, *, objects: Objects | None = None, hosts: Hosts | None = None,
    limits: Limits | None = None,
) -> Guard:  # fmt: skip
    """An ASGI application for the page of ``archive``."""
    limits = limits or Limits()
    metrics = Metrics()
    size = Gauge("galr_images", "Images in the archive.", registry=metrics.registry,
                 multiprocess_mode="max")  # fmt: skip
    size.set(len(archive))
    site = Site(archive, objects, limits, metrics)

    @contextlib.asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(openapi_url=None, lifespan=closing)
    guard = Guard(app, hosts or Hosts(()), limits, metrics)
    answer_errors(app)
    _add_health(app, site, guard)
    _add_searches(app, site)
    _add_images(app, site)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return guard


def _add_health(app: FastAPI, site: Site, guard: Guard) -> None:
    @app.get("/health")
    async def health() -> JSONResponse:
        status = "stuck" if site.searches.is_stuck() else "ok"
        status = "closing" if guard.is_closing else status
        told = {"images": len(site.archive), "waiting": site.searches.waiting()}
        return JSONResponse({"status": status, **told}, 200 if status == "ok" else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return site.metrics.answer()


def _add_searches(app: FastAPI, site: Site) -> None:
    limits, bodies = site.limits, Bodies(site.limits)

    def check_kind(request: Request, *kinds: str) -> None:
        if not request.headers.get("content-type", "").lower().startswith(kinds):
            raise Refused(415, f"The content type must be {' or '.join(kinds)}.")

    @app.get("/api/archive")
    async def about() -> JSONResponse:
        return JSONResponse(await site.views.do(site.about))

    @app.post("/api/search")
    async def search(request: Request) -> JSONResponse:
        check_kind(request, "application/json")
        async with bodies.of(request, limits.question_bytes) as body:
            question = Question.of(body, limits)
        return JSONResponse(await unless_gone(request, site.search(question)))

    @app.post("/api/search/image")
    async def search_image(request: Request) -> JSONResponse:
        check_kind(request, "image/", "application/octet-stream")
        question = Question.of(dict(request.query_params), limits)
        async with bodies.of(request, limits.upload_bytes) as body:
            return JSONResponse(await unless_gone(request, site.search(question, body)))


def _add_images(app: FastAPI, site: Site) -> None:
    @app.get("/api/images/{number}")
    async def details(number: str) -> JSONResponse:
        return JSONResponse(await site.views.do(partial(site.details, _number(number))))

    @app.get("/images/{number}/{view}")
    async def picture(request: Request, number: str, view: str) -> Response:
        if view not in SIDES:
            raise Refused(404, "There is nothing here.")
        tag = site.pictures.tag(_number(number), view)
        # no-cache: the browser asks whether its copy is still the image of that number
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        found = await site.views.do(partial(site.pictures.get, _number(number), view))
        return Response(found.jpeg, media_type="image/jpeg", headers=headers)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 12):
        raise Refused(404, "There is no image of that number.")
    return int(text)
