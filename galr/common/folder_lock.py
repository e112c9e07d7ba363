"""One writer a folder: a second run waits or is refused, and leftovers of killed ones go."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from galr.common import distributed
from galr.common.errors import RunError

logger = logging.getLogger(__name__)

_held: set[int] = set()  # descriptors that a fork must not keep: it may live longer than its parent


def _close_in_fork() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_fork)


class FolderLock:
    """A folder that nobody else writes to as long as this one holds it."""

    def __init__(self, folder: Path, handle: int | None) -> None:
        self.folder, self._handle = folder, handle

    def check(self) -> None:
        """Raises RunError where the folder was removed or moved away meanwhile."""
        if self._handle is None:
            return
        try:
            same = os.path.samestat(os.stat(self.folder), os.fstat(self._handle))
        except OSError:
            same = False
        if not same:
            raise RunError(
                self.folder,
                "was removed or moved while this run wrote to it",
                "put it back, and resume or start again",
            )


@contextlib.contextmanager
def holding(folder: str | Path, *, waiting: str | None = None) -> Iterator[int]:
    """Holds ``folder`` for the block, by the descriptor that it gives.

    Where another one holds it, this waits, with the line ``waiting`` in the log, or raises RunError
    where there is none. File systems without locks let both go on. Raises OSError where there is no
    such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        if not _lock(handle, wait=False):
            if waiting is None:
                raise RunError(
                    folder,
                    "another run is writing to it",
                    "wait for it or stop it, or write to another folder",
                )
            if waiting:
                logger.info("%s", waiting)
            _lock(handle, wait=True)
        yield handle
    finally:
        _held.discard(handle)
        os.close(handle)  # which also unlocks: forks have closed theirs


@contextlib.contextmanager
def only_writer(folder: str | Path, leftovers: str = "*.tmp") -> Iterator[FolderLock]:
    """Holds ``folder``, which is made, for the block; removes ``leftovers`` of killed runs.

    A folder that was made and stays empty is removed again. Raises RunError where another run
    holds it. File systems without locks let both go on.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = stack.enter_context(holding(folder))
        except OSError as error:
            raise RunError(
                folder, f"cannot be written ({error.strerror})", "check it, or name another"
            ) from None
        for leftover in folder.glob(leftovers) if leftovers else ():
            leftover.unlink(missing_ok=True)
        yield FolderLock(folder, handle)


@contextlib.contextmanager
def only_writer_of_ranks(
    folder: Path, leftovers: str, device: torch.device
) -> Iterator[FolderLock]:
    """``only_writer`` on rank 0; where it is refused, all ranks end."""
    with contextlib.ExitStack() as stack:
        lock = FolderLock(folder, None)

        def hold() -> bytes:
            nonlocal lock
            lock = stack.enter_context(only_writer(folder, leftovers))
            return b""

        distributed.on_main(hold, device)
        yield lock


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether it is held from now on; False where somebody else holds it."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a system or a file system without locks
        return True
    return True


def _remove_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # the first that is not empty ends it
        for each in folders:
            each.rmdir()
