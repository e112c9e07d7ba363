"""Answers at an address until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial

from galr.serving.guard import Guard, Hosts
from galr.serving.logs import LogFormat
from galr.serving.server import Server, config_of, listen
from galr.serving.workers import run_workers

logger = logging.getLogger(__name__)


def serve(
    make: Callable[[Hosts], Guard],
    host: str,
    port: int,
    names: Sequence[str] = (),
    *,
    title: str,
    workers: int = 1,
    log: LogFormat = "text",
) -> None:
    """Answers by the application that ``make`` gives for the names that it is called by.

    These are ``host``, ``names``, and where other machines can reach the server, that of this
    machine. Prints ``title`` and the address once requests are taken. Raises UserError where the
    address cannot be had.
    """
    with listen(host, port) as listening:
        bound = ipaddress.ip_address(listening.getsockname()[0].partition("%")[0])
        is_open = not bound.is_loopback
        own = [host, *names, *([socket.gethostname()] if is_open else [])]
        made = partial(make, Hosts(own, is_open=is_open))
        if is_open:
            logger.warning(
                "warning: this server is reachable from other machines and has no password: "
                "anyone who can reach it can search and see the images"
            )
        shown = socket.gethostname() if bound.is_unspecified else host.strip("[]")
        shown = f"[{shown}]" if ":" in shown else shown

        def say() -> None:
            at = f"http://{shown}:{listening.getsockname()[1]}/"
            sys.stdout.write(f"{title} at {at} (stop with Ctrl-C)\n")
            sys.stdout.flush()

        with contextlib.suppress(KeyboardInterrupt):  # how a server ends
            if workers == 1:
                Server(config_of(made()), say).run([listening])
            else:
                run_workers(made, listening, say, workers, log)
    sys.stdout.write("stopped\n")
