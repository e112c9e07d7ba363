"""Approximate search by faiss: HNSW, a graph of neighbours, and IVF-PQ, coarse cells and codes.

What faiss finds is a choice of rows. Their scores are computed anew from the embeddings, so that
the scores are exact and only a row may be missing.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.search.exact import Found, best
from galr.search.storage import DAMAGED, Floats

NEIGHBOURS = 16  # of a node of the graph
BUILD_BREADTH = 64  # nodes looked at to place a new one
LEAST_IVFPQ = 10_000  # images: with fewer there is nothing to train the codes on
TRAINED_A_CELL = 64  # images, of which the cells are learnt
TRAINED_A_CODE = 64  # images, of which the codes are learnt: what they find is scored anew
CODE_ROUNDS = 10
MOST_CODES = 64  # bytes an image
CHUNK = 1 << 16

# how many rows are looked at for a query; more is slower and misses less
HNSW_BREADTH = 256
IVF_CELLS_SHARE = 1 / 32
CANDIDATES = 10  # times k, whose scores are computed exactly


def import_faiss() -> Any:  # noqa: ANN401 - a module without types
    """The package faiss, which is optional; UserError where it is not installed."""
    # it tells of every build for another processor that it does not have
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    try:
        import faiss
    except ImportError:
        raise UserError(
            "faiss",
            "is not installed, but --kind hnsw and ivfpq need it",
            "pip install faiss-cpu, or use --kind flat, which is exact",
        ) from None
    return faiss


def write_index(path: Path, kind: Literal["hnsw", "ivfpq"], embeddings: Floats) -> None:
    """The approximate index of embeddings (I, D); raises UserError where they are too few."""
    faiss = import_faiss()
    index = _hnsw(faiss, embeddings) if kind == "hnsw" else _ivfpq(faiss, embeddings)
    for start in range(0, len(embeddings), CHUNK):
        index.add(np.ascontiguousarray(embeddings[start : start + CHUNK]))
    with atomic_path(path) as temporary:
        faiss.write_index(index, str(temporary))


def too_few(images: int) -> UserError:
    """The error for an index of ``ivfpq`` that has nothing to train its codes on."""
    return UserError(
        "--kind ivfpq",
        f"needs at least {LEAST_IVFPQ} images, got {images}",
        "use --kind flat, which is exact and fast at this size",
    )


class Approximate:
    """Searches a file of ``write_index``; the embeddings (I, D) are those it was made of."""

    def __init__(self, path: Path, embeddings: Floats) -> None:
        faiss = import_faiss()
        self.embeddings = embeddings
        try:
            self.index = _mapped(faiss, path)
        except RuntimeError:
            raise UserError(path, "is missing or damaged", DAMAGED) from None
        if self.index.ntotal != len(embeddings) or self.index.d != embeddings.shape[1]:
            raise UserError(path, "belongs to another archive", DAMAGED)
        self.ivf = faiss.try_extract_index_ivf(self.index)
        if self.ivf is None:
            self.index.hnsw.efSearch = HNSW_BREADTH
        else:
            self.ivf.nprobe = max(8, round(self.ivf.nlist * IVF_CELLS_SHARE))

    def search(self, queries: Floats, k: int) -> Found:
        """queries (Q, D) -> K rows of each, best first; fewer where faiss found fewer for any."""
        wanted = min(max(CANDIDATES * k, 100), len(self.embeddings))
        if self.ivf is None:
            self.index.hnsw.efSearch = max(HNSW_BREADTH, wanted)
        _, rows = self.index.search(np.ascontiguousarray(queries), wanted)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for own_rows, own_scores, query in zip(rows, scores, queries, strict=True):
            found = own_rows >= 0  # -1 where the cells held fewer
            own_scores[found] = self.embeddings[own_rows[found]] @ query
        kept = best(rows, scores, k)
        full = np.isfinite(kept.scores).all(axis=0)
        return Found(kept.rows[:, full], kept.scores[:, full])


def _mapped(faiss: Any, path: Path) -> Any:  # noqa: ANN401 - a module without types
    """The index, of which codes and graph stay on the disk and are read as they are asked for."""
    if path.name.startswith("hnsw"):
        # older versions of faiss can map the codes of IVF only, and read this one into memory
        return faiss.read_index(str(path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)


def _hnsw(faiss: Any, embeddings: Floats) -> Any:  # noqa: ANN401 - a module without types
    index = faiss.IndexHNSWFlat(embeddings.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_BREADTH
    return index


def _ivfpq(faiss: Any, embeddings: Floats) -> Any:  # noqa: ANN401 - a module without types
    images, dim = embeddings.shape
    if images < LEAST_IVFPQ:
        raise too_few(images)
    cells = 1 << round(math.log2(2 * math.sqrt(images)))
    codes = next(number for number in range(min(MOST_CODES, dim), 0, -1) if dim % number == 0)
    index = faiss.index_factory(dim, f"IVF{cells},PQ{codes}", faiss.METRIC_INNER_PRODUCT)
    index.do_polysemous_training = False  # minutes, for a short cut that is not taken here
    coder = index.pq.cp
    coder.niter, coder.max_points_per_centroid = CODE_ROUNDS, TRAINED_A_CODE
    chosen = np.random.default_rng(0).permutation(images)[: max(cells * TRAINED_A_CELL, 16_384)]
    index.train(np.ascontiguousarray(embeddings[np.sort(chosen)]))
    return index
