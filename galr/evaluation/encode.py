"""Every image and every distinct caption of a part through the model, once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from galr.common import distributed
from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.data.batches import Batch, ImageBatch
from galr.data.captions import caption_loader
from galr.data.loaders import image_loader
from galr.data.part import Part
from galr.data.transforms import normalise
from galr.data.vocabulary import Tokenizer
from galr.model.comparison import Comparison
from galr.model.gcn import NoLocalBranch
from galr.model.retrieval_model import RetrievalModel
from galr.options import DatasetOptions


def image_embeddings(model: RetrievalModel, batch: Batch | ImageBatch) -> Tensor:
    """Embeddings (B, D) of the images of a batch on the model's device, in its precision."""
    kind = next(model.parameters()).dtype
    local = (
        None if part is None else part.to(kind) for part in (batch.representation, batch.adjacency)
    )
    if batch.images.dim() < 4:  # cached features in place of pixels
        return model.encode_features(batch.images, *local)
    return model.encode_image(normalise(batch.images).to(kind), *local)


@torch.inference_mode()
def encode_images(model: RetrievalModel, part: Part, options: DatasetOptions) -> Tensor:
    """Embeddings (I, D) of the images of ``part``, on the model's device.

    Each rank encodes its share, and all receive the whole. Raises UserError where a model with a
    local branch is given no local features.
    """
    if part.local is None and not isinstance(model.local_encoder, NoLocalBranch):
        raise UserError(
            "dataset.local_path",
            "is null, and the model has a local branch",
            "name the store of local features as in training, or zeros for images without objects",
        )
    device = _device(model)
    total = len(part.images)
    loader = image_loader(
        part.images,
        part.local,
        options,
        indices=_own_share(total),
        pin_memory=device.type == "cuda",
    )

    def encoded() -> Iterable[tuple[Tensor, Tensor]]:
        for loaded in loader:
            batch = loaded.to(device)
            yield batch.image_index, image_embeddings(model, batch)

    return _in_order(model, encoded(), total, "images")


@torch.inference_mode()
def encode_captions(
    model: RetrievalModel, part: Part, tokenizer: Tokenizer, options: DatasetOptions
) -> Tensor:
    """Embeddings (C, D) of the captions of ``part``; identical ones are encoded once.

    Each rank encodes its share, and all receive the whole.
    """
    device = _device(model)
    total = len(part.annotations.captions)

    def encoded() -> Iterable[tuple[Tensor, Tensor]]:
        for loaded in caption_loader(
            part.annotations, tokenizer, options, indices=_own_share(total)
        ):
            batch = loaded.to(device)
            distinct = model.encode_text(batch.tokens, batch.lengths)
            yield batch.caption_index, distinct[batch.rows]

    return _in_order(model, encoded(), total, "captions")


class Embeddings(NamedTuple):
    """The images (I, D) and captions (C, D) of a part, and the model's comparison of the two.

    ``seconds`` it took to encode the images, and the captions.
    """

    images: Tensor
    captions: Tensor
    comparison: Comparison
    seconds: tuple[float, float]

    @torch.inference_mode()
    def similarity(self) -> Tensor:
        """Similarities (I, C), on the CPU."""
        similarity: Tensor = self.comparison(self.images, self.captions)
        return similarity.cpu()


def encode_part(
    model: RetrievalModel, part: Part, tokenizer: Tokenizer, options: DatasetOptions
) -> Embeddings:
    """The embeddings of ``part``. The model is left in evaluation mode."""
    model.eval()
    started = time.perf_counter()
    images = encode_images(model, part, options)
    seconds = [time.perf_counter() - started]
    captions = encode_captions(model, part, tokenizer, options)
    seconds.append(time.perf_counter() - started - seconds[0])
    return Embeddings(images, captions, model.comparison, (seconds[0], seconds[1]))


def encode_similarity(
    model: RetrievalModel, part: Part, tokenizer: Tokenizer, options: DatasetOptions
) -> Tensor:
    """Similarities (I, C) of all images and captions of ``part``, on the CPU.

    Memory grows with images times captions, not with pixels. The model is left in evaluation mode.
    """
    return encode_part(model, part, tokenizer, options).similarity()


def _in_order(
    model: RetrievalModel, batches: Iterable[tuple[Tensor, Tensor]], total: int, unit: str
) -> Tensor:
    """Rows (total, D) in the order of their indices, of which each rank has batches."""
    own = _own_share(total)
    rows = next(model.parameters()).new_empty(len(own), model.embed_dim)  # may have no rows
    with Progress(f"encoding {unit}", len(own), unit) as progress:
        for index, embeddings in batches:
            rows[index // own.step] = embeddings
            progress.advance(len(index))
    return distributed.gather_rows(rows, total)


def _own_share(total: int) -> range:
    return range(distributed.rank(), total, distributed.world_size())


def _device(model: RetrievalModel) -> torch.device:
    return next(model.parameters()).device
