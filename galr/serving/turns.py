"""Work that takes a while, beside the event loop: in turn, and what waits together at once."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from galr.serving.limits import Limits, Refused
from galr.serving.metrics import Metrics

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
        self, name: str, work: Callable[[Sequence[Task]], Sequence[Result | Exception]],
        limits: Limits, metrics: Metrics, *, threads: int = 1, most: int = 1,
    ) -> None:  # fmt: skip
        self.name, self.limits = name, limits
        self._work, self._metrics, self._threads, self._most = work, metrics, threads, most
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._waiting: deque[_Waiting[Task, Result]] = deque()
        self._running: dict[asyncio.Task[None], float] = {}  # and since when
        self._seconds_a_batch = 0.0  # of the latest ones

    async def do(self, task: Task) -> Result:
        """The result of ``task``; Refused (503) where it is not to be expected in time.

        A task that has begun cannot be stopped: it keeps its thread, and the following ones wait.
        One that nobody waits for any longer is not begun.
        """
        batches = len(self._running) + math.ceil((len(self._waiting) + 1) / self._most)
        expected = batches * self._seconds_a_batch / self._threads if batches > 1 else 0.0
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
        for running in self._running:
            running.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < self._threads:
            batch: list[_Waiting[Task, Result]] = []
            while self._waiting and len(batch) < self._most:
                if not (first := self._waiting.popleft()).answer.done():
                    batch.append(first)
            if batch:
                self._running[asyncio.ensure_future(self._answer(batch))] = time.monotonic()

    async def _answer(self, batch: Sequence[_Waiting[Task, Result]]) -> None:
        """Has a batch worked on, and begins the next one."""
        started = time.monotonic()
        for one in batch:
            self._metrics.turns.labels(self.name).observe(started - one.since)
        self._metrics.waiting.labels(self.name).set(len(self._waiting))
        results: Sequence[Result | Exception]
        try:
            tasks = [one.task for one in batch]
            loop = asyncio.get_running_loop()
            results = await loop.run_in_executor(self._pool, self._work, tasks)
        except Exception as error:  # noqa: BLE001 - raised again where the tasks were asked for
            results = [error] * len(batch)
        seconds = time.monotonic() - started
        self._metrics.tasks.labels(self.name).observe(len(batch))
        self._metrics.busy.labels(self.name).inc(seconds)
        share = RECENT if self._seconds_a_batch else 1.0
        self._seconds_a_batch += share * (seconds - self._seconds_a_batch)
        for one, result in zip(batch, results, strict=True):
            if one.answer.done():  # nobody waits for it any longer
                continue
            if isinstance(result, Exception):
                one.answer.set_exception(result)
            else:
                one.answer.set_result(result)
        current = asyncio.current_task()
        assert current is not None
        del self._running[current]
        self._begin()


def each(tasks: Sequence[Callable[[], Result]]) -> list[Result | Exception]:
    """What each of the tasks returns or raises: the ``work`` of tasks that share nothing."""
    return [_result(task) for task in tasks]


def _result(task: Callable[[], Result]) -> Result | Exception:
    try:
        return task()
    except Exception as error:  # noqa: BLE001 - raised again, where the task was asked for
        return error
