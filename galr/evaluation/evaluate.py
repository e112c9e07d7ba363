"""From the similarities of images and captions to recall@k, without and with re-ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from galr.data.annotations import Annotations
from galr.evaluation.reranking import FoldRerank
from galr.evaluation.results import Metrics, VariantMetrics
from galr.metrics.retrieval import metrics_of_ranks, retrieval_metrics
from galr.metrics.similarities import Array, FeatureProduct
from galr.options import RerankOptions
from postprocessing.methods import MethodSettings
from postprocessing.task import RetrievalTask
from postprocessing.terms import RerankSettings
