"""Progress of a long loop: a bar on a terminal, a line a minute in a file."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from galr.common import interrupts

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
        if sys.stderr.isatty() and _whole is None:
            self._bar = tqdm(
                total=total, desc=title, unit=f" {unit}", leave=False, dynamic_ncols=True
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, items: int) -> None:
        """Counts ``items`` more; raises KeyboardInterrupt where one was lost on its way."""
        interrupts.check()
        self.done += items
        if _whole is not None:
            _whole.show(self.title, self.done, self.total)
        elif self._bar is not None:
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


class WholeProgress:
    """One bar for several loops in a row, by time: how much of ``seconds`` has passed.

    Use it by ``whole_progress``; ``spent`` are seconds of an earlier run.
    """

    def __init__(self, seconds: float, spent: float) -> None:
        self.seconds, self.spent, self.started = seconds, spent, time.monotonic()
        self._last_line = self.started
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=seconds, initial=spent, leave=False, dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| {desc}",
            )  # fmt: skip

    @property
    def passed(self) -> float:
        """Seconds so far, those of earlier runs too."""
        return self.spent + time.monotonic() - self.started

    def show(self, title: str, done: int, total: int) -> None:
        """Moves the bar; says what is being done, its share and the time that is left."""
        left = max(self.seconds - self.passed, 0)
        text = f"{title} {100 * done // max(total, 1)}%, {left // 60:.0f}:{left % 60:02.0f} left"
        if self._bar is not None:
            self._bar.desc = text
            self._bar.update(min(self.passed, self.seconds) - self._bar.n)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            logger.info("%.0f%%: %s", 100 * min(self.passed / self.seconds, 1), text)

    def close(self) -> None:
        """Takes the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()


_whole: WholeProgress | None = None


@contextlib.contextmanager
def whole_progress(seconds: float, spent: float = 0.0) -> Iterator[WholeProgress]:
    """Within the block all loops share one bar, which ends after ``seconds``."""
    # imports tqdm.auto, which warns in a notebook without widgets
    from tqdm.contrib.logging import logging_redirect_tqdm

    global _whole
    _whole = WholeProgress(seconds, spent)
    try:
        with logging_redirect_tqdm():
            yield _whole
    finally:
        _whole.close()
        _whole = None
