"""The options of an experiment: their schema, and how a YAML becomes them."""

from galr.options.compare import (
    RUN_SETTINGS,
    Difference,
    differences,
    flatten_options,
    is_under,
    yaml_value,
)
from galr.options.reading import load_options, options_from_dict, stored_options
from galr.options.schema import Options
from galr.options.sections.dataset import AugmentOptions, DatasetOptions
from galr.options.sections.drea import DreaOptions
from galr.options.sections.encoders import BackboneOptions, Seq2vecOptions
from galr.options.sections.experiment import KFoldOptions
from galr.options.sections.model import ModelOptions
from galr.options.sections.optim import OptimOptions
from galr.options.sections.rerank import RerankOptions

__all__ = [
    "RUN_SETTINGS",
    "AugmentOptions",
    "BackboneOptions",
    "DatasetOptions",
    "Difference",
    "DreaOptions",
    "KFoldOptions",
    "ModelOptions",
    "OptimOptions",
    "Options",
    "RerankOptions",
    "Seq2vecOptions",
    "differences",
    "flatten_options",
    "is_under",
    "load_options",
    "options_from_dict",
    "stored_options",
    "yaml_value",
]
