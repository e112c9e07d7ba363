"""What each epoch of a fold leaves behind: log.csv, TensorBoard events and a line in the log."""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from galr.common import distributed
from galr.common.atomic import write_text

logger = logging.getLogger(__name__)


def open_events(
    folder: Path, next_epoch: int
) -> contextlib.AbstractContextManager[SummaryWriter | None]:
    """TensorBoard events in ``folder`` from ``next_epoch`` on, by rank 0; None on the others."""
    if not distributed.is_main():
        return contextlib.nullcontext()
    return SummaryWriter(str(folder), purge_step=next_epoch)


def report_epoch(
    row: Mapping[str, float], events: SummaryWriter, fold: int, epochs: int | None
) -> None:
    """Adds the metrics of an epoch to ``events`` and logs them; ``epochs``: how many there are."""
    epoch = int(row["epoch"])
    for name, value in row.items():
        if name != "epoch":
            group = "validation" if name[:2] in ("mR", "i2", "t2") else "train"
            events.add_scalar(f"{group}/{name}", value, epoch)
    events.flush()
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
    """Writes log.csv: one row per epoch, with the metrics of those that were validated."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())
