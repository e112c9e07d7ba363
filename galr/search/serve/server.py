"""Connections that no sender can hold for ever, and a server that ends without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from galr.search.serve.guard import Guard
from galr.search.serve.limits import HEADER_BYTES
from galr.search.serve.listening import BACKLOG

TAKEN_AT_ONCE = 1  # so that the processes of one port share what comes at once
KEEP_ALIVE = 10  # seconds that a connection may idle
LINGER = 1.0  # seconds for a request that was already on its way when the server began to end


class Connection(H11Protocol):
    """A connection that knows since when it waits for its other end.

    Where there are too many, the one whose request has been incomplete for longest makes room.
    """

    since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of a new client."""
        guard: Guard = self.app
        self.guard, self.since = guard, self.loop.time()
        if len(self.connections) >= guard.limits.connections:
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
        self.guard.metrics.dropped()
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
    """Answers all that it has accepted before it ends.

    ``on_started`` is called as soon as it takes requests.
    """

    on_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes connections from ``sockets``."""
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(BACKLOG)
        if self.on_started is not None:
            self.on_started()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                connection.drop_if_stalled()  # type: ignore[union-attr]
            self._guard.metrics.connections(len(self.server_state.connections))
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what has come, connections that the kernel has accepted among it."""
        self._guard.is_closing = True
        accepted = [one for listening in sockets or [] for one in _accepted(listening)]
        for server in self.servers:
            server.close()
        for one in accepted:
            with contextlib.suppress(OSError):  # gone meanwhile
                await asyncio.get_running_loop().connect_accepted_socket(self._connection, one)
        await super().shutdown(sockets)
        if self.force_exit:  # by a second Ctrl-C, where uvicorn leaves the application as it is
            await self.lifespan.shutdown()

    @property
    def _guard(self) -> Guard:
        guard: Guard = self.config.loaded_app
        return guard

    def _connection(self) -> Connection:
        state: dict[str, Any] = self.lifespan.state
        return Connection(self.config, self.server_state, state)


def server_of(app: Guard) -> Server:
    """A server that is strict about its requests, and says nothing of itself."""
    config = uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=TAKEN_AT_ONCE,
        limit_concurrency=2 * app.limits.connections,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(app.limits.body_seconds + app.limits.seconds) + 1,
    )
    return Server(config)


def _accepted(listening: socket.socket) -> list[socket.socket]:
    """The connections that wait to be taken; the socket does not block."""
    taken = []
    with contextlib.suppress(BlockingIOError):
        while True:
            one, _ = listening.accept()
            one.setblocking(False)
            taken.append(one)
    return taken
