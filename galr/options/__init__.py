"""The options of an experiment: their schema, and how a YAML becomes them."""

from galr.options.reading import load_options, options_from_dict
from galr.options.schema import (
    AugmentOptions,
    BackboneOptions,
    DatasetOptions,
    DreaOptions,
    ModelOptions,
    OptimOptions,
    Options,
    RerankOptions,
    Seq2vecOptions,
)

__all__ = [
    "AugmentOptions",
    "BackboneOptions",
    "DatasetOptions",
    "DreaOptions",
    "ModelOptions",
    "OptimOptions",
    "Options",
    "RerankOptions",
    "Seq2vecOptions",
    "load_options",
    "options_from_dict",
]
