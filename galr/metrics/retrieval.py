"""Recall, median rank and mean rank of retrieval in both directions.

A rank counts the wrong candidates that score at least as much as the query's best right one:
1 is best, and ties count against the query.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from galr.metrics.similarities import (
    Array,
    FeatureProduct,
    as_floats,
    as_tensor,
    even_blocks,
)

BLOCK_NUMBERS = 1 << 22  # similarities that are compared at a time; 16 MiB in float32
RECALLS_AT = (1, 5, 10)


class Ranks(NamedTuple):
    """Rank of each query's best right candidate, 1 is best: i2t (I,), t2i (C,) int64."""

    i2t: Tensor
    t2i: Tensor


class Pairs(NamedTuple):
    """The right (caption, image) pairs: two int64 tensors (P,), ordered by caption."""

    caption: Tensor
    image: Tensor


class Rows(Protocol):
    """Scores (Q, C) of which rows can be read: a matrix, features, or what is made of them."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(Q, C)."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """The block (rows, C)."""


class Reranked(Protocol):
    """A direction's reranked candidates, best first, as postprocessing.rerank gives them."""

    @property
    def candidates(self) -> Array:
        """Candidate indices (Q, K) int64."""

    @property
    def scores(self) -> Array:
        """Their scores (Q, K), falling along a row."""


def retrieval_metrics(
    similarity: Array | FeatureProduct,
    caption_to_image: Array,
    *,
    caption_group: Array | None = None,
) -> dict[str, float]:
    """Recalls in percent, median and mean rank of both directions, and the recalls' mean, mR.

    similarity (I, C), caption_to_image (C,), caption_group (C,) equal for equal texts, see
    ``right_pairs`` -> keys i2t_r1 i2t_r5 i2t_r10 i2t_medr i2t_meanr, the same with t2i, mR.
    Raises ValueError on shapes that do not fit, NaN, and images without a caption.
    """
    return metrics_of_ranks(retrieval_ranks(similarity, caption_to_image, caption_group))


def retrieval_ranks(
    similarity: Array | FeatureProduct,
    caption_to_image: Array,
    caption_group: Array | None = None,
) -> Ranks:
    """Ranks of both directions in the plain order; arguments as for ``retrieval_metrics``."""
    if not isinstance(similarity, FeatureProduct):
        similarity = as_floats(similarity)
        if similarity.ndim != 2:
            raise ValueError(f"similarity must be (I, C), got shape {tuple(similarity.shape)}")
    images, captions = similarity.shape
    shape = tuple(as_tensor(caption_to_image).shape)
    if shape != (captions,):
        raise ValueError(
            f"caption_to_image must be ({captions},) for similarity {(images, captions)}, "
            f"got {shape}"
        )
    pairs = right_pairs(caption_to_image, images, caption_group, similarity.device)
    by_image = torch.argsort(pairs.image, stable=True)
    return Ranks(
        i2t=best_ranks(similarity, pairs.image[by_image], pairs.caption[by_image]),
        t2i=best_ranks(similarity.T, pairs.caption, pairs.image),
    )


def right_pairs(
    caption_to_image: Array,
    images: int,
    caption_group: Array | None = None,
    device: torch.device | str = "cpu",
) -> Pairs:
    """The pairs (caption, image) that count as right.

    Without ``caption_group`` (C,) these are a caption and its own image. With it (captions of the
    same text share a number, see ``annotations.caption_groups``), a caption and every image that
    carries its text: any of those images is a right answer to the caption, and the caption is one
    to each.
    """
    image = _checked_images(caption_to_image, images)
    if caption_group is None:
        return Pairs(torch.arange(len(image), device=device), image.to(device))
    group = as_tensor(caption_group).cpu()
    if group.shape != image.shape:
        raise ValueError(
            f"caption_group must be {tuple(image.shape)} like caption_to_image, "
            f"got {tuple(group.shape)}"
        )
    group = torch.unique(group, return_inverse=True)[1]
    carried = torch.unique(torch.stack((group, image)), dim=1)  # (2, distinct), by group
    counts = torch.bincount(carried[0])  # images a group
    first = torch.cumsum(counts, 0) - counts
    # caption c takes the images first[g] .. first[g] + counts[g] of its group g
    caption = torch.repeat_interleave(counts[group])
    step = torch.arange(len(caption)) - torch.searchsorted(caption, caption)
    return Pairs(caption.to(device), carried[1][first[group[caption]] + step].to(device))


