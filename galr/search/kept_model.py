"""The model that an archive keeps: what a checkpoint holds, without the state of its training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from galr.common.atomic import atomic_path
from galr.images.decoding import measured
from galr.trained_model import TrainedModel, read_complete


def keep_model(
    checkpoint: str | Path,
    path: Path,
    vocab: str | Path | None = None,
    path_opt: str | Path | None = None,
    *,
    images: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Copies weights, options and vocabulary of ``checkpoint`` to ``path``.

    ``vocab`` and ``path_opt`` are taken where it holds none. Where ``images``, a folder and names,
    have more than 8 bits and the options no range of their numbers, it is measured and added.
    Raises UserError for a checkpoint that is damaged, or that captions cannot be encoded with.
    """
    entries = read_complete(checkpoint, path_opt, vocab)
    model = TrainedModel.of(entries, checkpoint)  # a wrong one is refused here
    if images is not None:
        scaling = measured(model.scaling, *images, images[0])
        entries["options"].setdefault("dataset", {})["pixel_range"] = scaling.pixel_range
    with atomic_path(path) as temporary:
        torch.save({name: entries[name] for name in ("model", "options", "vocabulary")}, temporary)
