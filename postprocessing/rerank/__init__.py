"""Multivariate re-ranking: the public functions, and a command (``__main__``)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from postprocessing.multivariate import Reranked, rerank, rerank_features
    from postprocessing.settings import RerankSettings

__all__ = ["RerankSettings", "Reranked", "rerank", "rerank_features"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    # on first use, so that the command's --help does not wait for torch
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("postprocessing.multivariate"), name)
