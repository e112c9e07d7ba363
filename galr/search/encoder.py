"""Sentences and images -> embeddings, by the model that an archive keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.captions import caption_loader
from galr.data.transforms import normalise
from galr.data.vocabulary import OWN_TOKENIZER, UNKNOWN, RawText, Tokenizer, Vocabulary
from galr.data.words import STOP_WORDS, tokenize
from galr.local_features.store import LocalFeatures
from galr.model.build import load_model, read_checkpoint
from galr.model.gcn import NoLocalBranch
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, options_from_dict
from galr.search.storage import Floats


class Encoder:
    """A model with its vocabulary and options; ``side`` is S, that of its images in pixels."""

    def __init__(self, model: RetrievalModel, vocabulary: Tokenizer, options: Options) -> None:
        self.model, self.vocabulary, self.options = model, vocabulary, options
        self.side = options.dataset.image_size
        self.has_local_branch = not isinstance(model.local_encoder, NoLocalBranch)
        self._parameter = next(model.parameters())

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> Encoder:
        """The model of a checkpoint that holds its options and vocabulary.

        Raises UserError for a file that is missing or damaged, or without one of these.
        """
        checkpoint = read_checkpoint(path)
        words, stored = checkpoint.get("vocabulary"), checkpoint.get("options")
        for name, entry, kind in (("vocabulary", words, list), ("options", stored, dict)):
            if not isinstance(entry, kind):
                raise UserError(
                    path,
                    f"does not hold the {name} that it was trained with",
                    "name a best.pth of train.py, or --vocab and --path_opt for a released file",
                )
        options = options_from_dict(stored or {}, f"{path} (its options)")
        vocabulary: Tokenizer = RawText()
        try:
            if options.model.seq2vec.type not in OWN_TOKENIZER:
                vocabulary = Vocabulary([str(word) for word in words or ()])
        except ValueError as error:
            raise UserError(
                path, f"holds no vocabulary: {error}", "name a best.pth of train.py"
            ) from None
        model = load_model(path, options, device, vocabulary.words)
        return cls(model, vocabulary, options)

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the model has not learned, but for articles and the like."""
        if isinstance(self.vocabulary, RawText):  # its word pieces make up any word
            return []
        words = dict.fromkeys(tokenize(text))
        return [
            word
            for word in words
            if word not in self.vocabulary
            and word not in STOP_WORDS
            and word != UNKNOWN
            and any(letter.isalnum() for letter in word)
        ]

    def knows_a_word(self, text: str) -> bool:
        """Whether the model has learned any word of ``text``."""
        if isinstance(self.vocabulary, RawText):
            return any(letter.isalnum() for letter in text)
        return any(word in self.vocabulary and word != UNKNOWN for word in tokenize(text))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Floats:
        """Embeddings (C, D), of length 1."""
        nowhere = np.zeros(len(texts), dtype=np.int64)
        annotations = Annotations("query", ("",), tuple(texts), nowhere)
        found: Floats | None = None
        for loaded in caption_loader(annotations, self.vocabulary, self.options.dataset):
            batch = loaded.to(self._parameter.device)
            rows = self.model.encode_text(batch.tokens, batch.lengths)[batch.rows]
            if found is None:
                found = np.empty((len(texts), rows.shape[1]), dtype=np.float32)
            found[batch.caption_index.cpu().numpy()] = rows.float().cpu().numpy()
        if found is None:
            raise ValueError("texts must not be empty")
        return found

    @torch.inference_mode()
    def images(self, pixels: NDArray[np.uint8], local: LocalFeatures | None = None) -> Floats:
        """pixels (B, S, S, 3), local features of the same images -> embeddings (B, D).

        Without ``local``, a model with a local branch sees images without objects.
        """
        device, kind = self._parameter.device, self._parameter.dtype
        images = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)).to(kind)
        matrices: tuple[Tensor, ...] = ()
        if self.has_local_branch:
            local = local or self.no_objects(len(pixels))
            matrices = tuple(
                torch.from_numpy(part).to(device, kind)
                for part in (local.representation, local.adjacency)
            )
        embeddings = self.model.encode_image(images, *matrices)
        return embeddings.float().cpu().numpy()

    def no_objects(self, images: int) -> LocalFeatures:
        """The local features of ``images`` images without objects."""
        drea = self.options.dataset.drea
        return LocalFeatures(
            np.zeros((images, drea.objects, drea.features), dtype=np.float32),
            np.zeros((images, drea.objects, drea.objects), dtype=np.float32),
        )
