"""The encoders of images and of text."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from pydantic import Field, PositiveInt, model_validator

from galr.options.sections.base import Section, Share


class BackboneOptions(Section):
    """The image backbone, which yields feature maps at four levels (ResNet-18 in the paper)."""

    name: str = Field(
        "resnet18",
        pattern=r"^(timm:[\w.]+|\w+)$",
        description="torchvision model name, or `timm:NAME` (docs/encoders.md); the channels and "
        "grid sizes of MVSA follow from it",
    )
    head: bool = Field(
        False,
        description="with `timm:NAME`: take the last feature map from where the network's own "
        "classifier pools it, such as the 1280 channels of an EfficientNet; `false`: from the "
        "last stage, as with timm's `features_only`",
    )
    train: Literal["none", "layer4", "layer3", "layer2", "all"] = Field(
        "all",
        description="which weights are trained: `none`, those that only the last feature map "
        "depends on (`layer4`), only the last two (`layer3`) or the last three (`layer2`), or "
        "`all`",
    )
    batch_norm: Literal["batch", "frozen"] = Field(
        "batch",
        description="batch normalisation during training: `batch` statistics, or `frozen` at the "
        "statistics of `weights`",
    )
    unfreeze_at: Share = Field(
        0.0,
        description="fraction of training during which the whole backbone is frozen; from the "
        "next epoch on, the weights selected by `train` are trained",
    )
    cache_features: bool = Field(
        False,
        description="cache the frozen backbone's features of the training images on disk, "
        "next to the image cache and within `dataset.image_cache_gb`, and train the rest of the "
        "network on them (until `unfreeze_at`, if set). `dataset.resize_size`, `rotation_degrees` "
        "and `augment` do not affect the cached features, except through `cache_views`. Requires "
        "`batch_norm: frozen` and either `train: none` or an `unfreeze_at`",
    )
    cache_views: PositiveInt = Field(
        1,
        description="with `cache_features`: views cached per image, one of which is drawn each "
        "epoch. The first is the evaluation view; up to 4, rotated by right angles; up to 8, also "
        "mirrored; beyond that, crops of `dataset.resize_size` by `augment.crop_scale`, rotated "
        "and mirrored",
    )
    weights: str | None = Field(
        "imagenet",
        description="initial weights: `imagenet` (torchvision's `IMAGENET1K_V1`, downloaded once "
        "to `TORCH_HOME`, or timm's), another torchvision name such as `IMAGENET1K_V2`, the path "
        "of a weight file (`.pth` or `.safetensors`) with the library's parameter names or in one "
        "of the layouts of docs/encoders.md, `package:NAME` for the file shipped with an "
        "installed package, or `null` for random initialisation",
    )

    @model_validator(mode="after")
    def _cached_features_stay_valid(self) -> BackboneOptions:
        if not self.cache_features:
            if self.cache_views > 1:
                raise ValueError(
                    f"cache_views is {self.cache_views}, which needs cache_features: true"
                )
            return self
        is_frozen = (self.train == "none") == (self.unfreeze_at == 0)
        if self.batch_norm != "frozen" or not is_frozen:
            raise ValueError(
                "cache_features needs train: none, or else unfreeze_at above 0, and batch_norm: "
                "frozen, since features of a backbone that changes would be stale; they are "
                f"{self.train}, {self.unfreeze_at:g} and {self.batch_norm}"
            )
        return self


WordEncoder = Literal["UniSkip", "DropUniSkip", "BayesianUniSkip", "BiSkip", "BiGRU", "BagOfWords"]
WORD_ENCODERS = get_args(WordEncoder)


class Seq2vecOptions(Section):
    """The text encoder."""

    type: Literal[WordEncoder, "sentence-transformers"] = Field(
        "BayesianUniSkip", description="type of sentence encoder (docs/text_encoders.md)"
    )
    pretrained: bool = Field(
        True,
        description="load the skip-thought files in `dir_st`; `false`: random initialisation, "
        "with the sizes below",
    )
    dir_st: str | None = Field(
        "seq2vec",
        description="folder of the skip-thought files, or of the sentence-transformers model",
    )
    dropout: Share = Field(0.25, description="dropout inside the encoder during training")
    fixed_emb: bool = Field(
        False,
        description="`true`: freeze the word vectors, or all of a sentence-transformers model",
    )
    word_dim: PositiveInt = Field(
        620,
        description="dimension of the word vectors, unless set by a file (applies with "
        "`pretrained: false`)",
    )
    hidden_dim: PositiveInt = Field(
        2400,
        description="dimension of the sentence vectors, unless set by a file (applies with "
        "`pretrained: false`)",
    )
    word_dict: str | None = Field(
        None, description="former place of `dataset.vocab_path`; used if that is not set"
    )


class TextParts(NamedTuple):
    """An encoder of words, the place of one of sentences, or both; what is trained of the latter.

    ``of_seq2vec``: the place is the folder ``model.seq2vec.dir_st``.
    """

    words: str | None
    sentences: str | None
    train: str
    of_seq2vec: bool = False


class TextOptions(Section):
    """A pretrained text encoder that replaces or extends `model.seq2vec` (docs/encoders.md)."""

    type: str | None = Field(
        None,
        pattern=rf"^(({'|'.join(WORD_ENCODERS)})|(({'|'.join(WORD_ENCODERS)})\+)?"
        r"(sentence-)?transformers:\S.*)$",
        description="`transformers:PLACE` or `sentence-transformers:PLACE`, where PLACE is a "
        "folder, a Hugging Face Hub name or `package:NAME`; one of the types of "
        "`model.seq2vec.type`; or both with their vectors concatenated, as in "
        "`BiGRU+sentence-transformers:PLACE`. `null`: the type in `model.seq2vec`. The other keys "
        "of `model.seq2vec` apply to word-level encoders",
    )
    train: Literal["none", "lora", "all"] = Field(
        "none",
        description="how the pretrained model is trained: `none` (frozen, each distinct caption "
        "encoded once), `lora` (low-rank adapters, package peft), or `all`",
    )
    lora_rank: PositiveInt = Field(8, description="with `lora`: rank of the adapters")


class ImageTextOptions(Section):
    """An image-text model that replaces backbone and text encoder (docs/encoders.md)."""

    name: str | None = Field(
        None,
        pattern=r"^open_clip:\S+$",
        description="`open_clip:ARCHITECTURE`, an architecture known to open_clip or the path of "
        "a JSON model config; `model.backbone` then controls how the image tower is trained, and "
        "`model.text.train` whether the text tower is (`none` or `all`). Short form: `model: "
        "{image_text: open_clip:NAME}`",
    )
    weights: str | None = Field(
        None,
        description="a weight file (RemoteCLIP, GeoRSCLIP, open_clip), `package:NAME`, an "
        "open_clip pretrained tag, or `null` for random initialisation",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML held
        return {"name": values} if isinstance(values, str) else values
