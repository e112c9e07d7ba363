"""The checkpoint that a path means, with its options and vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from galr.common.errors import UserError
from galr.data.vocabulary import Vocabulary
from galr.model.build import CHECKPOINT_REMEDY, read_checkpoint
from galr.options import Options, load_options
from galr.weights.exported import is_exported


def read_complete(
    path: str | Path,
    options: Options | str | Path | None = None,
    vocabulary: Vocabulary | str | Path | None = None,
) -> dict[str, Any]:
    """The entries of a checkpoint, ``options`` (dict) and ``vocabulary`` (list) among them.

    Arguments and errors as for ``load``.
    """
    entries = read_checkpoint(path)
    if vocabulary is not None:
        known = vocabulary if isinstance(vocabulary, Vocabulary) else Vocabulary.load(vocabulary)
        if entries.get("vocabulary") not in (None, list(known.words)):
            place = path if isinstance(vocabulary, Vocabulary) else vocabulary
            what = "is not the vocabulary that the checkpoint holds"
            raise UserError(place, what, "leave the vocabulary out")
        entries["vocabulary"] = list(known.words)
    if options is not None:
        given = options if isinstance(options, Options) else load_options(options)
        entries["options"] = given.model_dump(mode="json")
    for name, flag, kind in (("options", "path_opt", dict), ("vocabulary", "vocab", list)):
        if not isinstance(entries.get(name), kind):
            raise UserError(
                path,
                f"does not hold the {name} that it was trained with",
                f"give a file: {name}= in Python, --{flag} in commands",
            )
    return entries


def checkpoint_file(path: Path) -> Path:
    """The file or exported folder that ``path`` means; UserError for a folder without either."""
    if not path.is_dir() or is_exported(path):
        return path
    if (path / "best.pth").is_file():
        return path / "best.pth"
    folds = sorted(path.glob("*/best.pth"))
    remedy = f"name a fold: {folds[0].parent}" if folds else CHECKPOINT_REMEDY
    raise UserError(path, "holds no best.pth and no exported model", remedy)
