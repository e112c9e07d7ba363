"""Progress of a long loop: a bar on a terminal, a line a minute in a file."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts items of a loop and shows them with their rate and some figures.

    with Progress("fold 0 epoch 3", total=17164, unit="images") as progress:
        progress.advance(100)
        progress.show(loss=3.2)
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = 0
        self.started = self._last_line = time.monotonic()
        self._figures = ""
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=total, desc=title, unit=f" {unit}", leave=False, dynamic_ncols=True
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, items: int) -> None:
        """Counts ``items`` more."""
        self.done += items
        if self._bar is not None:
            self._bar.update(items)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            logger.info(
                "%s: %d of %d %s, %.1f a second%s",
                self.title,
                self.done,
                self.total,
                self.unit,
                self.rate,
                self._figures,
            )

    def show(self, **figures: float) -> None:
        """Sets the figures that are shown beside the rate."""
        self._figures = "".join(f", {name} {value:.4g}" for name, value in figures.items())
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures.removeprefix(", "), refresh=False)

    @property
    def seconds(self) -> float:
        """Seconds since the loop began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Items a second so far."""
        return self.done / max(self.seconds, 1e-9)
