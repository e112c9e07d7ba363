"""python -m galr.search serve: opens an archive and answers until Ctrl-C or SIGTERM."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from galr.common.errors import UserError
from galr.search.archive import Archive

if TYPE_CHECKING:
    from galr.serving.guard import Guard, Hosts

logger = logging.getLogger(__name__)


def serve(
    index: str | Path, *, images: str | Path | None = None, local: str | Path | None = None,
    host: str = "127.0.0.1", port: int = 8000, allow_host: Sequence[str] = (),
    device: str = "auto", encoder: str | None = None, workers: int = 1,
    log: Literal["text", "json"] = "text",
) -> None:  # fmt: skip
    """Serves the page of the archive ``index`` until Ctrl-C or SIGTERM.

    ``images``: where the images are, if they have moved; ``local``: the store that the archive was
    made with; ``allow_host``: further names that the server is called by; ``encoder``: the function
    of an encoder that the archive does not hold; ``workers``: processes that answer. Raises
    UserError where the archive, the port or a package is missing.
    """
    try:
        import uvicorn  # noqa: F401 - so that it is missed before the archive is opened

        from galr.search.serve.objects import Objects
        from galr.serving import run
        from galr.serving.logs import start_logging
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("galr", "postprocessing")):
            raise
        remedy = "pip install -r requirements-search.txt"
        raise UserError(str(error.name), "the package is not installed", remedy) from None
    start_logging(log)
    # sentences stay out of the log: the warning of unknown words quotes them, and the page tells it
    logging.getLogger("galr.trained_model").setLevel(logging.ERROR)
    opened = partial(Archive.open, index, images=images, device=device, encoder=encoder)
    archive = opened()
    if local is not None:
        Objects(local, archive.manifest)
    elif archive.manifest.local is not None:
        logger.info("objects are not shown: add --local with the store of the archive")
    make, title = partial(_app, opened, local), f"{len(archive)} images"
    del archive  # each process opens its own
    run.serve(make, host, port, allow_host, title=title, workers=workers, log=log)


def _app(opened: Callable[[], Archive], local: str | Path | None, hosts: Hosts) -> Guard:
    """The application with its archive, model and captions read."""
    from galr.search.serve.app import create_app
    from galr.search.serve.limits import Limits
    from galr.search.serve.objects import Objects
    from galr.serving.server import room_for

    archive = opened()
    _ = archive.encoder, archive.captions  # now, so that nobody waits or is told of damage later
    objects = None if local is None else Objects(local, archive.manifest)
    limits = Limits(connections=room_for(Limits().connections))
    return create_app(archive, objects=objects, hosts=hosts, limits=limits)
