"""Times several ways of doing the same, in turn in one run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import numpy as np
import torch

from galr.common.processes import cores


class Times(TypedDict):
    """Of one side: medians over the repeats, and the spread of the clock's, (max - min) / median.

    The processor's seconds are those of the process and of its children that have ended; on a
    machine that others use too, they tell more than the clock's.
    """

    seconds: float
    processor_seconds: float
    spread: float


def side_by_side(
    sides: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, Times]:
    """Calls each of ``sides`` in turn, ``repeats`` times after ``warm_up`` calls that do not count.

    What slows the machine for a while slows all sides alike.
    """
    clock: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(-warm_up, repeats):
        for name, call in sides.items():
            start, start_processor = time.perf_counter(), _processor_seconds()
            call()
            if repeat >= 0:
                clock[name].append(time.perf_counter() - start)
                processor[name].append(_processor_seconds() - start_processor)
    return {
        name: Times(
            seconds=statistics.median(clock[name]),
            processor_seconds=statistics.median(processor[name]),
            spread=(max(clock[name]) - min(clock[name])) / statistics.median(clock[name]),
        )
        for name in sides
    }


def machine() -> dict[str, str | int]:
    """What the times depend on, besides the code."""
    return {
        "processor": _processor_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _processor_seconds() -> float:
    return sum(os.times()[:4])


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:  # another system than Linux
        names = []
    return names[0] if names else platform.processor()
