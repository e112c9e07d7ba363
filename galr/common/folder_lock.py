"""One writer a folder: a second run waits or is refused, and leftovers of killed ones go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from galr.common import distributed
from galr.common.errors import RunError

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
def only_writer(folder: str | Path, leftovers: str = "*.tmp") -> Iterator[FolderLock]:
    """Holds ``folder``, which is made, for the block; removes ``leftovers`` of killed runs.

    A folder that was made and stays empty is removed again. Raises RunError where another run
    holds it. File systems without locks let both go on.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise RunError(
            folder, f"cannot be written ({error.strerror})", "check it, or name another"
        ) from None
    _held.add(handle)
    try:
        if _locked(handle):
            raise RunError(
                folder,
                "another run is writing to it",
                "wait for it or stop it, or write to another folder",
            )
        for leftover in folder.glob(leftovers) if leftovers else ():
            leftover.unlink(missing_ok=True)
        yield FolderLock(folder, handle)
    finally:
        _held.discard(handle)
        os.close(handle)  # which also unlocks: forks have closed theirs
        with contextlib.suppress(OSError):  # the first that is not empty ends it
            for each in made:
                each.rmdir()


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


def _locked(handle: int) -> bool:
    """Whether somebody else holds it; else it is held from now on."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):  # a system or a file system without locks
        return False
    return False
