"""The finished stages of a quickstart, for resuming it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from galr.common.atomic import write_json
from galr.common.errors import UserError

FILE = "quickstart.json"


class State:
    """The stages that are done in a folder, what each found, and the seconds that passed."""

    def __init__(self, folder: Path, arguments: dict[str, Any]) -> None:
        """Raises UserError where the folder was begun with other arguments, or holds others'."""
        self.folder, self._path = folder, folder / FILE
        self.seconds, self.stages = 0.0, {}  # type: float, dict[str, dict[str, Any]]
        self.arguments = arguments
        if not self._path.is_file():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(folder, "contains other files", "choose a new folder with --out")
            self._write()
            return
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self.seconds, self.stages = float(content["seconds"]), dict(content["stages"])
            before = dict(content["arguments"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                self._path, f"is damaged ({error})", "choose a new folder with --out"
            ) from None
        changed = [key for key in arguments if before.get(key) != arguments[key]]
        if not self.stages:  # whoever mends a wrong argument begins anew
            changed = []
        if "options" not in self.stages and "minutes" in changed:
            changed.remove("minutes")
        if changed:
            key = changed[0]
            raise UserError(
                folder,
                f"was started with a different {key} ({before.get(key)}, now {arguments[key]})",
                "choose a new folder with --out, or repeat the original arguments",
            )

    def done(self, stage: str, **found: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Keeps that a stage is finished, and what it found."""
        self.stages[stage] = found
        self._write()
        return found

    def passed(self, seconds: float) -> None:
        """Keeps the seconds of all runs so far."""
        self.seconds = seconds
        self._write()

    def _write(self) -> None:
        content = {"arguments": self.arguments, "seconds": self.seconds, "stages": self.stages}
        write_json(self._path, content)
