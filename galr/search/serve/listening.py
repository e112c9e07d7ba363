"""The address that a server listens on."""

from __future__ import annotations

import ipaddress
import socket

from galr.common.errors import UserError

BACKLOG = 1024  # connections that the kernel holds until a process takes them


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
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.setblocking(False)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        what = f"cannot listen there ({error.strerror or error})"
        raise UserError(place, what, "choose another --port or --host") from None
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Whether no other machine can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback
