"""python -m galr.search serve: opens an archive and answers until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.search.archive import Archive
from galr.search.encoder import import_encoder
from galr.search.serve.listening import is_loopback, listen
from galr.search.serve.logs import LogFormat, start_logging

logger = logging.getLogger(__name__)


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
    workers: int = 1,
    log: LogFormat = "text",
) -> None:
    """Serves the page of the archive ``index`` until Ctrl-C or SIGTERM.

    ``images`` is the folder of images where it has moved, ``local`` the store that the archive was
    made with, ``allow_host`` further names that the server is called by, ``encoder`` the function
    of an encoder that the archive does not hold, ``workers`` the number of processes that answer,
    ``log`` "text" or "json". Raises UserError where the archive, the port or a package is missing.
    """
    try:
        import uvicorn  # noqa: F401 - so that it is missed before the archive is opened

        from galr.search.serve.metrics import Metrics
        from galr.search.serve.objects import Objects
        from galr.search.serve.processes import Recipe, run_here, run_workers
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("galr", "postprocessing")):
            raise
        raise UserError(
            f"the package {error.name}",
            "is not installed",
            "pip install fastapi uvicorn",
        ) from None
    start_logging(log)
    archive = Archive.open(
        index,
        images=images,
        device=choose_device(device),
        encoder=None if encoder is None else import_encoder(encoder),
    )
    if local is not None:
        Objects(local, archive.manifest)
    listening = listen(host, port)
    with listening:
        is_open = not is_loopback(listening)
        names = [host, *allow_host] if not is_open else [host, socket.gethostname(), *allow_host]
        recipe = Recipe(str(index), images, local, device, tuple(names), is_open, log, encoder)
        line = _told(archive, host, listening, has_objects=local is not None, is_open=is_open)
        if not Metrics(0).are_kept:
            logger.info("/metrics is not answered: pip install prometheus_client")

        def say() -> None:
            sys.stdout.write(line)
            sys.stdout.flush()

        del archive
        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            if workers == 1:
                run_here(recipe, listening, say)
            else:
                run_workers(recipe, listening, workers, say)
    sys.stdout.write("stopped\n")


def _told(
    archive: Archive, host: str, listening: socket.socket, *, has_objects: bool, is_open: bool
) -> str:
    """The line that names the address; warns of what else whoever runs the server must know."""
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
    return f"{len(archive)} images at {address} (stop with Ctrl-C)\n"
