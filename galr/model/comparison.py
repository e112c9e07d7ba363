"""Comparisons: similarities from the features of images and captions.

``Cosine`` is the comparison of GaLR and of any two-tower model: features become embeddings of
length 1, and their product is the similarity. In AMFMN (Yuan et al., "Exploring a Fine-Grained
Multiscale Method for Cross-Modal Remote Sensing Image Retrieval", IEEE TGRS 2021) the image v gates
the caption t first, so every pair has its own text feature u:

  soft_att        u = sigmoid(W v + b) * t
  fusion_att      u = sigmoid(W1 [v, t] + b1) * (W2 [v, t] + b2)
  similarity_att  u = sigmoid((W1 v + b1) * t') * t', t' = W2 t + b2

and the similarity is the cosine of v and u. For ``soft_att`` it takes two matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from galr.metrics.similarities import even_blocks
from galr.model.normalise import l2_normalise

SMALLEST_NORM = 1e-8  # of v times u, as in torch.nn.functional.cosine_similarity
PAIR_NUMBERS = 1 << 24  # text features of pairs held at a time in evaluation


class Comparison(nn.Module):
    """Similarities of image embeddings (I, D) and caption embeddings (C, D): (I, C)."""

    def embed_image(self, feature: Tensor) -> Tensor:
        """Image embeddings, as stored: visual features (B, D) -> (B, D)."""
        return feature

    def embed_text(self, feature: Tensor) -> Tensor:
        """Caption embeddings, as stored: text features (B, D) -> (B, D)."""
        return feature


def alike(left: Tensor, right: Tensor) -> Tensor:
    """Cosines between embeddings (A, D) and (B, D) of the same modality: (A, B)."""
    return l2_normalise(left) @ l2_normalise(right).T


class Cosine(Comparison):
    """Cosine similarity (paper, section on the objective)."""

    def embed_image(self, feature: Tensor) -> Tensor:
        """(B, D) -> (B, D) of length 1."""
        return l2_normalise(feature)

    def embed_text(self, feature: Tensor) -> Tensor:
        """(B, D) -> (B, D) of length 1."""
        return l2_normalise(feature)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """(I, D), (C, D) -> (I, C)."""
        return images @ captions.T


class SoftAttention(Comparison):
    """``soft_att``: the gate depends only on the image, so the similarity is two products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """(I, D), (C, D) -> (I, C)."""
        gate = torch.sigmoid(self.gate(images))
        product = (images * gate) @ captions.T
        squared = images.square().sum(dim=1, keepdim=True) * (gate.square() @ captions.square().T)
        # sqrt has no gradient at 0
        return product / squared.clamp(min=SMALLEST_NORM**2).sqrt()


class GatedPairs(Comparison):
    """A gated text feature per pair: in blocks in evaluation, all at once in training."""

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """(I, D), (C, D) -> (I, C)."""
        own_images, own_captions = self.of_images(images), self.of_captions(captions)
        if torch.is_grad_enabled():
            return self._block(images, own_images, own_captions)
        found = images.new_empty(len(images), len(captions))
        columns = even_blocks(len(captions), PAIR_NUMBERS // images.shape[1])
        for column in columns:
            width = max(1, column.stop - column.start)
            for row in even_blocks(len(images), PAIR_NUMBERS // (width * images.shape[1])):
                own = tuple(part[row] for part in own_images)
                found[row, column] = self._block(
                    images[row], own, tuple(part[column] for part in own_captions)
                )
        return found

    def _block(
        self, images: Tensor, own_images: tuple[Tensor, ...], own_captions: tuple[Tensor, ...]
    ) -> Tensor:
        text = self.gated(
            tuple(part[:, None] for part in own_images), tuple(part[None] for part in own_captions)
        )  # (I, C, D)
        product = torch.einsum("id,icd->ic", images, text)
        squared = images.square().sum(dim=1, keepdim=True) * text.square().sum(dim=2)
        return product / squared.clamp(min=SMALLEST_NORM**2).sqrt()

    def of_images(self, images: Tensor) -> tuple[Tensor, ...]:
        """Image parts of the gated features, each (I, D)."""
        raise NotImplementedError

    def of_captions(self, captions: Tensor) -> tuple[Tensor, ...]:
        """Caption parts of the gated features, each (C, D)."""
        raise NotImplementedError

    def gated(self, images: tuple[Tensor, ...], captions: tuple[Tensor, ...]) -> Tensor:
        """u of every pair from parts that broadcast to (I, C, D)."""
        raise NotImplementedError


class FusionAttention(GatedPairs):
    """``fusion_att``; each layer over [v, t] is the sum of a layer over v and one over t."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.value = nn.Linear(2 * width, width), nn.Linear(2 * width, width)

    def of_images(self, images: Tensor) -> tuple[Tensor, ...]:
        """W v + b of both layers."""
        width = images.shape[1]
        return tuple(
            nn.functional.linear(images, layer.weight[:, :width], layer.bias)
            for layer in (self.gate, self.value)
        )

    def of_captions(self, captions: Tensor) -> tuple[Tensor, ...]:
        """W t of both layers."""
        width = captions.shape[1]
        return tuple(captions @ layer.weight[:, width:].T for layer in (self.gate, self.value))

    def gated(self, images: tuple[Tensor, ...], captions: tuple[Tensor, ...]) -> Tensor:
        """sigmoid(W1 [v, t] + b1) * (W2 [v, t] + b2)."""
        return torch.sigmoid(images[0] + captions[0]) * (images[1] + captions[1])


class SimilarityAttention(GatedPairs):
    """``similarity_att``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(width, width), nn.Linear(width, width)

    def of_images(self, images: Tensor) -> tuple[Tensor, ...]:
        """W1 v + b1."""
        return (self.image(images),)

    def of_captions(self, captions: Tensor) -> tuple[Tensor, ...]:
        """W2 t + b2."""
        return (self.text(captions),)

    def gated(self, images: tuple[Tensor, ...], captions: tuple[Tensor, ...]) -> Tensor:
        """sigmoid((W1 v + b1) * t') * t'."""
        return torch.sigmoid(images[0] * captions[0]) * captions[0]


ATTENTIONS = {
    "soft_att": SoftAttention,
    "fusion_att": FusionAttention,
    "similarity_att": SimilarityAttention,
}
