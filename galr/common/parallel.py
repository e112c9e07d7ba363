"""The same work on many items, on all cores, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

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
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
