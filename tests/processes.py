"""Commands in processes of their own that start in milliseconds: torch is imported once, before."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["galr.commands.train", "galr.commands.test", "galr.training.trainer",
     "galr.evaluation.evaluator", "torch.utils.tensorboard", "timm"]
)  # fmt: skip


class Ended(NamedTuple):
    """What a process leaves, as ``subprocess.run`` calls it."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """``main(arguments)`` of a command in a process, in a session and a working folder of its own.

    ``setup`` is called first, with ``values``; both are pickled.
    """

    def __init__(
        self,
        main: Callable[[list[str]], None],
        *arguments: object,
        folder: Path,
        environment: Mapping[str, str] = {},
        setup: Callable[..., None] | None = None,
        values: tuple[Any, ...] = (),
    ) -> None:
        self.stdout, self.stderr = folder / "stdout.txt", folder / "stderr.txt"
        self._process = _CONTEXT.Process(
            target=_run,
            args=(main, list(map(str, arguments)), folder, dict(environment), setup, values),
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """That of the process and of its group."""
        assert self._process.pid is not None
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def wait(self, timeout: float = 120) -> Ended:
        """Its status and output; fails where it takes longer."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        return Ended(self._process.exitcode, self.stdout.read_text(), self.stderr.read_text())


def _run(
    main: Callable[[list[str]], None],
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    setup: Callable[..., None] | None,
    values: tuple[Any, ...],
) -> None:
    import torch

    from galr.common import cli

    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for stream, name in ((sys.stdout, "stdout.txt"), (sys.stderr, "stderr.txt")):
        stream.flush()
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    torch.set_num_threads(1)
    if setup is not None:
        setup(*values)
    sys.exit(cli.run(main, arguments))
