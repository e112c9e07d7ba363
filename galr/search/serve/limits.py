"""What a request may ask for, and how much of the machine it may take."""

from __future__ import annotations

import asyncio
from argparse import ArgumentTypeError
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from galr.search.tile_arguments import Box, box

PATIENCE = 4  # times the limit of a body
HEADER_BYTES = 16 << 10


class Limits(NamedTuple):
    """More than this is refused."""

    sentence: int = 1_000  # letters
    question_bytes: int = 32 << 10  # JSON, in which a letter may take 12 bytes
    upload_bytes: int = 16 << 20
    upload_pixels: int = 25_000_000
    results: int = 100
    batch: int = 32  # searches whose sentences and images are encoded together
    seconds: float = 30.0  # to wait and to work
    head_seconds: float = 30.0  # to send the head of a request
    body_seconds: float = 30.0  # to send the rest of it
    held_bytes: int = 256 << 20  # of bodies that have come, of all requests together
    connections: int = 2000  # of a process: with more, the slowest senders give way; twice: 503


class Refused(Exception):
    """A request that is answered by ``status`` and one line, which holds nothing of the server.

    ``later``: after how many seconds it may be worth another try.
    """

    def __init__(self, status: int, line: str, later: int | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.later = status, line, later


class Question(BaseModel):
    """What a search asks for; an image comes as the body of its request."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = ""
    like: int | None = Field(default=None, ge=0)  # the number of an image of the archive
    k: int = Field(default=24, ge=1)
    weight: float = Field(default=0.5, ge=0, le=1)  # the sentence's share beside an image
    rerank: bool = False
    where: str = Field(default="", max_length=1000)  # a condition on columns
    bbox: str = Field(default="", max_length=120)  # W,S,E,N in degrees, of an archive of tiles

    @classmethod
    def from_json(cls, body: bytes, limits: Limits) -> Question:
        """Raises Refused for what is no question."""
        try:
            return cls.model_validate_json(body, strict=True)._within(limits)
        except ValidationError as error:
            raise _malformed(error) from None

    @classmethod
    def from_address(cls, parameters: dict[str, str], limits: Limits) -> Question:
        """The same from the parameters of an address, where an image is the body."""
        try:
            return cls.model_validate_strings(parameters)._within(limits)
        except ValidationError as error:
            raise _malformed(error) from None

    @property
    def sentence(self) -> str | None:
        """The text in one line without control characters; None where nothing is left."""
        shown = "".join(letter if letter.isprintable() else " " for letter in self.text)
        return " ".join(shown.split()) or None

    @property
    def box(self) -> Box | None:
        """The box in degrees; None without one. Raises Refused for what is none."""
        try:
            return box(self.bbox) if self.bbox.strip() else None
        except ArgumentTypeError:
            raise Refused(422, "A box must be west,south,east,north in degrees.") from None

    def _within(self, limits: Limits) -> Question:
        if len(self.text) > limits.sentence:
            what = f"The sentence has {len(self.text):,} characters"
            raise Refused(413, f"{what}; the limit is {limits.sentence:,}.")
        if self.k > limits.results:
            raise Refused(422, f"At most {limits.results} results can be asked for.")
        return self


class Bodies:
    """Reads the bodies of requests, and holds no more of them than the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self._held = limits, 0

    @asynccontextmanager
    async def of(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body of a request, as long as it is needed.

        Refused where it is longer than ``most`` bytes (413), comes too slowly (408), or too much of
        other requests is held (503). Of a longer one some more is read and dropped, since many a
        sender listens only when it has sent all.
        """
        body = bytearray()
        try:
            await asyncio.wait_for(self._read(request, most, body), self.limits.body_seconds)
            yield bytes(body)
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            raise Refused(408, "The request came too slowly.") from None
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, most: int, body: bytearray) -> None:
        too_large = Refused(413, f"The request is too large: the limit is {shown_bytes(most)}.")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > PATIENCE * most):
            raise too_large
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > PATIENCE * most:
                break
            if size > most:
                continue
            if self._held + len(chunk) > self.limits.held_bytes:
                raise Refused(503, "Too many images at once: try again in a moment.", 1)
            self._held += len(chunk)
            body += chunk
        if size > most:
            raise too_large


def shown_bytes(count: int) -> str:
    """16777216 -> 16 MB."""
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} KB"


def _malformed(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:40]
    what = str(first["msg"])[:160]
    return Refused(422, f"Invalid query: {place + ': ' if place else ''}{what}.")
