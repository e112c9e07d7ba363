"""What a server counts and times, in the text format of Prometheus."""

from __future__ import annotations

import os

INSTALL = "pip install prometheus_client"
SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the folder where the processes of one server leave numbers
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
TASKS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one process; without the package prometheus_client nothing is counted.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set, ``render`` tells of all processes that share it.
    ``images`` is the size of the archive.
    """

    def __init__(self, images: int) -> None:
        try:
            from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
        except ImportError:
            self.are_kept = False
            return
        self.are_kept = True
        self._registry = kept = CollectorRegistry()
        self._requests = Counter(
            "galr_requests_total", "Answers sent.", ("route", "status"), registry=kept
        )
        self._seconds = Histogram(
            "galr_request_seconds", "From the first line of a request to its answer.", ("route",),
            buckets=SECONDS, registry=kept,
        )  # fmt: skip
        self._turns = Histogram(
            "galr_turn_seconds", "That tasks waited for their turn.", ("line",),
            buckets=SECONDS, registry=kept,
        )  # fmt: skip
        self._tasks = Histogram(
            "galr_batch_tasks", "Tasks worked on together.", ("line",), buckets=TASKS, registry=kept
        )
        self._busy = Counter("galr_busy_seconds_total", "Spent on tasks.", ("line",), registry=kept)
        self._dropped = Counter(
            "galr_dropped_connections_total", "Closed before a whole request had come.",
            registry=kept,
        )  # fmt: skip
        self._waiting = Gauge(
            "galr_waiting_tasks", "Tasks that wait for their turn.", ("line",), registry=kept,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self._connections = Gauge(
            "galr_connections", "Open connections.", registry=kept, multiprocess_mode="livesum"
        )
        size = Gauge(
            "galr_images", "Images in the archive.", registry=kept, multiprocess_mode="max"
        )
        size.set(images)

    def request(self, route: str, status: int, seconds: float) -> None:
        """An answer was sent, ``seconds`` after the first line of its request."""
        if self.are_kept:
            self._requests.labels(route, status).inc()
            self._seconds.labels(route).observe(seconds)

    def turn(self, line: str, seconds: float, waiting: int) -> None:
        """A task of the line ("search", "images") has its turn, and so many still wait."""
        if self.are_kept:
            self._turns.labels(line).observe(seconds)
            self._waiting.labels(line).set(waiting)

    def batch(self, line: str, tasks: int, seconds: float) -> None:
        """So many tasks were worked on together for ``seconds``."""
        if self.are_kept:
            self._tasks.labels(line).observe(tasks)
            self._busy.labels(line).inc(seconds)

    def connections(self, count: int) -> None:
        """So many are open."""
        if self.are_kept:
            self._connections.set(count)

    def dropped(self) -> None:
        """A connection was closed before a whole request had come."""
        if self.are_kept:
            self._dropped.inc()

    def render(self) -> tuple[bytes, str]:
        """All of it, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def forget_process(process: int) -> None:
    """Takes the gauges of a process that has ended out of the shared numbers."""
    if os.environ.get(SHARED):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(process)  # type: ignore[no-untyped-call]
