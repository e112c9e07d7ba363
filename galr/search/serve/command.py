"""python -m galr.search serve: opens an archive and answers until Ctrl-C."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.search.archive import Archive
from galr.search.encoder import import_encoder

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

CONNECTIONS = 200
HEADER_BYTES = 16 << 10


def serve(
    index: str | Path,
    *,
    images: str | Path | None = None,
    local: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_host: Sequence[str] = (),
    device: str = "auto",
    encoder: str | None = None,
) -> None:
    """Serves the page of the archive ``index`` until Ctrl-C.

    ``images`` is the folder of images where it has moved, ``local`` the store that the archive was
    made with, ``allow_host`` further names that the server is called by, ``encoder`` the function
    of an encoder that the archive does not hold. Raises UserError where
    the archive, the port or a package is missing.
    """
    try:
        import uvicorn  # noqa: F401 - so that it is missed before the archive is opened

        from galr.search.serve.app import create_app
        from galr.search.serve.guard import Hosts
        from galr.search.serve.objects import Objects
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("galr", "postprocessing")):
            raise
        raise UserError(
            f"the package {error.name}",
            "is not installed",
            "pip install fastapi uvicorn",
        ) from None
    own = None if encoder is None else import_encoder(encoder)
    archive = Archive.open(index, images=images, device=choose_device(device), encoder=own)
    objects = None if local is None else Objects(local, archive.manifest)
    _ = archive.encoder, archive.captions  # now, so that nobody waits or is told of damage later
    listening = listen(host, port)
    with listening:
        is_open = not _is_loopback(listening)
        names = [host, *allow_host] if not is_open else [host, socket.gethostname(), *allow_host]
        app = create_app(archive, objects=objects, hosts=Hosts(names, is_open=is_open))
        _tell(archive, host, listening, has_objects=objects is not None, is_open=is_open)
        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            server_of(app).run(sockets=[listening])
    sys.stdout.write("stopped\n")


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server that is strict about its requests, and says nothing of itself."""
    import uvicorn

    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=HEADER_BYTES,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)


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
        listening.listen(128)
    except OSError as error:
        listening.close()
        what = f"cannot listen there ({error.strerror or error})"
        raise UserError(place, what, "choose another --port or --host") from None
    return listening


def _is_loopback(listening: socket.socket) -> bool:
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def _tell(
    archive: Archive, host: str, listening: socket.socket, *, has_objects: bool, is_open: bool
) -> None:
    if archive.manifest.local is not None and not has_objects:
        logger.info("objects are not shown: add --local with the store the archive was built with")
    if is_open:
        logger.warning(
            "warning: other machines can reach this server, and there is no password: "
            "anyone who can reach it can search and see the images"
        )
    shown = f"[{host}]" if ":" in host.strip("[]") else host
    shown = socket.gethostname() if host in ("0.0.0.0", "::", "[::]") else shown
    address = f"http://{shown.replace('[[', '[').replace(']]', ']')}:{listening.getsockname()[1]}/"
    sys.stdout.write(f"{len(archive)} images at {address} (stop with Ctrl-C)\n")
    sys.stdout.flush()
