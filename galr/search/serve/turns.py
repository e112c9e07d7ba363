"""Work that takes a while, beside the event loop: in turn, and what waits together at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from galr.search.serve.limits import Limits, Refused
from galr.search.serve.metrics import Metrics

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

RECENT = 0.2  # weight of the latest batch in the mean time of one


class _Waiting(NamedTuple, Generic[Task, Result]):
    task: Task
    answer: asyncio.Future[Result]
    since: float


class Turns(Generic[Task, Result]):
    """Threads that are handed the waiting tasks, up to ``most`` at a time, in their order.

    ``work`` returns a result, or the exception that is raised instead, for each of its tasks. Only
    the event loop touches what waits, so there is no lock.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Task]], Sequence[Result | Exception]],
        limits: Limits,
        metrics: Metrics,
        *,
        threads: int = 1,
        most: int = 1,
    ) -> None:
        self.name, self.limits = name, limits
        self._work, self._metrics, self._threads, self._most = work, metrics, threads, most
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting: deque[_Waiting[Task, Result]] = deque()
        self._running: dict[asyncio.Future[Sequence[Result | Exception]], float] = {}
        self._seconds_a_batch = 0.0  # of the latest ones

    async def do(self, task: Task) -> Result:
        """The result of ``task``; Refused (503) where it is not to be expected in time.

        A task that has begun cannot be stopped: it keeps its thread, and the following ones wait.
        One that nobody waits for any longer is not begun.
        """
        expected = self.expected_seconds()
        if expected > self.limits.seconds:
            later = math.ceil(expected - self.limits.seconds)
            raise Refused(503, "Too many searches at once: try again in a moment.", later)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(task, answer, time.monotonic()))
        self._begin()
        try:
            return await asyncio.wait_for(answer, self.limits.seconds)
        except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
            logger.warning("%s: not finished within %g seconds", self.name, self.limits.seconds)
            raise Refused(503, "This took too long: try again in a moment.", 1) from None

    def expected_seconds(self) -> float:
        """When a task that came now would be done; 0 where none is ahead of it."""
        batches = len(self._running) + math.ceil((len(self._waiting) + 1) / self._most)
        return batches * self._seconds_a_batch / self._threads if batches > 1 else 0.0

    def waiting(self) -> int:
        """How many tasks wait for their turn."""
        return sum(not one.answer.done() for one in self._waiting)

    def is_stuck(self) -> bool:
        """Whether no thread has come back for longer than anybody waits."""
        latest = time.monotonic() - self.limits.seconds
        return len(self._running) == self._threads and max(self._running.values()) < latest

    def close(self) -> None:
        """Drops what waits; what runs ends by itself, and nobody is told of it."""
        for waiting in self._waiting:
            waiting.answer.cancel()
        self._waiting.clear()
        for running in list(self._running):
            running.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self._threads:
            batch: list[_Waiting[Task, Result]] = []
            now = time.monotonic()
            while self._waiting and len(batch) < self._most:
                first = self._waiting.popleft()
                if not first.answer.done():
                    batch.append(first)
                    self._metrics.turn(self.name, now - first.since, len(self._waiting))
            if not batch:
                return
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._pool, self._work, [one.task for one in batch])
            self._running[running] = now
            running.add_done_callback(partial(self._ended, batch))

    def _ended(
        self,
        batch: Sequence[_Waiting[Task, Result]],
        done: asyncio.Future[Sequence[Result | Exception]],
    ) -> None:
        seconds = time.monotonic() - self._running.pop(done)
        self._metrics.batch(self.name, len(batch), seconds)
        share = RECENT if self._seconds_a_batch else 1.0
        self._seconds_a_batch += share * (seconds - self._seconds_a_batch)
        if done.cancelled():  # by close
            return
        failed = done.exception()
        results = done.result() if failed is None else [failed] * len(batch)
        for one, result in zip(batch, results, strict=True):
            if one.answer.done():  # nobody waits for it any longer
                continue
            if isinstance(result, BaseException):
                one.answer.set_exception(result)
            else:
                one.answer.set_result(result)
        self._begin()


def each(tasks: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """What each of the tasks returns or raises: the ``work`` of tasks that share nothing."""
    return [_result(task) for task in tasks]


def _result(task: Callable[[], Result]) -> Result | Exception:
    try:
        return task()
    except Exception as error:  # noqa: BLE001 - raised again, where the task was asked for
        return error
