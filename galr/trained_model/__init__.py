"""Trained models with their vocabulary: files, images and sentences -> embeddings."""

from __future__ import annotations

from pathlib import Path

import torch

from galr.common.device import choose_device
from galr.data.vocabulary import Vocabulary
from galr.options import Options
from galr.trained_model.checkpoint import checkpoint_file, read_complete
from galr.trained_model.model import TrainedModel

__all__ = ["TrainedModel", "checkpoint_file", "load", "read_complete"]


def load(
    path: str | Path,
    device: str | torch.device = "auto",
    *,
    options: Options | str | Path | None = None,
    vocabulary: Vocabulary | str | Path | None = None,
) -> TrainedModel:
    """The trained model at ``path``, in evaluation mode, with its vocabulary and options.

        model = galr.load("checkpoint/demo_GaLR/0")
        model.similarity(["scene.tif"], ["many planes beside a terminal"])

    path: a checkpoint, a folder that holds a ``best.pth``, or a folder of ``galr.export``.
    device: ``auto`` (CUDA where there is a GPU), ``cpu``, ``cuda`` or ``cuda:N``. ``options`` and
    ``vocabulary``, or their files, complete a checkpoint that holds none, such as a released one.
    Raises UserError for a file that is missing, damaged or unsafe, and for options or a vocabulary
    that are missing or belong to another model.
    """
    path = checkpoint_file(Path(path))
    chosen = choose_device(str(device))
    return TrainedModel.of(read_complete(path, options, vocabulary), path, chosen)
