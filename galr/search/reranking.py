"""Re-ranking in an open archive: its captions stand for the queries of a test part."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace
from functools import cached_property
from pickle import UnpicklingError
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from galr.common.errors import UserError
from galr.evaluation.reranking import method_settings
from galr.metrics.similarities import FeatureProduct
from galr.search.encoder import Model, comparison_of, rerank_options
from galr.search.images import Images, Numbers
from galr.search.schema import Floats, Manifest
from galr.search.store import Store
from postprocessing.banks import Bank
from postprocessing.explain import explain
from postprocessing.methods import METHODS, order_by

MULTIVARIATE = ("multivariate", "saliency", "rank", "reverse")
# methods for one query and a bank of captions
USABLE = tuple(
    name
    for name, method in METHODS.items()
    if method.bank == "optional" or not (method.transductive or method.bank == "required")
)
SAME = 1 - 1e-6  # cosine similarity of two sentences with the same words
TABLE = "statistics"


class Why(NamedTuple):
    """The weighted terms of the rerank score, and the places behind them, 1 is best."""

    score: float
    saliency: float
    rank: float
    reverse: float
    was: int  # place before rerank
    own_place: int  # of the query among the captions in the image's list


class Corrected(NamedTuple):
    """The score of a method that corrects similarities, and the place before it, 1 is best."""

    score: float
    was: int


class Hit(NamedTuple):
    """An image that was found, its similarity with the query, and what decided its place."""

    number: int
    score: float
    why: Why | Corrected | None = None


class Reranking:
    """Orders images for a sentence; ``references`` (C, D) are the captions of the archive."""

    def __init__(
        self, store: Store, manifest: Manifest, images: Images, model: Model, references: Floats
    ) -> None:
        """Raises UserError where there are no captions."""
        if not len(references):
            what = "has no captions, which re-ranking needs"
            remedy = "add some: run the index command again with --captions FILE"
            raise UserError(store.address, what, remedy)
        self.store, self.images, self.model, self.references = store, images, model, references
        versions = manifest.versions
        self._stamp = f"images {versions['images']} captions {versions.get('captions')}"

    def multivariate(self, query: Floats, nearest: Numbers, method: str) -> list[Hit]:
        """The images ``nearest`` to a sentence's embedding (D,), in the order of the paper's score.

        ``method``: the whole score, or one of its terms. An image's list, which saliency and
        reverse rank are taken from, holds the reference captions and the query.
        """
        if not len(nearest):
            return []
        # where the sentence is itself a reference, it is in the lists once
        lengths = np.linalg.norm(self.references, axis=1) * np.linalg.norm(query)
        others = self.references[self.references @ query < SAME * lengths]
        lists = self._with(np.concatenate([others, query[None]]), self.images.vectors(nearest))[:]
        settings = method_settings(rerank_options(self.model), method)
        weighted = replace(settings.weighted(), k=len(nearest), ties="stable")
        found = []
        for one in explain(lists, len(others), weighted):
            why = Why(*(getattr(one, name) for name in Why._fields))
            found.append(Hit(int(nearest[one.candidate]), one.similarity, why))
        return found

    def corrected(self, query: Floats, k: int, method: str) -> list[Hit]:
        """The k best images for a sentence's embedding (D,) by a method that corrects similarities.

        The references are the bank. What the method reads of it is computed for all images with the
        first query, and kept in the archive. Raises UserError for a method that reads other
        queries, or a bank of images.
        """
        if method not in USABLE:
            what = f"unknown method {method!r}"
            if method in METHODS:
                read = "other queries" if METHODS[method].transductive else "a bank of images"
                what = f"{method} needs {read}, but a search has one query and a bank of captions"
            raise UserError("--rerank", what, f"use {', '.join(USABLE)}")
        vectors = self.images.all_vectors
        settings = method_settings(rerank_options(self.model), method)
        similarity, before = self._with(query[None], vectors), set(self.statistics)
        bank = Bank(self._with(self.references, vectors))
        order = order_by(similarity, settings, bank, cache=self.statistics)
        if set(self.statistics) - before:
            self._keep(self.statistics)
        plain = similarity[:][0].numpy().astype(np.float64)
        found = []
        for number, score in zip(*(part[0].tolist() for part in order.best(k)), strict=True):
            was = 1 + int((plain > plain[number]).sum())
            found.append(Hit(number, float(plain[number]), Corrected(score, was)))
        return found

    def _with(self, texts: Floats, images: Floats) -> FeatureProduct:
        """Similarities (C, I) of sentences' embeddings (C, D) with images' (I, D)."""
        return FeatureProduct(images, texts, comparison_of(self.model)).T

    @cached_property
    def statistics(self) -> dict[str, Tensor]:
        """What methods have read of the bank so far, by name; each (I,)."""
        with contextlib.suppress(UserError, KeyError, IndexError, RuntimeError, UnpicklingError):
            row = self.store.rows(TABLE).to_pylist()[0]
            if row["of"] == self._stamp:
                read: dict[str, Tensor] = torch.load(io.BytesIO(row["data"]), weights_only=True)
                return read
        return {}  # they are made again

    def _keep(self, statistics: dict[str, Tensor]) -> None:
        content = io.BytesIO()
        torch.save(statistics, content)
        blob = pa.array([content.getvalue()], pa.large_binary())
        with contextlib.suppress(UserError):  # an archive that may not be written to goes without
            self.store.replace(TABLE, pa.table({"of": [self._stamp], "data": blob}))
