"""GaLR: remote sensing cross-modal text-image retrieval based on global and local information."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from galr.common.renamed import accept_earlier_names

if TYPE_CHECKING:
    from galr.data.vocabulary import Vocabulary
    from galr.evaluation.evaluate import evaluate
    from galr.local_features.detections import Detections
    from galr.local_features.drea import build_local_features
    from galr.local_features.store import LocalFeatures
    from galr.metrics.localisation import localisation_metrics
    from galr.metrics.retrieval import retrieval_metrics
    from galr.model.build import load_model
    from galr.model.retrieval_model import RetrievalModel
    from galr.model.skipthoughts import build_skipthoughts
    from galr.options import Options, load_options
    from galr.search.archive import Archive
    from galr.trained_model import TrainedModel, load
    from galr.training.loss import triplet_loss
    from postprocessing.rerank import rerank

__version__ = "0.1.0"

accept_earlier_names()

__all__ = [
    "Archive",
    "Detections",
    "LocalFeatures",
    "Options",
    "RetrievalModel",
    "TrainedModel",
    "Vocabulary",
    "build_local_features",
    "build_skipthoughts",
    "evaluate",
    "load",
    "load_model",
    "load_options",
    "localisation_metrics",
    "rerank",
    "retrieval_metrics",
    "triplet_loss",
]

# imported on first use, so that `import galr` does not wait for torch
_HOMES = {
    "Archive": "galr.search.archive",
    "Detections": "galr.local_features.detections",
    "GaLR": "galr.model.retrieval_model",
    "LocalFeatures": "galr.local_features.store",
    "RetrievalModel": "galr.model.retrieval_model",
    "Options": "galr.options",
    "TrainedModel": "galr.trained_model",
    "Vocabulary": "galr.data.vocabulary",
    "build_local_features": "galr.local_features.drea",
    "build_skipthoughts": "galr.model.skipthoughts",
    "evaluate": "galr.evaluation.evaluate",
    "load": "galr.trained_model",
    "load_model": "galr.model.build",
    "load_options": "galr.options",
    "rerank": "postprocessing.rerank",
    "localisation_metrics": "galr.metrics.localisation",
    "retrieval_metrics": "galr.metrics.retrieval",
    "triplet_loss": "galr.training.loss",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name not in _HOMES:
        raise AttributeError(f"module 'galr' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
