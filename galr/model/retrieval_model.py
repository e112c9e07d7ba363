"""The network: image encoder, text encoder and comparison."""

from __future__ import annotations

from torch import Tensor, nn

from galr.model.comparison import Comparison
from galr.model.mvsa import ImageEncoder
from galr.model.text import TextEncoder


class RetrievalModel(nn.Module):
    """An image-text retrieval model from its parts; ``assemble`` builds GaLR and others.

    image_encoder: image -> global feature (B, D); ``mvsa.ImageEncoder``.
    local_encoder: representation, adjacency -> local feature (B, D); ``gcn.GCN``, or
    ``gcn.NoLocalBranch`` for a model without a local branch.
    fusion: global feature, local feature -> visual feature (B, D); ``midf.MIDF`` or another
    class of ``midf``.
    text_encoder: tokens, lengths -> text feature (B, D); ``text.TextEncoder``.
    comparison: visual and text features -> similarities (I, C); one of ``comparison``.
    """

    def __init__(
        self,
        image_encoder: nn.Module,
        local_encoder: nn.Module,
        fusion: nn.Module,
        text_encoder: TextEncoder,
        comparison: Comparison,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.local_encoder = local_encoder
        self.fusion = fusion
        self.text_encoder = text_encoder
        self.comparison = comparison

    @property
    def embed_dim(self) -> int:
        """D, the embedding dimension."""
        return self.text_encoder.embed_dim

    def global_feature(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S), normalised by ImageNet's mean and deviation -> (B, D)."""
        feature: Tensor = self.image_encoder(image)
        return feature

    def local_feature(
        self, representation: Tensor | None, adjacency: Tensor | None
    ) -> Tensor | None:
        """representation (B, N, F), adjacency (B, N, N) -> (B, D); None without a local branch."""
        feature: Tensor | None = self.local_encoder(representation, adjacency)
        return feature

    def visual_feature(
        self, image: Tensor, representation: Tensor | None = None, adjacency: Tensor | None = None
    ) -> Tensor:
        """Both branches fused, before normalisation: (B, D). Arguments as above."""
        return self._fused(self.global_feature(image), representation, adjacency)

    def _fused(
        self, global_feature: Tensor, representation: Tensor | None, adjacency: Tensor | None
    ) -> Tensor:
        local_feature = self.local_feature(representation, adjacency)
        feature: Tensor = self.fusion(global_feature, local_feature)
        return feature

    def text_feature(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """tokens (B, T) int64 padded with 0, lengths (B,) -> (B, D), before normalisation.

        ``lengths``: default, the number of non-zero ids.
        """
        feature: Tensor = self.text_encoder(tokens, lengths)
        return feature

    def encode_image(
        self, image: Tensor, representation: Tensor | None = None, adjacency: Tensor | None = None
    ) -> Tensor:
        """Embeddings of images, (B, D); arguments as in ``visual_feature``."""
        return self.comparison.embed_image(self.visual_feature(image, representation, adjacency))

    def encode_features(
        self, rows: Tensor, representation: Tensor | None = None, adjacency: Tensor | None = None
    ) -> Tensor:
        """``encode_image`` from rows (B, L) of ``ImageEncoder.forward_features``."""
        assert isinstance(self.image_encoder, ImageEncoder)
        global_feature = self.image_encoder.forward_head(rows)
        return self.comparison.embed_image(self._fused(global_feature, representation, adjacency))

    def encode_text(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embeddings of captions, (B, D); arguments as in ``text_feature``."""
        return self.comparison.embed_text(self.text_feature(tokens, lengths))

    def forward(
        self,
        image: Tensor,
        representation: Tensor | None,
        adjacency: Tensor | None,
        tokens: Tensor,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Similarity of each of I images with each of C captions: (I, C)."""
        images = self.encode_image(image, representation, adjacency)  # (I, D)
        captions = self.encode_text(tokens, lengths)  # (C, D)
        similarity: Tensor = self.comparison(images, captions)
        return similarity


GaLR = RetrievalModel  # earlier name
