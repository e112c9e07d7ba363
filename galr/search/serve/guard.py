"""What stands before every request: its host and origin are checked; answers get strict headers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """An ASGI application in front of another one."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers for the application, or refuses."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, send_guarded)
            return
        status, line = refusal
        await JSONResponse({"error": line}, status)(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        called = headers.getlist("host")
        if len(called) != 1 or called[0] not in self.hosts:
            return 421, "This server does not accept that host name."
        if method in ("GET", "HEAD"):
            return None
        origins = headers.getlist("origin")
        # a browser always names the origin of such a request; other programs need not
        if any(not _is_own(origin, called[0]) for origin in origins):
            return 403, "Searches of other web pages are refused."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "Searches of other web pages are refused."
        return None


def _is_own(origin: str, authority: str) -> bool:
    return origin.lower() in (f"http://{authority.lower()}", f"https://{authority.lower()}")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
