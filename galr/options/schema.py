"""All options of an experiment; docs/options.md is made from this."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, NonNegativeInt, model_validator

from galr.options.sections.base import Section
from galr.options.sections.dataset import DatasetOptions
from galr.options.sections.experiment import DistributedOptions, KFoldOptions, LogsOptions
from galr.options.sections.model import ModelOptions
from galr.options.sections.optim import OptimOptions
from galr.options.sections.rerank import RerankOptions


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
    model: ModelOptions = ModelOptions()
    dataset: DatasetOptions = DatasetOptions()
    optim: OptimOptions = OptimOptions()
    distributed: DistributedOptions = DistributedOptions()
    logs: LogsOptions = LogsOptions()
    k_fold: KFoldOptions = KFoldOptions()
    rerank: RerankOptions = RerankOptions()

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
    def _features_can_be_cached(self) -> Options:
        if self.model.backbone.cache_features:
            if self.dataset.augment.move_objects and self.model.backbone.cache_views > 8:
                raise ValueError(
                    "dataset.augment.move_objects moves boxes with turned and mirrored views, and "
                    "not with cached crops; set model.backbone.cache_views to 8 or less"
                )
            if self.dataset.image_cache == "off":
                raise ValueError(
                    "model.backbone.cache_features needs a folder for the cache; "
                    "set dataset.image_cache to auto or a folder"
                )
            if set(self.dataset.sides) != {self.dataset.image_size}:
                raise ValueError(
                    "model.backbone.cache_features caches features at dataset.image_size only; "
                    "set dataset.train_sizes to null"
                )
        return self

    @model_validator(mode="after")
    def _scales_are_smaller(self) -> Options:
        pyramid, side = self.model.multiscale.pyramid, self.dataset.image_size
        if pyramid and (max(pyramid) >= side or set(self.dataset.sides) != {side}):
            raise ValueError(
                "model.multiscale.pyramid scales images of one size down: sides must be smaller "
                f"than dataset.image_size, {side}, and dataset.train_sizes null"
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
