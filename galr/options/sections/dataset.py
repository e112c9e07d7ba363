"""Where the data is, and how it is read and augmented."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from galr.options.sections.base import Section, Side
from galr.options.sections.drea import DreaOptions


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
    drea: DreaOptions = DreaOptions()
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
    augment: AugmentOptions = AugmentOptions()
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
