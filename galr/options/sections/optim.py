"""Loss, optimiser, schedule and budget."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from galr.options.sections.base import Section, Share


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
