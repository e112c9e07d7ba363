"""Reports each epoch of a fold: log.csv, TensorBoard events and a log line."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from galr.common import distributed
from galr.common.atomic import write_text
from galr.common.errors import UserError
from galr.common.events import Events

logger = logging.getLogger(__name__)


def open_events(
    folder: Path, history: Sequence[Mapping[str, float]]
) -> contextlib.AbstractContextManager[Events | None]:
    """TensorBoard events in ``folder``, continuing ``history``; rank 0 only, None on other ranks.

    Also rewrites log.csv from ``history``, since a killed run may have saved only its state.
    """
    if not distributed.is_main():
        return contextlib.nullcontext()
    if history:
        write_log(folder / "log.csv", history)
    return Events(folder, history, _curve)


def _curve(name: str) -> str:
    """The TensorBoard tag of a column of log.csv."""
    return f"{'validation' if name[:2] in ('mR', 'i2', 't2') else 'train'}/{name}"


def report_epoch(row: Mapping[str, float], events: Events, fold: int, epochs: int | None) -> None:
    """Adds the metrics of an epoch to ``events`` and logs them; ``epochs``: their total number."""
    epoch = int(row["epoch"])
    events.add(row)
    logger.info(
        "fold %d epoch %d%s: loss %.4f, %.1f images/s%s",
        fold,
        epoch,
        "" if epochs is None else f" of {epochs}",
        row["loss"],
        row["images_per_second"],
        f", validation mR {row['mR']:.2f}" if "mR" in row else "",
    )


def write_log(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes log.csv: one row per epoch, with metrics for validated ones."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue(), parents=False)  # a folder that was moved away is missed


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a fold's log, without empty cells; none where there is no log.

    Raises UserError for a file that is no log.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                {name: float(cell) for name, cell in row.items() if name and cell}
                for row in csv.DictReader(file)
            ]
            return [row for row in rows if "epoch" in row]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            path, f"is not a log of train.py ({error})", "delete it, or train the fold again"
        ) from None
