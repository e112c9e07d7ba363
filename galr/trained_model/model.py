"""A trained model with its vocabulary and options: images and sentences -> embeddings."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.common.processes import cores
from galr.data.annotations import Annotations
from galr.data.captions import caption_loader
from galr.data.transforms import normalise
from galr.data.vocabulary import UNKNOWN, RawText, Tokenizer
from galr.evaluation.trained_fold import stored_tokenizer
from galr.image_input import ImageInput, list_of_images, square_pixels
from galr.images.content import image_contents
from galr.images.scaling import Scaling
from galr.language.words import STOP_WORDS
from galr.local_features.store import LocalFeatures, read_local_features
from galr.model.build import model_of
from galr.model.gcn import NoLocalBranch
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, stored_options

logger = logging.getLogger(__name__)


class TrainedModel:
    """A model with its vocabulary and options; ``side`` is S, that of its images in pixels."""

    def __init__(self, model: RetrievalModel, vocabulary: Tokenizer, options: Options) -> None:
        self.model, self.vocabulary, self.options = model, vocabulary, options
        self.side = options.dataset.image_size
        self.scaling = Scaling.of(options.dataset)  # of images with more than 8 bits
        self.has_local_branch = not isinstance(model.local_encoder, NoLocalBranch)
        self._parameter = next(model.parameters())

    @classmethod
    def of(
        cls, entries: dict[str, Any], path: str | Path, device: str | torch.device = "cpu"
    ) -> TrainedModel:
        """The model in the entries that ``read_complete`` found in ``path``."""
        options = stored_options(entries["options"], path)
        vocabulary = stored_tokenizer(entries["vocabulary"], options, path)
        return cls(model_of(entries, path, options, device, vocabulary.words), vocabulary, options)

    def similarity(
        self, images: ImageInput | Sequence[ImageInput], texts: str | Sequence[str] | Tensor
    ) -> Tensor:
        """Similarity of each image with each text, by the model: (I, C) float32 on the CPU.

        Either may be given by its embeddings, (I, D) of ``encode_images``, (C, D) of
        ``encode_texts``. Raises UserError as these do.
        """
        if not (isinstance(images, Tensor) and images.dim() == 2):
            images = self.encode_images(images)
        captions = texts if isinstance(texts, Tensor) else self.encode_texts(texts)
        device, kind = self._parameter.device, self._parameter.dtype
        with torch.inference_mode():
            similarity: Tensor = self.model.comparison(
                images.to(device, kind), captions.to(device, kind)
            )
        return similarity.float().cpu()

    def encode_images(
        self,
        images: ImageInput | Sequence[ImageInput],
        local: LocalFeatures | str | Path | None = None,
        *,
        batch_size: int = 64,
    ) -> Tensor:
        """Embeddings of images, in their order: (I, D) float32 on the CPU.

        images: files, PIL images, arrays (H, W, 3) or tensors (3, H, W) of any size, uint8 or real
        numbers from 0 to 1; a single one is a list of one. ``local``: their local features, or a
        store that holds an entry of each file's name; without, a model with a local branch sees
        images without objects. Raises UserError for an image that is missing,
        damaged or of another shape, and for local features that do not belong to the images.
        """
        given = list_of_images(images)
        matrices = self._local_features(local, given)
        blocks = [torch.empty(0, self.model.embed_dim)]
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(given), batch_size):
                rows = range(start, min(start + batch_size, len(given)))
                decoded = pool.map(
                    lambda i: square_pixels(given[i], self.side, f"images[{i}]", self.scaling),
                    rows,
                )
                pixels = np.stack(list(decoded))
                own = None if matrices is None else matrices.select(rows)
                blocks.append(self.encode_pixels(pixels, own))
        return torch.cat(blocks)

    @torch.inference_mode()
    def encode_pixels(
        self, pixels: NDArray[np.uint8], local: LocalFeatures | None = None
    ) -> Tensor:
        """pixels (B, S, S, 3), local features of the same images -> (B, D) float32 on the CPU.

        Without ``local``, a model with a local branch sees images without objects.
        """
        device, kind = self._parameter.device, self._parameter.dtype
        images = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)).to(kind)
        matrices: tuple[Tensor, ...] = ()
        if self.has_local_branch:
            local = local or LocalFeatures.zeros(len(pixels), self.options.dataset.drea)
            matrices = tuple(
                torch.from_numpy(part).to(device, kind)
                for part in (local.representation, local.adjacency)
            )
        return self.model.encode_image(images, *matrices).float().cpu()

    @torch.inference_mode()
    def encode_texts(self, texts: str | Sequence[str]) -> Tensor:
        """Embeddings of sentences, in their order: (C, D) float32 on the CPU.

        A single sentence is a list of one. Words that the model has not learned are read as
        unknown; a sentence without any other is warned of. Raises UserError for an empty sentence.
        """
        sentences = [texts] if isinstance(texts, str) else list(texts)
        for number, text in enumerate(sentences):
            if not isinstance(text, str) or not text.strip():
                what = "is empty" if isinstance(text, str) else f"is {type(text).__name__}, no text"
                raise UserError(f"texts[{number}]", what, "write what the images should show")
        strange = [text for text in sentences if not self.knows_a_word(text)]
        if strange:
            logger.warning(
                "the model knows no word of %d of %d texts, such as %r: what they find is chance",
                len(strange), len(sentences), strange[0],
            )  # fmt: skip
        rows = torch.empty(len(sentences), self.model.embed_dim)
        nowhere = np.zeros(len(sentences), dtype=np.int64)
        annotations = Annotations("query", ("",), tuple(sentences), nowhere)
        for loaded in caption_loader(annotations, self.vocabulary, self.options.dataset):
            batch = loaded.to(self._parameter.device)
            distinct = self.model.encode_text(batch.tokens, batch.lengths)
            rows[batch.caption_index.cpu()] = distinct[batch.rows].float().cpu()
        return rows

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The earlier name of ``encode_texts``, as an array."""
        warnings.warn("texts is now encode_texts", FutureWarning, stacklevel=2)
        return self.encode_texts(texts).numpy()

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the model has not learned, but for articles and the like."""
        if isinstance(self.vocabulary, RawText):  # its word pieces make up any word
            return []
        words = dict.fromkeys(self.vocabulary.tokenize(text))
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
        return self.vocabulary.knows_a_word(text)

    def _local_features(
        self, local: LocalFeatures | str | Path | None, given: Sequence[ImageInput]
    ) -> LocalFeatures | None:
        """The local features of ``given`` images, checked; None for images without objects."""
        if local is None:
            if self.has_local_branch:
                logger.warning(
                    "the model has a local branch and no local features are given: all images are "
                    "taken to be without objects"
                )
            return None
        place = "local" if isinstance(local, LocalFeatures) else local
        if not self.has_local_branch:
            raise UserError(place, "the model has no local branch to use it", "leave it out")
        drea = self.options.dataset.drea
        if not isinstance(local, LocalFeatures):
            files = [str(each) for each in given if isinstance(each, str | Path)]
            if len(files) < len(given):
                what = "finds images by the names of their files, and some are no files"
                raise UserError(place, what, "give files, or a galr.LocalFeatures of the images")
            return read_local_features(
                local, [Path(file).name for file in files], drea,
                digests=lambda: image_contents("", files).digests,
            )  # fmt: skip
        shapes = local.representation.shape, local.adjacency.shape
        wanted = (len(given), drea.objects, drea.features)
        if shapes != (wanted, (*wanted[:2], drea.objects)):
            what = f"has matrices of shape {shapes[0]} and {shapes[1]}"
            remedy = f"give {wanted} and {(*wanted[:2], drea.objects)} for these images and options"
            raise UserError(place, what, remedy)
        return local
