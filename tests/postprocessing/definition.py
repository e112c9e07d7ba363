"""The rerank formula as a direct loop, the truth that the fast form is compared with."""

import math

import numpy as np


def loop_rerank(
    similarity,
    k=30,
    w_saliency=0.3,
    w_rank=1.0,
    w_reverse=1.1,
    xi=0.05,
    reverse="relative",
    l=None,  # noqa: E741 - the paper's letter
    ties="stable",
):
    """One query and one candidate at a time: candidates (Q, K) and float64 scores (Q, K)."""
    s = np.asarray(similarity).astype(np.float64)
    queries, candidates = s.shape
    found, scores = [], []
    for q in range(queries):
        best = sorted(range(candidates), key=lambda c: (-s[q, c], c))[:k]
        reverse_ranks = [
            sorted(range(queries), key=lambda other: (-s[other, c], other)).index(q) for c in best
        ]
        places = list(reverse_ranks)
        if reverse == "relative":
            kind = "stable" if ties == "stable" else None
            order = np.argsort(np.array(reverse_ranks), kind=kind).tolist()
            places = [order.index(j) for j in range(len(best))]
        own = []
        for rank, (c, place) in enumerate(zip(best, places, strict=True)):
            total = sum(s[other, c] for other in range(queries))
            worth = math.exp(-xi * (place + 1))
            if reverse == "absolute" and l is not None and place >= l:
                worth = 0.0
            saliency = s[q, c] / total if total != 0 else 0.0
            own.append(
                w_saliency * saliency + w_rank * math.exp(-xi * (rank + 1)) + w_reverse * worth
            )
        order = sorted(range(len(best)), key=lambda j: (-own[j], j))
        found.append([best[j] for j in order])
        scores.append([own[j] for j in order])
    return np.array(found), np.array(scores)
