"""Multivariate re-ranking: the public functions, and a command (``__main__``)."""

from __future__ import annotations

from postprocessing.multivariate import Reranked, RerankSettings, rerank, rerank_features

__all__ = ["RerankSettings", "Reranked", "rerank", "rerank_features"]
