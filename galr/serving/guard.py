"""What stands before every request: its host and origin are checked; answers get strict headers."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galr.serving.limits import Limits
from galr.serving.logs import access, new_request
from galr.serving.metrics import Metrics

logger = logging.getLogger(__name__)

LOCAL = ("localhost", "127.0.0.1", "::1")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    # pages of other origins can neither open this one nor embed its images
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Hosts:
    """The names by which the server may be called.

    A page of a stranger whose own name suddenly points to this machine (DNS rebinding) calls it by
    that name. Where the server is ``open`` to the network, any address of numbers is taken as well:
    behind a number there is no name that could be pointed elsewhere.
    """

    def __init__(self, names: Iterable[str], *, is_open: bool = False) -> None:
        self.names = {name.strip("[]").lower().rstrip(".") for name in (*LOCAL, *names)}
        self.is_open = is_open

    def __contains__(self, authority: str) -> bool:
        """authority: ``host``, ``host:port``, ``[::1]:port``."""
        try:
            split = urlsplit(f"//{authority}")
            host, _ = split.hostname, split.port
        except ValueError:
            return False
        if not host or split.netloc != authority or "@" in authority:
            return False
        return host.rstrip(".") in self.names or (self.is_open and _is_number(host))


class Guard:
    """An ASGI application in front of another one; it counts and logs what is answered.

    Once ``is_closing``, each answer ends its connection.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, limits: Limits, metrics: Metrics) -> None:
        self.app, self.hosts, self.limits, self.metrics = app, hosts, limits, metrics
        self.is_closing = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the application, or refuses."""
        if scope["type"] != "http":  # there are no web sockets
            await self.app(scope, receive, send)
            return
        started, status, request = time.monotonic(), 500, new_request()

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "x-request-id": request})
                headers.setdefault("cache-control", "no-store")
                if self.is_closing:
                    headers["connection"] = "close"
            await send(message)

        try:
            app = self._refusal(scope["method"], Headers(scope=scope)) or self.app
            await app(scope, receive, send_guarded)
        except Exception:
            # told to the client by the application; raised further, it would end the connection
            logger.exception("unexpected failure")
        finally:
            # not the path: there is no end of them
            route, seconds = (
                getattr(scope.get("route"), "path", "other"),
                time.monotonic() - started,
            )
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            fields = {"request": request, "method": scope["method"], "route": route}
            fields.update(status=status, seconds=round(seconds, 4))
            access.info("request", extra={"fields": fields})

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        called = headers.getlist("host")
        if len(called) != 1 or called[0] not in self.hosts:
            return JSONResponse({"error": "This server does not accept that host name."}, 421)
        # a browser always names the origin of such a request; other programs need not
        own = {f"{scheme}://{called[0].lower()}" for scheme in ("http", "https")}
        if method not in ("GET", "HEAD") and (
            not own.issuperset(origin.lower() for origin in headers.getlist("origin"))
            or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        ):
            return JSONResponse({"error": "Searches from other web pages are refused."}, 403)
        return None


def _is_number(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
