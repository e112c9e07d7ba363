"""What turns images and sentences into vectors: a model of this project, or anything like it.

An archive keeps a model: what a checkpoint holds, without the state of its training.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.images.decoding import AS_IT_IS, measured
from galr.metrics.similarities import Compare
from galr.model.build import read_checkpoint
from galr.model.comparison import Cosine
from galr.options import RerankOptions
from galr.search.store import Store
from galr.trained_model import TrainedModel, read_complete

TABLE = "encoder"


class Encoder(Protocol):
    """All that an archive asks of an encoder; vectors of images and texts are compared by cosine.

    ``identity`` names weights and options: an archive is extended and searched by the encoder of
    the identity that it was built with. ``side``: S, of the square images in pixels.
    """

    identity: str
    side: int

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> ArrayLike:
        """pixels (B, S, S, 3), 8-bit RGB -> vectors (B, D)."""

    def encode_texts(self, texts: Sequence[str]) -> ArrayLike:
        """Sentences -> vectors (C, D)."""


class Own:
    """An ``Encoder`` with what archives ask of models of this project."""

    scaling = AS_IT_IS
    has_local_branch = False

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.side = encoder, int(encoder.side)

    def encode_pixels(self, pixels: NDArray[np.uint8], local: object = None) -> Tensor:
        """As in ``Encoder``, of length 1."""
        return _unit(self.encoder.encode_pixels(pixels), len(pixels))

    def encode_texts(self, texts: str | Sequence[str]) -> Tensor:
        """As in ``Encoder``, of length 1; a single sentence is a list of one."""
        sentences = [texts] if isinstance(texts, str) else list(texts)
        return _unit(self.encoder.encode_texts(sentences), len(sentences))

    def unknown_words(self, text: str) -> list[str]:
        """None: what an encoder knows is its own."""
        return []

    def knows_a_word(self, text: str) -> bool:
        """Whether ``text`` has letters."""
        return any(letter.isalnum() for letter in text)


Model = TrainedModel | Own


def comparison_of(model: Model) -> Compare | None:
    """Similarities of images with captions, for a model where they are no cosine."""
    comparison = None if isinstance(model, Own) else model.model.comparison
    return None if isinstance(comparison, Cosine) else comparison


def rerank_options(model: Model) -> RerankOptions:
    """The weights of the rerank score: the model's own, or the defaults."""
    return RerankOptions() if isinstance(model, Own) else model.options.rerank


def import_encoder(name: str) -> Encoder:
    """What ``module:function`` returns; UserError where that is no encoder."""
    module, _, function = name.partition(":")
    try:
        made: Encoder = getattr(importlib.import_module(module), function or "encoder")()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        remedy = "name a module and its function without arguments: --encoder module:function"
        raise UserError(f"--encoder {name}", f"cannot be called ({error})", remedy) from None
    for part in ("identity", "side", "encode_pixels", "encode_texts"):
        if not hasattr(made, part):
            what = f"returns an object without {part}"
            raise UserError(f"--encoder {name}", what, "see galr.search.encoder.Encoder")
    return made


def _unit(vectors: ArrayLike, rows: int) -> Tensor:
    found = torch.as_tensor(vectors if isinstance(vectors, Tensor) else np.asarray(vectors))
    found = found.detach().float().cpu()
    if found.dim() != 2 or len(found) != rows:
        what = f"returns vectors of shape {tuple(found.shape)} for {rows} inputs"
        raise UserError("the encoder", what, "return one row (D) for each")
    return torch.nn.functional.normalize(found, dim=1)


def keep_model(
    checkpoint: str | Path, store: Store, vocab: str | Path | None, path_opt: str | Path | None,
    folder: Path, names: Sequence[str],
) -> None:  # fmt: skip
    """Copies weights, options and vocabulary of ``checkpoint`` into ``store``.

    ``vocab`` and ``path_opt`` are taken where it holds none. The range of images of more than 8
    bits, ``names`` in ``folder``, is measured and added, where the options have none. Raises
    UserError for a checkpoint that is damaged, or that captions cannot be encoded with.
    """
    entries = read_complete(checkpoint, path_opt, vocab)
    model = TrainedModel.of(entries, checkpoint)  # a wrong one is refused here
    if names:
        scaling = measured(model.scaling, folder, names, folder)
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
    with store.told():
        content = store.rows(TABLE)["content"][0].as_buffer().to_pybytes()
    return TrainedModel.of(read_checkpoint(place, content), place, choose_device(str(device)))
