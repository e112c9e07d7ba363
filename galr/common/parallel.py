"""The same work on many items, on all cores, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from galr.common.errors import RunError
from galr.common.processes import cores, leave_interrupts_to_parent, starting_processes
from galr.common.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    *,
    chunk: int,
    alone: int,
) -> Iterator[Result]:
    """``work`` of each item, in order; a process takes ``chunk`` items at a time.

    Up to ``alone`` items are done here, since starting processes takes longer than they save.
    Raises RunError where one of the processes was killed.
    """
    with Progress(title, total=len(items), unit="images") as progress:
        if len(items) <= alone or cores() == 1:
            for item in items:
                yield work(item)
                progress.advance(1)
            return
        with (
            ProcessPoolExecutor(cores(), initializer=leave_interrupts_to_parent) as pool,
            starting_processes(),
        ):
            try:
                for result in pool.map(work, items, chunksize=chunk):
                    yield result
                    progress.advance(1)
            except BrokenProcessPool:
                raise RunError(
                    title,
                    "one of the processes that do it was killed",
                    "run it again; if memory is short, on fewer cores (taskset -c 0)",
                ) from None
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
