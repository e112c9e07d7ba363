"""Work that takes a while, beside the event loop, a fixed number of tasks at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from galr.search.serve.limits import Limits, Refused

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class Worker:
    """Threads that do what the event loop hands them, in turn."""

    def __init__(self, name: str, threads: int, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + limits.waiting
        self._tasks = 0

    async def do(self, task: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What ``task`` returns; Refused (503) where too many wait, or it takes too long.

        A task that has begun cannot be stopped: it keeps its thread, and the following ones wait.
        """
        if self._tasks >= self._most:
            raise Refused(503, "Too many searches at once: try again in a moment.")
        future = self._pool.submit(task, *args, **kwargs)
        self._tasks += 1
        # counted until it has ended, and not only for as long as somebody waits for it
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _unless_closed(loop, self._ended))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self.limits.seconds)
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            logger.warning("%s: not finished within %g seconds", self.name, self.limits.seconds)
            raise Refused(503, "This took too long: try again in a moment.") from None

    def close(self) -> None:
        """Drops what waits; what runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self) -> None:
        self._tasks -= 1


def _unless_closed(loop: asyncio.AbstractEventLoop, task: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(task)
