"""What a server counts and times, in the text format of Prometheus."""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.responses import Response

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # the folder where the processes of one server leave numbers
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
TASKS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one process, in its ``registry``.

    Where ``PROMETHEUS_MULTIPROC_DIR`` is set, ``answer`` tells of all processes that share it.
    """

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "galr_requests_total", "Answers sent.", ("route", "status"), registry=own
        )
        self.seconds = Histogram(
            "galr_request_seconds", "From the first line of a request to its answer.", ("route",),
            registry=own, buckets=SECONDS,
        )  # fmt: skip
        self.turns = Histogram(
            "galr_turn_seconds", "Time that tasks waited.", ("line",), registry=own,
            buckets=SECONDS,
        )  # fmt: skip
        self.tasks = Histogram(
            "galr_batch_tasks", "Tasks in a batch.", ("line",), registry=own, buckets=TASKS
        )
        self.busy = Counter(
            "galr_busy_seconds_total", "Time spent on tasks.", ("line",), registry=own
        )
        self.dropped = Counter(
            "galr_dropped_connections_total",
            "Connections closed before a complete request.",
            registry=own,
        )
        self.waiting = Gauge(
            "galr_waiting_tasks", "Waiting tasks.", ("line",), registry=own,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.connections = Gauge(
            "galr_connections", "Open connections.", registry=own, multiprocess_mode="livesum"
        )

    def answer(self) -> Response:
        """All of it."""
        registry = self.registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})


def forget_process(process: int | None) -> None:
    """Takes the gauges of a process that has ended out of the shared numbers."""
    mark_process_dead(process)  # type: ignore[no-untyped-call]
