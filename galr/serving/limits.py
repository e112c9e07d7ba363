"""How much of the machine a request may take, and how it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

PATIENCE = 4  # times the limit of a body


@dataclass(frozen=True)
class Limits:
    """More than this is refused."""

    seconds: float = 30.0  # to wait and to work
    head_seconds: float = 30.0  # to send the head of a request
    body_seconds: float = 30.0  # to send the rest of it
    head_bytes: int = 16 << 10
    held_bytes: int = 256 << 20  # of bodies that have come, of all requests together
    connections: int = 2000  # of a process: with more, the slowest senders give way; twice: 503


class Refused(HTTPException):
    """A request that is answered by a status and one line, which holds nothing of the server.

    ``later``: after how many seconds it may be worth another try.
    """

    def __init__(self, status: int, line: str, later: int | None = None) -> None:
        headers = {} if later is None else {"retry-after": str(later)}
        if status in (408, 413):  # more of the request may come, which nobody waits for
            headers["connection"] = "close"
        super().__init__(status, line, headers)


class Bodies:
    """Reads the bodies of requests, and holds no more of them than the limits allow."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self._held = limits, 0

    @asynccontextmanager
    async def of(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """The body of a request, as long as it is needed.

        Refused where it is longer than ``most`` bytes (413), comes too slowly (408), or too much of
        other requests is held (503).
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
        declared = request.headers.get("content-length", "")
        size = int(declared[:15]) if declared.isdecimal() else 0
        if size <= PATIENCE * most:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                # some more is read and dropped: many a sender listens only when it has sent all
                if size > PATIENCE * most:
                    break
                if size <= most:
                    if self._held + len(chunk) > self.limits.held_bytes:
                        raise Refused(503, "Too many uploads at once: try again in a moment.", 1)
                    self._held += len(chunk)
                    body += chunk
        if size > most:
            raise Refused(413, f"The request is too large: the limit is {shown_bytes(most)}.")


def shown_bytes(count: int) -> str:
    """16777216 -> 16 MB."""
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} KB"
