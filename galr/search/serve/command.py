"""python -m galr.search serve: opens an archive and answers until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.search.archive import Archive
from galr.search.encoder import import_encoder

if TYPE_CHECKING:
    from galr.serving.guard import Guard

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
    log: Literal["text", "json"] = "text",
) -> None:
    """Serves the page of the archive ``index`` until Ctrl-C or SIGTERM.

    ``images`` is the folder of images where it has moved, ``local`` the store that the archive was
    made with, ``allow_host`` further names that the server is called by, ``encoder`` the function
    of an encoder that the archive does not hold, ``workers`` the number of processes that answer,
    ``log`` "text" or "json". Raises UserError where the archive, the port or a package is missing.
    """
    try:
        import uvicorn  # noqa: F401 - so that it is missed before the archive is opened

        from galr.search.serve.objects import Objects
        from galr.serving import workers as serving
        from galr.serving.logs import start_logging
        from galr.serving.server import listen
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("galr", "postprocessing")):
            raise
        remedy = "pip install -r requirements-search.txt"
        raise UserError(f"the package {error.name}", "is not installed", remedy) from None
    start_logging(log)
    # Sentences stay out of the log: the warning of unknown words quotes them, and the page tells it
    logging.getLogger("galr.trained_model").setLevel(logging.ERROR)
    with listen(host, port) as listening:
        bound = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
        is_open = not bound.is_loopback
        opened = partial(_opened, index, images, device, encoder)
        archive = opened()
        if local is not None:
            Objects(local, archive.manifest)
        elif archive.manifest.local is not None:
            logger.info("objects are not shown: add --local with the store of the archive")
        if is_open:
            logger.warning(
                "warning: other machines can reach this server, and there is no password: "
                "anyone who can reach it can search and see the images"
            )
        shown = socket.gethostname() if bound.is_unspecified else host.strip("[]")
        shown = f"[{shown}]" if ":" in shown else shown
        line = f"{len(archive)} images at http://{shown}:{listening.getsockname()[1]}/"
        del archive
        names = [host, *allow_host, *([socket.gethostname()] if is_open else [])]
        make = partial(_make_app, opened, local, names, is_open)

        def say() -> None:
            sys.stdout.write(f"{line} (stop with Ctrl-C)\n")
            sys.stdout.flush()

        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            serving.run(make, listening, say, workers=workers, log=log)
    sys.stdout.write("stopped\n")


def _opened(
    index: str | Path, images: str | Path | None, device: str, encoder: str | None
) -> Archive:
    own = None if encoder is None else import_encoder(encoder)
    return Archive.open(index, images=images, device=choose_device(device), encoder=own)


def _make_app(
    opened: Callable[[], Archive], local: str | Path | None, names: Sequence[str], is_open: bool
) -> Guard:
    """The application with its archive, model and captions read."""
    from galr.search.serve.app import create_app
    from galr.search.serve.limits import Limits
    from galr.search.serve.objects import Objects
    from galr.serving.guard import Hosts
    from galr.serving.workers import room_for

    archive = opened()
    _ = archive.encoder, archive.captions  # now, so that nobody waits or is told of damage later
    return create_app(
        archive,
        objects=None if local is None else Objects(local, archive.manifest),
        hosts=Hosts(names, is_open=is_open),
        limits=Limits(connections=room_for(Limits().connections)),
    )