def _checked_images(caption_to_image: Array, images: int) -> Tensor:
    image = as_tensor(caption_to_image).cpu()
    if image.ndim != 1 or image.is_floating_point() or image.dtype == torch.bool:
        raise ValueError(
            f"caption_to_image must be (C,) integers, got {tuple(image.shape)} {image.dtype}"
        )
    image = image.long()
    if images == 0:
        raise ValueError("there are no images")
    if len(image) and (int(image.min()) < 0 or int(image.max()) >= images):
        raise ValueError(
            f"caption_to_image must lie in 0..{images - 1}, "
            f"got {int(image.min())}..{int(image.max())}"
        )
    bare = (torch.bincount(image, minlength=images) == 0).nonzero()
    if len(bare):
        raise ValueError(f"every image needs at least one caption: image {int(bare[0])} has none")
    return image


def best_ranks(similarity: Rows, query: Tensor, candidate: Tensor) -> Tensor:
    """Rank of each query's best right candidate among the wrong ones.

    similarity (Q, C); query, candidate (P,) the right pairs, ordered by query, at least one a
    query -> (Q,) int64. Raises ValueError on NaN.
    """
    queries, candidates = similarity.shape
    ranks = torch.empty(queries, dtype=torch.int64, device=query.device)
    for rows in even_blocks(queries, BLOCK_NUMBERS // candidates):
        scores = similarity[rows]  # (b, C)
        if bool(scores.isnan().any()):
            raise ValueError("similarity holds NaN; ranks need numbers that can be ordered")
        edges = torch.tensor([rows.start, rows.stop], device=query.device)
        own = slice(*torch.searchsorted(query, edges).tolist())
        row = query[own] - rows.start
        right = scores[row, candidate[own]]
        best = torch.full_like(scores[:, 0], -torch.inf).scatter_reduce(0, row, right, "amax")
        # right candidates that reach the best are no competitors
        own_best = torch.bincount(row[right >= best[row]], minlength=len(scores))
        ranks[rows] = 1 + (scores >= best[:, None]).sum(dim=1) - own_best
    return ranks


def reranked_ranks(
    plain: Ranks,
    i2t: Reranked,
    t2i: Reranked,
    caption_to_image: Array,
    *,
    caption_group: Array | None = None,
) -> Ranks:
    """The ranks after rerank, without a dense matrix.

    ``plain`` are the ranks before (``retrieval_ranks``, with the same caption_group); i2t
    (I, K) and t2i (C, K) the reranked candidates. A query whose right candidates are all beyond
    its K keeps its plain rank.
    """
    pairs = right_pairs(caption_to_image, len(plain.i2t), caption_group)
    return Ranks(
        i2t=head_ranks(i2t, plain.i2t, pairs.image, pairs.caption, len(plain.t2i)),
        t2i=head_ranks(t2i, plain.t2i, pairs.caption, pairs.image, len(plain.i2t)),
    )


def head_ranks(
    reranked: Reranked, plain: Tensor, query: Tensor, candidate: Tensor, candidates: int
) -> Tensor:
    """One direction's ranks (Q,) after rerank; ``plain`` (Q,) are those before.

    query, candidate (P,) are the right pairs, ``candidates`` how many there are. Raises ValueError
    on shapes that do not fit.
    """
    chosen, scores = as_tensor(reranked.candidates).cpu(), as_tensor(reranked.scores).cpu()
    if chosen.shape != scores.shape or len(chosen) != len(plain):
        raise ValueError(
            f"reranked candidates and scores must be ({len(plain)}, K), "
            f"got {tuple(chosen.shape)} and {tuple(scores.shape)}"
        )
    keys = torch.sort(query * candidates + candidate).values  # a number a right pair
    wanted = torch.arange(len(chosen))[:, None] * candidates + chosen
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    right = keys[place] == wanted  # (Q, K)
    best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
    ranks = 1 + ((scores >= best) & ~right).sum(dim=1)
    return torch.where(right.any(dim=1), ranks, plain.cpu())


def metrics_of_ranks(ranks: Ranks) -> dict[str, float]:
    """The table's numbers; medr is the median rounded down, as in the published tables."""
    metrics: dict[str, float] = {}
    recalls: list[float] = []
    for direction, values in ranks._asdict().items():
        array = values.cpu().numpy()
        for k in RECALLS_AT:
            metrics[f"{direction}_r{k}"] = float(100.0 * np.mean(array <= k))
            recalls.append(metrics[f"{direction}_r{k}"])
        metrics[f"{direction}_medr"] = float(np.floor(np.median(array)))
        metrics[f"{direction}_meanr"] = float(np.mean(array))
    metrics["mR"] = float(np.mean(recalls))
    return metrics
