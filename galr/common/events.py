"""TensorBoard's curves of a training: always those of its log, however often it was resumed."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from galr.common.atomic import refused

NAME = "events.out.tfevents."


class Events:
    """Writes a row of numbers an epoch, in the thread of the caller.

    A run that begins writes the rows so far anew, at the times that they had, and removes earlier
    files of events: TensorBoard reads files by the times in their names, so that after a killed run
    or a clock that was set back epochs would be missing or twice there.
    """

    def __init__(
        self, folder: Path, rows: Sequence[Mapping[str, float]], curve: Callable[[str], str] = str
    ) -> None:
        """``rows`` of the epochs so far; ``curve`` names the curve of a column.

        Raises RunError where the folder cannot be written to.
        """
        self.folder, self.curve = folder, curve
        with refused(folder):
            folder.mkdir(parents=True, exist_ok=True)
            earlier = sorted(folder.glob(f"{NAME}*"))
            times = dict(_times(earlier))
            for path in earlier:
                path.unlink()
            name = f"{NAME}{int(time.time()):010d}.{platform.node()}.{os.getpid()}"
            self._file = (folder / name).open("wb")
        self._writer = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        # a TensorBoard that is open drops what it had
        self._write(Event(wall_time=time.time(), session_log=SessionLog(status=SessionLog.START)))
        for row in rows:
            self.add(row, times.get(int(row["epoch"])))

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # all was flushed
            self._file.close()

    def add(self, row: Mapping[str, float], at: float | None = None) -> None:
        """Adds the numbers of ``row`` at its ``epoch``; ``at`` seconds since 1970, or now."""
        values = [
            Summary.Value(tag=self.curve(name), simple_value=value)
            for name, value in row.items()
            if name != "epoch"
        ]
        at = time.time() if at is None else at
        self._write(Event(wall_time=at, step=int(row["epoch"]), summary=Summary(value=values)))

    def _write(self, event: Event) -> None:
        with refused(self.folder):
            self._writer.write(event.SerializeToString())
            self._file.flush()


def _times(paths: Sequence[Path]) -> Iterator[tuple[int, float]]:
    """The epochs of earlier files, and when they were written."""
    for path in paths:
        for event in LegacyEventFileLoader(str(path)).Load():
            if event.summary.value:
                yield event.step, event.wall_time
