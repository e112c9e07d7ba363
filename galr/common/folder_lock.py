"""One writer a folder: a second run waits or is refused, and leftovers of killed ones go."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galr.common.errors import RunError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_held: set[int] = set()  # descriptors that a fork must not keep, since it may outlive its parent


def _close_in_fork() -> None:
    for handle in _held:
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_fork)


class FolderLock:
    """A folder that nobody else writes to while this object holds it."""

    def __init__(self, folder: Path, handle: int | None) -> None:
        self.folder, self._handle = folder, handle

    def check(self) -> None:
        """Raises RunError if the folder has been removed or moved."""
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
def holding(
    folder: str | Path, *, waiting: str | None = None, shared: bool = False
) -> Iterator[int]:
    """Locks ``folder`` for the block; yields its descriptor.

    ``shared``: alongside other shared locks. If somebody else holds it, waits, with ``waiting`` in
    the log, or raises RunError without such a line. File systems without locks admit everybody.
    Raises OSError if there is no such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        if not _lock(handle, wait=False, shared=shared):
            if waiting is None:
                raise RunError(
                    folder,
                    "another run is writing to it",
                    "wait for it or stop it, or write to another folder",
                )
            if waiting:
                logger.info("%s", waiting)
            _lock(handle, wait=True, shared=shared)
        yield handle
    finally:
        _held.discard(handle)
        os.close(handle)  # which also unlocks: forks have closed theirs


@contextlib.contextmanager
def only_writer(
    folder: str | Path, leftovers: str = "*.tmp", *, part: bool = False
) -> Iterator[FolderLock]:
    """Creates and locks ``folder`` for the block; removes ``leftovers`` of killed runs.

    ``part``: excludes the only writer of the parent folder, too, but not those of its other parts.
    A created folder that stays empty is removed again. Raises RunError if another run holds it.
    File systems without locks admit both.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, made)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if part:
                stack.enter_context(holding(folder.parent, shared=True))
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
    folder: Path, leftovers: str, device: torch.device, *, part: bool = False
) -> Iterator[FolderLock]:
    """``only_writer`` on rank 0; if it is refused, all ranks end."""
    from galr.common import distributed  # imports torch, which other commands need not wait for

    with contextlib.ExitStack() as stack:
        lock = FolderLock(folder, None)

        def hold() -> bytes:
            nonlocal lock
            lock = stack.enter_context(only_writer(folder, leftovers, part=part))
            return b""

        distributed.on_main(hold, device)
        yield lock


def _lock(handle: int, *, wait: bool, shared: bool) -> bool:
    """Whether it is held from now on; False if somebody else holds it."""
    try:
        import fcntl

        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a system or a file system without locks
        return True
    return True


def _remove_empty(folders: Sequence[Path]) -> None:
    with contextlib.suppress(OSError):  # the first that is not empty ends it
        for each in folders:
            each.rmdir()
