"""The network from the feature maps and word vectors to the embedding."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from galr.options.sections.base import Section, Share, Side
from galr.options.sections.encoders import (
    WORD_ENCODERS,
    BackboneOptions,
    ImageTextOptions,
    Seq2vecOptions,
    TextOptions,
    TextParts,
)


class MultiscaleOptions(Section):
    """MVSA, multiscale visual self-attention (paper, global branch)."""

    enabled: bool = Field(
        True,
        description="`false`: compute the global feature from pooled feature maps only, see "
        "`pooled`",
    )
    pooled: Literal["last", "all"] = Field(
        "last",
        description="without MVSA: project the spatial mean of the `last` feature map, or of "
        "`all` four",
    )
    pyramid: tuple[Side, ...] = Field(
        (),
        description="without MVSA: the backbone also gets the image scaled down to these sides, "
        "each below `dataset.image_size`; the pooled maps of all scales are concatenated",
    )
    average_rotations: bool = Field(
        False,
        description="test-time augmentation: average the global feature over rotations of the "
        "image by 0, 90, 180 and 270 degrees, at four times the cost; with "
        "`backbone.cache_features`, requires `cache_views` of at least 4",
    )
    multiscale_input_channel: PositiveInt = Field(
        3, description="channels of the low-level and the high-level map inside MVSA"
    )
    multiscale_output_channel: Literal[1] = Field(
        1, description="channels of the attended map; always 1 in this method"
    )


class FusionOptions(Section):
    """MIDF, multi-level information dynamic fusion (paper, section on fusion)."""

    type: Literal["midf", "addition", "concatenation"] = Field(
        "midf", description="how the global and the local feature are combined"
    )
    gate: Literal["paper", "released"] = Field(
        "paper",
        description="`paper`: each branch has its own dynamic weight; `released`: both are "
        "multiplied by the first, as in the released code and as its checkpoints expect",
    )
    mca_DROPOUT_R: Share = Field(0.1, description="dropout in the attention blocks")
    mca_HIDDEN_SIZE: PositiveInt = Field(
        512, description="width of the attention blocks; must equal `model.embed.embed_dim`"
    )
    mca_FF_SIZE: PositiveInt = Field(1024, description="width of their feed-forward layer")
    mca_MULTI_HEAD: PositiveInt = Field(8, description="number of attention heads")
    mca_HIDDEN_SIZE_HEAD: PositiveInt = Field(
        64, description="width of a head; heads times this must equal `mca_HIDDEN_SIZE`"
    )
    dynamic_fusion_dim: PositiveInt = Field(
        512, description="hidden width of the layer that computes the two dynamic weights"
    )
    dynamic_fusion_drop: Share = Field(0.1, description="dropout in that layer")


class CrossAttentionOptions(Section):
    """AMFMN's gate between an image and the captions compared with it; unused by other models."""

    att_type: Literal["soft_att", "fusion_att", "similarity_att"] = Field(
        "soft_att", description="type of gate (docs/family.md); `soft_att` is by far the fastest"
    )


class EmbedOptions(Section):
    """The joint embedding space of images and captions."""

    embed_dim: PositiveInt = Field(512, description="embedding dimension")
    standardise: bool = Field(
        False,
        description="normalise pooled image features and sentence vectors to zero mean and unit "
        "variance (batch normalisation) before projection; needed for features of frozen encoders",
    )
    dropout: Share = Field(0.0, description="dropout on pooled image features before projection")
    text_dropout: Share = Field(0.0, description="dropout on sentence vectors before projection")


