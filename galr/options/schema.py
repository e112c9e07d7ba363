"""Every option with its type, default, limits and meaning; docs/options.md is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Side = Annotated[int, Field(ge=32, multiple_of=32)]  # of an image, in pixels

DOTA_CLASSES = (
    "plane", "baseball-diamond", "bridge", "ground-track-field", "small-vehicle", "large-vehicle",
    "ship", "tennis-court", "basketball-court", "storage-tank", "soccer-ball-field", "roundabout",
    "harbor", "swimming-pool", "helicopter",
)  # fmt: skip


def _admits(field: FieldInfo, kind: type) -> bool:
    annotation = field.annotation
    return annotation is kind or (
        get_origin(annotation) is not None and kind in get_args(annotation)
    )


class Section(BaseModel):
    """A closed, frozen part of the options."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _plain_values(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the YAML held
        if values is None:  # a section whose keys are all commented out
            return {}
        if not isinstance(values, dict):
            return values
        plain = dict(values)
        for name, field in cls.model_fields.items():
            value = plain.get(name)
            # the released files write None where YAML reads text
            if value == "None" and _admits(field, type(None)):
                plain[name] = None
            # pydantic would read true as 1; nobody means that
            elif (
                isinstance(value, bool)
                and (_admits(field, int) or _admits(field, float))
                and not _admits(field, bool)
            ):
                raise ValueError(f"{name}: expected a number, got {str(value).lower()}")
        return plain


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
    cache_maps: bool = Field(
        False,
        description="cache the frozen backbone's feature maps of the training images on disk, "
        "next to the image cache and within `dataset.image_cache_gb`, and train the rest of the "
        "network on them (until `unfreeze_at`, if set). `dataset.resize_size`, `rotation_degrees` "
        "and `augment` do not affect the cached maps, except through `cache_views`. Requires "
        "`batch_norm: frozen` and either `train: none` or an `unfreeze_at`",
    )
    cache_views: PositiveInt = Field(
        1,
        description="with `cache_maps`: views cached per image, one of which is drawn each epoch. "
        "The first is the evaluation view; up to 4, rotated by right angles; up to 8, also "
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
    def _maps_stay_the_same(self) -> BackboneOptions:
        if not self.cache_maps:
            if self.cache_views > 1:
                raise ValueError(f"cache_views is {self.cache_views}, which needs cache_maps: true")
            return self
        is_frozen = (self.train == "none") == (self.unfreeze_at == 0)
        if self.batch_norm != "frozen" or not is_frozen:
            raise ValueError(
                "cache_maps needs train: none, or else unfreeze_at above 0, and batch_norm: "
                "frozen, since maps of a backbone that changes would be stale; they are "
                f"{self.train}, {self.unfreeze_at:g} and {self.batch_norm}"
            )
        return self


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
    average_rotations: bool = Field(
        False,
        description="test-time augmentation: average the global feature over rotations of the "
        "image by 0, 90, 180 and 270 degrees, at four times the cost; with `backbone.cache_maps`, "
        "requires `cache_views` of at least 4",
    )
    multiscale_input_channel: PositiveInt = Field(
        3, description="channels of the low-level and the high-level map inside MVSA"
    )
    multiscale_output_channel: Literal[1] = Field(
        1, description="channels of the attended map; always 1 in this method"
    )


class Seq2vecOptions(Section):
    """The text encoder."""

    type: Literal[
        "UniSkip",
        "DropUniSkip",
        "BayesianUniSkip",
        "BiSkip",
        "BiGRU",
        "BagOfWords",
        "sentence-transformers",
    ] = Field("BayesianUniSkip", description="type of sentence encoder (docs/text_encoders.md)")
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


WORD_ENCODERS = ("UniSkip", "DropUniSkip", "BayesianUniSkip", "BiSkip", "BiGRU", "BagOfWords")


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
    backbone: BackboneOptions = Field(default_factory=BackboneOptions, description="")
    multiscale: MultiscaleOptions = Field(default_factory=MultiscaleOptions, description="")
    cross_attention: CrossAttentionOptions = Field(
        default_factory=CrossAttentionOptions, description=""
    )
    seq2vec: Seq2vecOptions = Field(default_factory=Seq2vecOptions, description="")
    text: TextOptions = Field(default_factory=TextOptions, description="")
    image_text: ImageTextOptions = Field(default_factory=ImageTextOptions, description="")
    fusion: FusionOptions = Field(default_factory=FusionOptions, description="")
    embed: EmbedOptions = Field(default_factory=EmbedOptions, description="")

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
        if self.multiscale.average_rotations and backbone.cache_maps and backbone.cache_views < 4:
            raise ValueError(
                "multiscale.average_rotations needs backbone.cache_views of 4 or more, the number "
                f"of rotations, and not {backbone.cache_views}"
            )
        return self

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


class DreaOptions(Section):
    """DREA: from detections to the representation and adjacency matrices (docs/drea.md)."""

    classes: tuple[str, ...] = Field(
        DOTA_CLASSES,
        min_length=1,
        description="object classes, in one-hot order; detections are matched by class name. "
        "Default: the fifteen classes of DOTA",
    )
    objects: PositiveInt = Field(20, description="N, maximum number of objects kept per image")
    min_score: float = Field(0.3, ge=0.0, le=1.0, description="minimum score of a detection")
    denoise: bool = Field(
        True,
        description="drop objects that duplicate a kept one; `false`: keep the N most confident",
    )
    max_similarity: float = Field(
        0.98,
        ge=-1.0,
        le=1.0,
        description="maximum cosine similarity between the rows of two kept objects of the same "
        "class",
    )
    enhance: bool = Field(
        True, description="strengthen the edges of prominent objects; `false`: proximity only"
    )
    radius: PositiveFloat = Field(
        0.2, description="range of the proximity, as a fraction of the image diagonal"
    )
    gain: NonNegativeFloat = Field(1.0, description="how strongly prominence enhances an edge")

    @field_validator("classes")
    @classmethod
    def _classes_differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes) or not all(name.strip() for name in classes):
            raise ValueError("the names of classes must differ and must not be empty")
        return classes

    @property
    def features(self) -> int:
        """F, the numbers that describe an object: one-hot class, centre, size, score."""
        return len(self.classes) + 5


