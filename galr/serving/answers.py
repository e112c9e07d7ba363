"""Answers to requests that fail, and to those whose sender has gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from galr.common.errors import UserError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

GONE = 499  # nginx's status for a client that has closed its connection


def answer_errors(app: FastAPI) -> None:
    """Has an application answer errors by a status and a line that tells nothing of the server."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: Exception) -> Response:
        return Response(status_code=GONE)  # which nobody receives

    @app.exception_handler(UserError)
    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # what it says may hold paths: that is for whoever runs the server
        if isinstance(error, UserError):
            logger.error("error: %s", error)
        return JSONResponse({"error": "The search failed; see the server log."}, 500)


async def unless_gone(request: Request, answer: Coroutine[Any, Any, Result]) -> Result:
    """What ``answer`` returns; it is given up, and ClientDisconnect raised, once nobody listens."""

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answering, going = asyncio.ensure_future(answer), asyncio.ensure_future(until_gone())
    try:
        await asyncio.wait({answering, going}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return answering.result()
    finally:
        answering.cancel()
        going.cancel()
