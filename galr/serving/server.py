"""Connections that no sender can hold for ever, and a server that ends without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from galr.common.errors import UserError
from galr.serving.guard import Guard
from galr.serving.limits import Limits

SPARE_FILES = 256  # descriptors for all that is no connection
BACKLOG = 1024  # connections that the kernel holds until a process takes them
TAKEN_AT_ONCE = 1  # so that the processes of one port share what comes at once
KEEP_ALIVE = 10  # seconds that a connection may idle
LINGER = 1.0  # seconds for a request that was already on its way when the server began to end


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; UserError where it cannot be had."""
    place = f"{host}:{port}"
    try:
        family, *_, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise UserError(
            place, "this machine has no such address", "choose another --host"
        ) from None
    try:
        listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"cannot listen there ({os.strerror(error.errno or 0)})"
        raise UserError(place, what, "choose another --port or --host") from None
    listening.setblocking(False)
    return listening


class Connection(H11Protocol):
    """A connection that knows since when it waits for its other end.

    Where there are too many, the one whose request has been incomplete for longest makes room.
    """

    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of a new client."""
        self.guard: Guard = self.app
        self.since = self.loop.time()
        if len(self.connections) >= self.guard.limits.connections:
            idle = [one for one in self.connections if one.lacks_a_request()]  # type: ignore[union-attr]
            if idle:
                min(idle, key=lambda one: one.since).drop()  # type: ignore[union-attr]
        super().connection_made(transport)

    def lacks_a_request(self) -> bool:
        """Whether the client has not sent a whole request that is not yet answered."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def drop(self) -> None:
        """Ends it at once, whatever was to come or to go."""
        self.connections.discard(self)
        self.guard.metrics.dropped.inc()
        self.transport.abort()

    def drop_if_stalled(self) -> None:
        """Drops a head that does not come, and an answer that is not taken."""
        waits = self.conn.their_state is h11.IDLE or self.transport.is_closing()
        long = self.loop.time() - self.since > self.guard.limits.head_seconds
        if long and (waits or self.flow.write_paused):
            self.drop()

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self.since = self.loop.time()
        super().pause_writing()

    def on_response_complete(self) -> None:
        """The next request may come."""
        self.since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Ends it after its answer, or where no request comes for a moment."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LINGER, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            super().shutdown()


class Server(uvicorn.Server):
    """Answers all that it has accepted before it ends; then its signals have been obeyed.

    ``on_started`` is called as soon as it takes requests.
    """

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], Any] = bool) -> None:
        super().__init__(config)
        self.on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes connections from ``sockets``."""
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(BACKLOG)
        self.on_started()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                connection.drop_if_stalled()  # type: ignore[union-attr]
            guard: Guard = self.config.loaded_app
            guard.metrics.connections.set(len(self.server_state.connections))
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what has come, connections that the kernel has accepted among it."""
        self.config.loaded_app.is_closing = True
        accepted = []
        for listening in sockets or []:
            with contextlib.suppress(BlockingIOError):  # there is none left
                while True:
                    accepted.append(listening.accept()[0])
        for server in self.servers:
            server.close()
        for one in accepted:
            one.setblocking(False)
            with contextlib.suppress(OSError):  # gone meanwhile
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: Connection(self.config, self.server_state, self.lifespan.state), one
                )
        await super().shutdown(sockets)
        if self.force_exit:  # by a second Ctrl-C, where uvicorn leaves the application as it is
            await self.lifespan.shutdown()
        self._captured_signals.clear()  # uvicorn would raise them once more


def config_of(app: Callable[..., Any], **options: Any) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's
    """The configuration of a server that is strict about requests, and says nothing of itself.

    ``app``: a ``Guard``, or with ``factory=True`` what returns it in the process that answers.
    """
    limits: Limits = getattr(app, "limits", Limits())
    return uvicorn.Config(
        app, http=Connection, loop="asyncio", ws="none", interface="asgi3", log_config=None,
        log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        backlog=TAKEN_AT_ONCE, limit_concurrency=2 * limits.connections,
        h11_max_incomplete_event_size=limits.head_bytes, timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(limits.body_seconds + limits.seconds) + 1, **options,
    )  # fmt: skip


def room_for(connections: int) -> int:
    """So many connections, or fewer where this process may not open as many files."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 2 * connections + SPARE_FILES
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft not in (resource.RLIM_INFINITY, most):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            soft = max(soft, most)
    files = most if soft == resource.RLIM_INFINITY else min(soft, most)
    return max(16, (files - SPARE_FILES) // 2)
