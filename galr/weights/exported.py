"""A model as a folder that is shared: weights as safetensors, options, vocabulary, a model card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save

from galr.common.atomic import atomic_path, write_json, write_text
from galr.common.errors import UserError
from galr.options import Options
from galr.weights.files import load_safetensors

WEIGHTS, OPTIONS, TRAINING, CARD = "model.safetensors", "options.yaml", "training.json", "README.md"

_REMEDY = "name a folder that python -m galr.export wrote"


def is_exported(path: str | Path) -> bool:
    """Whether ``path`` is a folder with exported weights."""
    return (Path(path) / WEIGHTS).is_file()


def write_exported(folder: Path, entries: dict[str, Any], options: Options, card: str) -> None:
    """Writes the model in the ``entries`` of a checkpoint, the weights last.

    Every file is written atomically; raises RunError where the disk refuses.
    """
    resolved = {**options.model_dump(mode="json"), "base": None}
    write_text(folder / OPTIONS, yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    told = {name: entries[name] for name in ("vocabulary", "fold", "epoch", "versions", "progress")
            if name in entries}  # fmt: skip
    write_json(folder / TRAINING, told)
    write_text(folder / CARD, card)
    weights = {name: tensor.contiguous() for name, tensor in entries["model"].items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(weights, {"format": "pt"}))


def read_exported(folder: str | Path) -> dict[str, Any]:
    """The entries that ``write_exported`` wrote, as of a checkpoint; nothing is unpickled.

    Raises UserError for files that are missing or damaged.
    """
    folder = Path(folder)
    entries: dict[str, Any] = {"model": load_safetensors(folder / WEIGHTS, _REMEDY)}
    try:
        path = folder / OPTIONS
        entries["options"] = yaml.safe_load(path.read_text(encoding="utf-8"))
        path = folder / TRAINING
        entries |= json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(path, "there is no such file", _REMEDY) from None
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise UserError(path, f"cannot be read ({error})", _REMEDY) from None
    return entries
