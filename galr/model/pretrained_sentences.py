"""Sentence encoders of the optional package sentence-transformers, from a local folder."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galr.common.errors import UserError
from galr.data.vocabulary import RawText
from galr.model.token_checks import checked_lengths

logger = logging.getLogger(__name__)

KIND = "sentence-transformers"

_REMEDY = (
    "name a folder that SentenceTransformer.save wrote by model.seq2vec.dir_st "
    "(docs/text_encoders.md); nothing is downloaded"
)


class PretrainedSentences(nn.Module):
    """A sentence-transformers model over raw captions, which its own tokeniser reads."""

    def __init__(self, directory: str | Path, fixed: bool = False) -> None:
        """``fixed`` keeps the whole model from training.

        Raises UserError without the package, and for a folder that holds no such model.
        """
        super().__init__()
        self.model = _load(Path(directory))
        self.sentence_dim = int(self.model.get_sentence_embedding_dimension() or 0)
        self.fixed = fixed
        self.model.requires_grad_(not fixed)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids of ``RawText`` (B, T) padded with 0, lengths (B,) -> (B, sentence_dim).

        Raises ValueError as ``checked_lengths`` does.
        """
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        if not len(tokens):
            return next(self.parameters()).new_zeros(0, self.sentence_dim)
        captions = [
            RawText.decode(row[:length])
            for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)
        ]
        pieces = {
            name: value.to(tokens.device) if isinstance(value, Tensor) else value
            for name, value in self.model.tokenize(captions).items()
        }
        vectors: Tensor = self.model(pieces)["sentence_embedding"]
        return vectors

    def train(self, mode: bool = True) -> PretrainedSentences:
        """A ``fixed`` model stays in evaluation mode: it has nothing to learn by dropout."""
        super().train(mode and not self.fixed)
        return self


def _load(directory: Path) -> Any:  # noqa: ANN401 - of a package without types
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UserError(
            f"model.seq2vec.type: {KIND}",
            "the optional package sentence-transformers is not installed",
            "pip install sentence-transformers, or choose another type",
        )
    if not (directory / "modules.json").is_file():
        raise UserError(directory, "holds no sentence-transformers model (modules.json)", _REMEDY)
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(
            str(directory), device="cpu", local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # noqa: BLE001 - the package raises whatever its parts do
        what = f"cannot be read by sentence-transformers ({error})"
        raise UserError(directory, what, _REMEDY) from None
    logger.info("%s: sentences of %d numbers", directory, model.get_sentence_embedding_dimension())
    return model.to(torch.float32)
