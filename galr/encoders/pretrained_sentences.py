"""Sentence encoders of transformers and sentence-transformers: frozen, fine-tuned or with LoRA.

A model of sentence-transformers does what its ``modules.json`` says; of a plain model of
transformers the sentence is the mean over word pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from galr.common.errors import UserError
from galr.common.packages import is_packaged, packaged, require
from galr.data.vocabulary import RawText
from galr.encoders.kept_sentences import KeptSentences
from galr.encoders.token_checks import checked_lengths
from galr.weights.files import weights_digest

logger = logging.getLogger(__name__)

KIND = "sentence-transformers"
OPTION = "model.text.type"

_REMEDY = (
    "name a folder that SentenceTransformer.save wrote by model.seq2vec.dir_st "
    "(docs/text_encoders.md); nothing is downloaded"
)


class PretrainedSentences(nn.Module):
    """A sentence encoder over raw captions, which its own tokeniser reads, to be fine-tuned."""

    def __init__(self, model: Any, lora_rank: int | None = None) -> None:  # noqa: ANN401
        """``model`` is of ``read_sentences``. ``lora_rank``: its weights stay, LoRA's are trained.

        Raises UserError without the package peft, which has LoRA.
        """
        super().__init__()
        self.model = model
        self.sentence_dim = _width(model)
        if lora_rank is not None:
            _add_lora(model, lora_rank)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Ids of ``RawText`` (B, T) padded with 0, lengths (B,) -> (B, sentence_dim).

        Raises ValueError as ``checked_lengths`` does.
        """
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        if not len(tokens):
            return next(self.parameters()).new_zeros(0, self.sentence_dim)
        captions = [text.decode() for text in RawText.bytes_of(tokens, lengths)]
        return _vectors(self.model, captions, tokens.device)


class FrozenSentences(nn.Module):
    """A sentence encoder that is not trained: what ``prepare`` was given is encoded once.

    A checkpoint holds a fingerprint of its weights in their place.
    """

    fingerprint: Tensor

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - of a package without types
        """``model`` is of ``read_sentences``."""
        super().__init__()
        self.sentence_dim = _width(model)
        self._shared = _Shared(model.eval().requires_grad_(False))
        self._kept = KeptSentences(self._shared.encode)
        digest = bytes.fromhex(weights_digest(model))
        self.register_buffer("fingerprint", torch.tensor(list(digest), dtype=torch.uint8))

    @property
    def model(self) -> Any:  # noqa: ANN401 - of a package without types
        """The model, whose weights are none of this module's."""
        return self._shared.model

    def prepare(self, captions: Iterable[str]) -> None:
        """Encodes the ``captions`` that are not yet, each distinct one once, and keeps them."""
        self._kept.add({text.encode() for text in captions}, self.fingerprint.device)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Arguments and result as of ``PretrainedSentences``."""
        lengths = checked_lengths(tokens, lengths, RawText.ids)
        texts = RawText.bytes_of(tokens, lengths)
        return self._kept.vectors(texts, self.sentence_dim, tokens.device)


class _Shared:
    """A frozen model, which is no module of the network: copies share it."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - of a package without types
        self.model = model

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self

    def encode(self, captions: list[str], device: torch.device) -> Tensor:
        return _vectors(self.model.to(device), captions, device)


def read_sentences(place: str) -> Any:  # noqa: ANN401 - of a package without types
    """The model that ``transformers:PLACE`` or ``sentence-transformers:PLACE`` names, in float32.

    PLACE is a folder, ``package:NAME`` for the one that an installed package carries, or a name on
    the hub, downloaded once. Raises UserError without the package sentence-transformers, and where
    the model cannot be had.
    """
    kind, _, where = place.partition(":")
    _check_package(f"{OPTION}: {kind}")
    folder = Path(where)
    if is_packaged(where):
        folder = packaged(where, OPTION, ["tokenizer_config.json"]).parent
    if folder.is_dir():
        marker = "modules.json" if kind == KIND else "config.json"
        remedy = f"name by {OPTION} a folder that save_pretrained wrote (docs/encoders.md)"
        return _read(str(folder), marker, remedy)
    if where.count("/") > 1 or where.startswith((".", "/", "~")):
        raise UserError(f"{OPTION}: {place}", "there is no such folder", "correct it")
    try:
        return _loaded(where, local=False)
    except Exception as error:  # noqa: BLE001 - no network, no such model, a damaged file
        raise UserError(
            f"{OPTION}: {place}",
            f"is no folder, and could not be downloaded from the hub ({_line(error)})",
            "connect once to let it be downloaded, or name a folder or package:NAME",
        ) from None


def read_sentence_folder(directory: str | Path) -> Any:  # noqa: ANN401 - of a package without types
    """The sentence-transformers model in ``directory``, in float32; nothing is downloaded.

    Raises UserError without the package, and for a folder that holds no such model.
    """
    _check_package(f"model.seq2vec.type: {KIND}")
    return _read(str(directory), "modules.json", _REMEDY)


def _check_package(place: str) -> None:
    require(KIND, place, f"pip install {KIND}, or choose another type")


def _read(directory: str, marker: str, remedy: str) -> Any:  # noqa: ANN401
    if not Path(directory, marker).is_file():
        what = f"holds no {'sentence-transformers ' if marker == 'modules.json' else ''}model"
        raise UserError(directory, f"{what} ({marker})", remedy)
    try:
        return _loaded(directory, local=True)
    except Exception as error:  # noqa: BLE001 - the package raises whatever its parts do
        what = f"cannot be read by sentence-transformers ({_line(error)})"
        raise UserError(directory, what, remedy) from None


def _loaded(name: str, *, local: bool) -> Any:  # noqa: ANN401 - of a package without types
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as of_transformers

    of_transformers.disable_progress_bar()  # type: ignore[no-untyped-call]  # has no types
    model = SentenceTransformer(name, device="cpu", local_files_only=local, trust_remote_code=False)
    logger.info("%s: sentences of %d numbers", name, _width(model))
    return model.to(torch.float32)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _width(model: Any) -> int:  # noqa: ANN401 - of a package without types
    # renamed in version 5
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    return int(ask() or 0)


def _vectors(model: Any, captions: list[str], device: torch.device) -> Tensor:  # noqa: ANN401
    pieces = getattr(model, "preprocess", None) or model.tokenize  # renamed in version 6
    on_device = {
        name: value.to(device) if isinstance(value, Tensor) else value
        for name, value in pieces(captions).items()
    }
    vectors: Tensor = model(on_device)["sentence_embedding"]
    return vectors


def _add_lora(model: Any, rank: int) -> None:  # noqa: ANN401 - of a package without types
    """Freezes all weights but those of LoRA in every linear layer (Hu et al. 2022)."""
    require("peft", "model.text.train: lora", "pip install peft, or set it to none or all")
    from peft import LoraConfig, inject_adapter_in_model

    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    inject_adapter_in_model(config, model[0].auto_model)
