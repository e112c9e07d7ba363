"""GaLR: remote sensing cross-modal text-image retrieval based on global and local information."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from galr.common.renamed import accept_earlier_names

if TYPE_CHECKING:
    from galr.data.vocabulary import Vocabulary
    from galr.local_features.detections import Detections
    from galr.local_features.drea import build_local_features
    from galr.metrics.retrieval import retrieval_metrics
    from galr.model.build import load_model
    from galr.model.retrieval_model import RetrievalModel
    from galr.model.skipthoughts import build_skipthoughts
    from galr.options import Options, load_options
    from galr.training.loss import triplet_loss

__version__ = "0.1.0"

accept_earlier_names()

__all__ = [
    "Detections",
    "Options",
    "RetrievalModel",
    "Vocabulary",
    "build_local_features",
    "build_skipthoughts",
    "load_model",
    "load_options",
    "retrieval_metrics",
    "triplet_loss",
]

# imported on first use, so that `import galr` does not wait for torch
_HOMES = {
    "Detections": "galr.local_features.detections",
    "GaLR": "galr.model.retrieval_model",
    "RetrievalModel": "galr.model.retrieval_model",
    "Options": "galr.options",
    "Vocabulary": "galr.data.vocabulary",
    "build_local_features": "galr.local_features.drea",
    "build_skipthoughts": "galr.model.skipthoughts",
    "load_model": "galr.model.build",
    "load_options": "galr.options",
    "retrieval_metrics": "galr.metrics.retrieval",
    "triplet_loss": "galr.training.loss",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name not in _HOMES:
        raise AttributeError(f"module 'galr' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