class ModelOptions(Section):
    """The network."""

    name: Literal["GaLR", "AMFMN", "VSE++", "TwoTower"] = Field(
        "GaLR", description="the model (docs/family.md); only GaLR has a local branch"
    )
    local: bool = Field(
        True,
        description="the local branch (DREA and GCN); `false`: global features only",
    )
    backbone: BackboneOptions = BackboneOptions()
    multiscale: MultiscaleOptions = MultiscaleOptions()
    cross_attention: CrossAttentionOptions = CrossAttentionOptions()
    seq2vec: Seq2vecOptions = Seq2vecOptions()
    text: TextOptions = TextOptions()
    image_text: ImageTextOptions = ImageTextOptions()
    fusion: FusionOptions = FusionOptions()
    embed: EmbedOptions = EmbedOptions()

    @model_validator(mode="after")
    def _towers_are_whole(self) -> ModelOptions:
        if self.image_text.name is not None:
            if self.text.type is not None or self.text.train == "lora":
                raise ValueError(
                    "image_text brings its own text tower: set text.type to null and text.train to "
                    "none or all"
                )
            if self.name == "AMFMN":
                raise ValueError("image_text compares by cosine: set name to GaLR or TwoTower")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> ModelOptions:
        fusion, width = self.fusion, self.embed.embed_dim
        if self.name == "GaLR" and self.local and fusion.type == "midf":
            if fusion.mca_HIDDEN_SIZE != width:
                raise ValueError(
                    f"fusion.mca_HIDDEN_SIZE is {fusion.mca_HIDDEN_SIZE} and embed.embed_dim is "
                    f"{width}; they must be equal"
                )
            if fusion.mca_MULTI_HEAD * fusion.mca_HIDDEN_SIZE_HEAD != width:
                raise ValueError(
                    f"fusion.mca_MULTI_HEAD x fusion.mca_HIDDEN_SIZE_HEAD is "
                    f"{fusion.mca_MULTI_HEAD} x {fusion.mca_HIDDEN_SIZE_HEAD}; "
                    f"it must be mca_HIDDEN_SIZE, {width}"
                )
        return self

    @model_validator(mode="after")
    def _rotations_are_cached(self) -> ModelOptions:
        backbone = self.backbone
        too_few = backbone.cache_features and backbone.cache_views < 4
        if self.multiscale.average_rotations and too_few:
            raise ValueError(
                "multiscale.average_rotations needs backbone.cache_views of 4 or more, the number "
                f"of rotations, and not {backbone.cache_views}"
            )
        return self

    @model_validator(mode="after")
    def _scales_are_pooled(self) -> ModelOptions:
        if self.multiscale.pyramid and (self.has_mvsa or self.image_text.name is not None):
            raise ValueError(
                "multiscale.pyramid concatenates pooled maps of a backbone: set "
                "multiscale.enabled to false and image_text.name to null, or pyramid to []"
            )
        return self

    @property
    def has_mvsa(self) -> bool:
        """Whether the global branch is MVSA, not pooled maps or an image tower."""
        of_backbone = self.image_text.name is None
        return of_backbone and self.multiscale.enabled and self.name in ("GaLR", "AMFMN")

    @property
    def global_branch(self) -> str:
        """The global branch in a few words."""
        if self.has_mvsa:
            return "MVSA"
        if self.image_text.name is not None:
            return "image tower"
        maps = "pooled last map" if self.multiscale.pooled == "last" else "pooled maps"
        sides = " and ".join(map(str, self.multiscale.pyramid))
        return f"{maps}, also at {sides} pixels" if sides else maps

    @property
    def text_name(self) -> str:
        """The text encoder in a word or two."""
        return self.image_text.name or self.text.type or self.seq2vec.type

    @property
    def image_name(self) -> str:
        """The image encoder in a word or two."""
        return self.image_text.name or self.backbone.name

    @property
    def text_parts(self) -> TextParts:
        """What the text encoder is made of, by `image_text`, `text` or else by `seq2vec`."""
        if self.image_text.name is not None:
            return TextParts(None, self.image_text.name, self.text.train)
        if self.text.type is None:
            if self.seq2vec.type != "sentence-transformers":
                return TextParts(self.seq2vec.type, None, "none")
            train = "none" if self.seq2vec.fixed_emb else "all"
            return TextParts(None, self.seq2vec.dir_st, train, of_seq2vec=True)
        first, plus, second = self.text.type.partition("+")
        if first in WORD_ENCODERS:
            return TextParts(first, second if plus else None, self.text.train)
        return TextParts(None, self.text.type, self.text.train)
