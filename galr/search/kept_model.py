"""The model that an archive keeps: what a checkpoint holds, without the state of its training."""

from __future__ import annotations

from pathlib import Path

import torch

from galr.common.atomic import atomic_path
from galr.evaluation.trained_model import TrainedModel, read_complete


def keep_model(
    checkpoint: str | Path,
    path: Path,
    vocab: str | Path | None = None,
    path_opt: str | Path | None = None,
) -> None:
    """Copies weights, options and vocabulary of ``checkpoint`` to ``path``.

    ``vocab`` and ``path_opt`` are taken where it holds none. Raises UserError for a checkpoint
    that is damaged, or that captions cannot be encoded with.
    """
    entries = read_complete(checkpoint, path_opt, vocab)
    TrainedModel.of(entries, checkpoint)  # a wrong one is refused here
    with atomic_path(path) as temporary:
        torch.save({name: entries[name] for name in ("model", "options", "vocabulary")}, temporary)
