"""Folds, logs and processes of an experiment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from galr.options.sections.base import Section


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
    group_duplicates: bool = Field(
        False,
        description="keep images that share a caption word for word or look alike (perceptual "
        "hash) on one side of a fold (docs/training.md); `false`: images are drawn one by one, as "
        "in the released code",
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
