"""``torch.save`` that says what the disk said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from galr.common.atomic import atomic_path


def save_torch(path: str | Path, value: Any, *, parents: bool = True) -> None:  # noqa: ANN401
    """Writes ``value`` atomically; as ``atomic_path``. Raises RunError where the disk refuses."""
    with atomic_path(path, parents=parents) as temporary, temporary.open("wb") as file:
        try:
            torch.save(value, file)
        except RuntimeError as error:
            # torch's archive reports only that it is cut short; what came first is the reason
            reason: BaseException | None = error
            while reason is not None and not isinstance(reason, OSError | KeyboardInterrupt):
                reason = reason.__context__
            if reason is None:
                raise
            raise reason from None