class AugmentOptions(Section):
    """Additional augmentation of training images; the paper itself rotates and crops."""

    right_angles: bool = Field(
        False, description="rotate by a random multiple of 90 degrees and mirror at random"
    )
    crop_scale: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="minimum fraction of the image area in a random crop, which is resized to "
        "`image_size`; `null`: crops are `image_size` pixels wide",
    )
    move_objects: bool = Field(
        False,
        description="transform the boxes of the local features with the image (rotation, crop, "
        "mirroring) and recompute both matrices from the visible objects; `false`: use those of "
        "the whole upright image, as in the released code",
    )
    colour: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="maximum relative change of brightness, contrast and saturation, as in "
        "torchvision's ColorJitter",
    )


class DatasetOptions(Section):
    """Where the data is and how it is read."""

    datatype: str = Field("rsitmd", min_length=1, description="name of the data set in results")
    data_path: str = Field(
        "data/rsitmd_precomp", description="folder with `{train,test}_{caps,filename}.txt`"
    )
    image_path: str | None = Field(
        None, description="folder of the images; `null`: `images` inside `data_path`"
    )
    pixel_range: tuple[float, float] | None = Field(
        None,
        description="for images with more than 8 bits per band: the values mapped to black and "
        "white, such as `[0, 3000]`, the same for every image. `null`: the 1st and 99th "
        "percentiles of the training images, which are measured, logged and stored in the "
        "checkpoint. 8-bit images are not rescaled",
    )
    bands: tuple[int, ...] | None = Field(
        None,
        description="bands to use as red, green and blue, such as `[4, 3, 2]`, or the one to use "
        "as grey, counted from 1; `null`: as stated in the file",
    )
    no_data: float | None = Field(
        None,
        description="value that marks nodata pixels, which become black, as NaN pixels do; "
        "`null`: the one stated in a GeoTIFF",
    )
    empty_captions: NonNegativeInt = Field(
        0,
        description="known number of empty lines in the training captions, which are skipped; any "
        "other number of them except 0 is an error",
    )
    vocab_path: str = Field(
        "vocab/rsitmd_splits_vocab.json", description="vocabulary file made by `vocab.py`"
    )
    tokenizer: Literal["nltk", "whitespace", "characters"] = Field(
        "nltk",
        description="how captions are split into words: `nltk` for English, as in the released "
        "code; `whitespace` for other languages that put spaces between words; `characters` (each "
        "is a word) for those that do not, such as Chinese. Must match the tokenizer of the "
        "vocabulary",
    )
    local_path: str | None = Field(
        None,
        description="HDF5 store of local features, made by `python -m galr.local_features`; "
        "`null`: no local features and no local branch; `zeros`: the full model, with no objects "
        "in any image",
    )
    drea: DreaOptions = Field(default_factory=DreaOptions, description="")
    image_size: Side = Field(256, description="side of the square network input, in pixels")
    train_sizes: tuple[Side, ...] | None = Field(
        None,
        min_length=1,
        description="sides of training images, if different from `image_size`; each of several is "
        "used for an equal share of training, in this order. Smaller images cost less",
    )
    resize_size: PositiveInt = Field(
        278, description="side to which training images are resized before rotation and crop"
    )
    rotation_degrees: float = Field(
        90.0,
        ge=0.0,
        le=360.0,
        description="training images are rotated by a random angle from 0 to this many degrees",
    )
    augment: AugmentOptions = Field(default_factory=AugmentOptions, description="")
    max_words: PositiveInt = Field(
        64,
        description="maximum caption length in tokens; longer captions are truncated and counted "
        "in the log",
    )
    image_cache: str = Field(
        "auto",
        min_length=1,
        description="cache of decoded, resized images: `auto` (`image_cache` inside `data_path` "
        "or, if that is not writable, `~/.cache/galr`), a folder, or `off` (decode every time)",
    )
    image_cache_gb: PositiveFloat = Field(
        20.0,
        description="maximum cache size per split and image size, in 10^9 bytes; above it, images "
        "are decoded every time",
    )
    sampling: Literal["captions", "images"] = Field(
        "captions",
        description="what makes an epoch: `captions`, every caption once with its image, as in "
        "the released code; `images`, every image once with one of its captions, drawn anew each "
        "epoch",
    )
    captions_per_image: PositiveInt = Field(
        1,
        description="with `sampling: images`: captions drawn per image; each is compared with the "
        "batch separately and the losses are averaged, which gives more text for the same images",
    )
    batch_size: PositiveInt = Field(100, description="image-caption pairs per training step")
    batch_size_val: PositiveInt = Field(
        70, description="images per evaluation step; captions are encoded 2048 or more at a time"
    )
    workers: NonNegativeInt = Field(
        3, description="data-loading processes, at most one per core; 0: load in the main process"
    )

    @field_validator("image_cache", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the YAML held
        return {False: "off", True: "auto"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _crop_fits(self) -> DatasetOptions:
        for name, side in (
            ("image_size", self.image_size),
            ("the largest of train_sizes", max(self.sides)),
        ):
            if self.resize_size < side:
                raise ValueError(
                    f"resize_size is {self.resize_size}, less than {name}, {side}; "
                    "images are resized to the first and cropped to the second"
                )
        return self

    @model_validator(mode="after")
    def _captions_are_drawn(self) -> DatasetOptions:
        if self.captions_per_image > 1 and self.sampling != "images":
            raise ValueError(
                f"captions_per_image is {self.captions_per_image}, which needs sampling: images; "
                "with sampling: captions each pair has its own"
            )
        return self

    @property
    def image_folder(self) -> Path:
        """``image_path``, or ``images`` inside ``data_path``."""
        return Path(self.image_path or Path(self.data_path) / "images")

    @property
    def sides(self) -> tuple[int, ...]:
        """Of training images, one after another in equal shares of the training."""
        return self.train_sizes or (self.image_size,)


class OptimOptions(Section):
    """Training."""

    epochs: PositiveInt = Field(50, description="passes over the training part of a fold")
    budget_seconds: PositiveFloat | None = Field(
        None,
        description="time budget of a fold in seconds of `budget_clock`, including set-up and all "
        "validations but the last; it replaces `epochs` as the end of training, and the "
        "learning-rate schedule is spread over what set-up leaves of it",
    )
    budget_clock: Literal["cpu", "wall"] = Field(
        "cpu",
        description="what `budget_seconds` counts: `cpu`, CPU time of all threads and data "
        "loaders, or `wall`, elapsed time; `log.csv` counts the same",
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Adam, or AdamW")
    weight_decay: NonNegativeFloat = Field(
        0.0,
        description="weight decay of matrices and kernels; normalisation parameters and biases "
        "have none",
    )
    lr: PositiveFloat = Field(2e-4, description="learning rate")
    backbone_lr: PositiveFloat | None = Field(
        None,
        description="learning rate of the backbone, under the same schedule; `null`: `lr`",
    )
    text_lr: PositiveFloat | None = Field(
        None,
        description="learning rate of a pretrained sentence encoder, under the same schedule; "
        "`null`: `lr`",
    )
    schedule: Literal["step", "cosine"] = Field(
        "step",
        description="learning-rate schedule: `step`, as in the paper, set by `lr_update_epoch` "
        "and `lr_decay_param`; `cosine`: half a cosine from `lr` down to `lr_final` times `lr`",
    )
    warmup: Share = Field(
        0.0, description="fraction of training with linear learning-rate warmup to `lr`"
    )
    lr_final: float = Field(
        0.0, ge=0.0, le=1.0, description="with `cosine`: final learning rate as a fraction of `lr`"
    )
    lr_update_epoch: PositiveInt = Field(
        20, description="with `step`: epochs between two decays of the learning rate"
    )
    lr_decay_param: float = Field(
        0.7,
        gt=0.0,
        le=1.0,
        description="with `step`: factor by which each decay multiplies the learning rate",
    )
    grad_clip: NonNegativeFloat = Field(0.0, description="maximum gradient norm; 0: no clipping")
    ema: Share = Field(
        0.0,
        description="decay of an exponential moving average (EMA) of the weights, which is "
        "validated and saved as `best.pth` instead of the weights themselves; 0: no EMA",
    )
    amp: Literal["auto", "off", "bf16", "fp16"] = Field(
        "off",
        description="automatic mixed precision: the network in bfloat16 or float16 (`fp16`: CUDA "
        "only), the loss in float32; `auto`: bfloat16 where the device supports it natively",
    )
    compile: bool = Field(
        False,
        description="train the ResNet through `torch.compile`, which takes minutes at the start "
        "and needs a C++ compiler (docs/training.md says when it pays off)",
    )
    micro_batch: PositiveInt | None = Field(
        None,
        description="pairs per forward pass, for batches that do not fit in memory (gradient "
        "caching: features are cached, gradients replayed). All pairs of the batch are compared, "
        "and the loss is that of the full batch as long as nothing is normalised over the batch, "
        "that is with `model.backbone.batch_norm: frozen` or `train: none`. With `batch_norm: "
        "batch`, each micro-batch is normalised by its own statistics",
    )
    loss: Literal["triplet", "hard_triplet", "soft_triplet", "infonce"] = Field(
        "triplet",
        description="`triplet`, as in the paper; `hard_triplet`: hardest negative only; "
        "`soft_triplet`: soft margin; `infonce`: softmax over the batch",
    )
    temperature: float = Field(
        0.07,
        ge=0.01,
        le=1.0,
        description="with `infonce`: initial value of the learned temperature, which is kept "
        "within these limits",
    )
    sharpness: PositiveFloat = Field(
        10.0, description="with `soft_triplet`: the larger, the closer to a hard margin of 0"
    )
    margin: float = Field(
        0.2, ge=0.0, le=2.0, description="margin of the triplet loss, in cosine similarity"
    )
    max_violation: bool = Field(
        False,
        description="`true`: only the hardest negative counts; `false`: all negatives are summed",
    )
    same_image: Literal["negative", "ignore", "positive"] = Field(
        "negative",
        description="how other captions of the same image in a batch count: as `negative`, as in "
        "the released code, `ignore`, or (with `infonce`) `positive`; with `dataset.sampling: "
        "images` there are none",
    )
    same_caption: Literal["negative", "ignore", "positive"] = Field(
        "negative",
        description="how images in a batch whose captions have the same text count (the rule of "
        "the duplicate-aware recalls): as for `same_image`",
    )
    early_stop: PositiveInt | None = Field(
        None, description="stop a fold after this many validations without an improvement in mR"
    )

    @field_validator("amp", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the YAML held
        return "off" if value is False else value

    @model_validator(mode="after")
    def _loss_takes_positives(self) -> OptimOptions:
        for name in ("same_image", "same_caption"):
            if getattr(self, name) == "positive" and self.loss != "infonce":
                raise ValueError(
                    f"{name} is positive, which takes loss infonce and not {self.loss}; "
                    "set it to ignore"
                )
        return self


class DistributedOptions(Section):
    """Training in several processes, started by torchrun."""

    exact: bool = Field(
        False,
        description="no dropout, float64, and batch normalisation synchronised over all ranks, so "
        "that any number of ranks gives the same weights as a single process, at several times "
        "the cost; for verification",
    )


class LogsOptions(Section):
    """What is reported, and where it is written."""

    eval_step: PositiveInt = Field(1, description="epochs between validations")
    print_freq: PositiveInt = Field(10, description="steps between updates of the progress line")
    ckpt_save_path: str = Field(
        "checkpoint/",
        description="results are written to `<ckpt_save_path>/<experiment_name>/<fold>`",
    )


class KFoldOptions(Section):
    """The folds over the training images."""

    experiment_name: str = Field(
        "experiment",
        min_length=1,
        description="folder for the experiment's checkpoints and results",
    )
    nums: PositiveInt = Field(3, description="number of folds that are trained and averaged")
    mode: Literal["random", "kfold"] = Field(
        "random",
        description="`random`: an independent random split per fold, as in the released code; "
        "`kfold`: disjoint validation parts",
    )
    validation_share: float = Field(
        0.2, gt=0.0, lt=1.0, description="fraction of the images in a `random` validation part"
    )

    @field_validator("experiment_name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        if ".." in name.split("/") or name.startswith("/"):
            raise ValueError("must be a folder's name inside logs.ckpt_save_path")
        return name

    @model_validator(mode="after")
    def _enough_folds(self) -> KFoldOptions:
        if self.mode == "kfold" and self.nums < 2:
            raise ValueError("mode kfold needs nums of at least 2; use mode random for one fold")
        return self


RerankMethod = Literal[
    "none", "multivariate", "saliency", "rank", "reverse", "inverted_softmax", "qb_norm",
    "dual_softmax", "csls", "nnn", "dual_bank",
]  # fmt: skip


class RerankOptions(Section):
    """Re-ranking at test time (docs/rerank.md)."""

    enabled: bool = Field(True, description="report results with re-ranking next to those without")
    method: RerankMethod = Field(
        "multivariate",
        description="re-ranking method; `multivariate` is the paper's",
    )
    compare: tuple[RerankMethod, ...] = Field(
        (), description="further methods that `test.py` reports next to it"
    )
    bank: str | None = Field(
        None,
        description="query bank that methods use instead of the other test queries: `train`, the "
        "training images and captions of the fold, or a data folder, whose training part is used",
    )
    tune: Literal["validation"] | None = Field(
        None,
        description="`validation`: choose the parameters of every method on the fold's validation "
        "part, by mR over the grids of docs/rerank.md",
    )
    beta: float = Field(
        20.0, ge=1, le=100, description="inverse temperature of the softmax methods"
    )
    neighbours: PositiveInt = Field(
        10,
        description="`csls`, `nnn`: number of nearest neighbours whose similarities are averaged",
    )
    alpha: NonNegativeFloat = Field(
        0.75, description="`nnn`: weight of the term subtracted from a similarity"
    )
    activation: PositiveInt = Field(
        1, description="`qb_norm`: number of top candidates of each bank query that count as hubs"
    )
    k: PositiveInt = Field(
        30, description="candidates per query that `multivariate` and its terms re-rank"
    )
    w_saliency: NonNegativeFloat = Field(0.3, description="weight of the saliency term")
    w_rank: NonNegativeFloat = Field(1.0, description="weight of the rank term")
    w_reverse: NonNegativeFloat = Field(1.1, description="weight of the reverse rank term")
    xi: PositiveFloat = Field(0.05, description="decay of a rank's score")
    reverse: Literal["relative", "absolute"] = Field(
        "relative",
        description="reverse rank: `relative`, among the k candidates (released code), or "
        "`absolute`, the query's rank in the candidate's own full list (paper)",
    )
    l: PositiveInt | None = Field(  # noqa: E741 - the paper's letter
        None, description="with `absolute`: reverse ranks beyond the first l score nothing"
    )
    ties: Literal["released", "stable"] = Field(
        "stable",
        description="with `relative`: equal reverse ranks keep the order before re-ranking, "
        "identical on every machine (`stable`), or the order in which numpy.argsort leaves them "
        "on this processor (`released`, as in the released code)",
    )

    @model_validator(mode="after")
    def _dual_bank_has_a_bank(self) -> RerankOptions:
        if self.bank is None and "dual_bank" in (self.method, *self.compare):
            raise ValueError("rerank method dual_bank needs rerank.bank: train, or a data folder")
        return self


class Options(Section):
    """All options of an experiment."""

    base: str | list[str] | None = Field(
        None,
        description="options file that this one overrides, relative to this one; in a list, each "
        "overrides those before it",
    )
    seed: NonNegativeInt = Field(0, description="seed of every random choice")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="`auto` (CUDA if available), `cpu`, `cuda` or `cuda:N`",
    )
    model: ModelOptions = Field(default_factory=ModelOptions, description="")
    dataset: DatasetOptions = Field(default_factory=DatasetOptions, description="")
    optim: OptimOptions = Field(default_factory=OptimOptions, description="")
    distributed: DistributedOptions = Field(default_factory=DistributedOptions, description="")
    logs: LogsOptions = Field(default_factory=LogsOptions, description="")
    k_fold: KFoldOptions = Field(default_factory=KFoldOptions, description="")
    rerank: RerankOptions = Field(default_factory=RerankOptions, description="")

    @model_validator(mode="after")
    def _exact_batches(self) -> Options:
        if (
            self.distributed.exact
            and self.optim.micro_batch is not None
            and self.model.backbone.batch_norm == "batch"
        ):
            raise ValueError(
                "distributed.exact with optim.micro_batch needs model.backbone.batch_norm: frozen, "
                "since a part of a batch has other statistics"
            )
        return self

    @model_validator(mode="after")
    def _compiled_is_not_exact(self) -> Options:
        if self.distributed.exact and self.optim.compile:
            raise ValueError(
                "distributed.exact compares to the last digits, which optim.compile changes; "
                "set optim.compile to false"
            )
        return self

    @model_validator(mode="after")
    def _maps_have_a_place_and_a_size(self) -> Options:
        if self.model.backbone.cache_maps:
            if self.dataset.augment.move_objects and self.model.backbone.cache_views > 8:
                raise ValueError(
                    "dataset.augment.move_objects moves boxes with turned and mirrored views, and "
                    "not with cached crops; set model.backbone.cache_views to 8 or less"
                )
            if self.dataset.image_cache == "off":
                raise ValueError(
                    "model.backbone.cache_maps needs a place for the maps; "
                    "set dataset.image_cache to auto or a folder"
                )
            if set(self.dataset.sides) != {self.dataset.image_size}:
                raise ValueError(
                    "model.backbone.cache_maps keeps maps of images of dataset.image_size alone; "
                    "set dataset.train_sizes to null"
                )
        return self

    @property
    def experiment_folder(self) -> Path:
        """Where the folds' checkpoints and the results of the experiment lie."""
        return Path(self.logs.ckpt_save_path) / self.k_fold.experiment_name

    def without_dropout(self) -> Options:
        """The same options with every dropout at 0."""
        model = self.model
        fusion = model.fusion.model_copy(update={"mca_DROPOUT_R": 0.0, "dynamic_fusion_drop": 0.0})
        seq2vec = model.seq2vec.model_copy(update={"dropout": 0.0})
        model = model.model_copy(update={"fusion": fusion, "seq2vec": seq2vec})
        return self.model_copy(update={"model": model})

    @property
    def uses_local(self) -> bool:
        """Whether the model has a local branch: it is wanted, and there are features for it."""
        return (
            self.model.name == "GaLR" and self.model.local and self.dataset.local_path is not None
        )


# Keys that the released files carry and no code of theirs or ours reads.
RELEASED_UNUSED = frozenset({
    "model.global_local_weight", "model.fusion.correct", "model.fusion.final_relu",
    "model.fusion.supervised_weight", "global_local_weight", "dataset.data_split",
    "dataset.data_name", "optim.resume", "logs.logger_name", "k_fold.current_num",
})  # fmt: skip
