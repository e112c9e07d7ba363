"""The model that an archive keeps: what a checkpoint holds, without the state of its training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import torch

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.images.decoding import measured
from galr.model.build import read_checkpoint
from galr.search.store import DAMAGED, Store
from galr.trained_model import TrainedModel, read_complete

TABLE = "encoder"


def keep_model(
    checkpoint: str | Path,
    store: Store,
    vocab: str | Path | None = None,
    path_opt: str | Path | None = None,
    *,
    images: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Copies weights, options and vocabulary of ``checkpoint`` into ``store``.

    ``vocab`` and ``path_opt`` are taken where it holds none. Where ``images``, a folder and names,
    have more than 8 bits and the options no range of their numbers, it is measured and added.
    Raises UserError for a checkpoint that is damaged, or that captions cannot be encoded with.
    """
    entries = read_complete(checkpoint, path_opt, vocab)
    model = TrainedModel.of(entries, checkpoint)  # a wrong one is refused here
    if images is not None:
        scaling = measured(model.scaling, *images, images[0])
        entries["options"].setdefault("dataset", {})["pixel_range"] = scaling.pixel_range
    content = io.BytesIO()
    torch.save({name: entries[name] for name in ("model", "options", "vocabulary")}, content)
    write_content(store, content.getvalue())


def write_content(store: Store, content: bytes) -> None:
    """Keeps the content of a checkpoint."""
    blob = pa.array([content], pa.large_binary())
    store.put(TABLE, pa.table({"key": ["model"], "content": blob}), on="key")


def read_model(store: Store, device: str | torch.device) -> TrainedModel:
    """The model of an archive; UserError where it is missing or damaged."""
    place = f"{store.address} ({TABLE})"
    if not store.has(TABLE):
        raise UserError(place, "is missing", DAMAGED)
    content = store.rows(TABLE)["content"][0].as_buffer().to_pybytes()
    return TrainedModel.of(read_checkpoint(place, content), place, choose_device(str(device)))
