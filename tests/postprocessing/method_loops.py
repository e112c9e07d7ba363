"""Each re-ranking method as a direct loop over its formula, the truth for the fast forms."""

import math

from tests.postprocessing.definition import loop_rerank


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def largest(values, k):
    return sorted(values, reverse=True)[:k]


def best(row, k=1):
    return sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]


def inverted(s, q, c, lists, beta):
    return math.exp(beta * s[q][c]) / sum(math.exp(beta * row[c]) for row in lists)


def score(method, s, q, c, bank, others, *, beta, neighbours, alpha, activation):
    """Score of one pair; s (Q, C), bank (B, C), others (A, C), as lists of lists."""
    own, lists = s[q][c], s if bank is None else bank
    if method == "none":
        return own
    if method == "inverted_softmax":
        return math.log(inverted(s, q, c, lists, beta))
    if method == "qb_norm":
        active = any(best(s[q])[0] in best(row, activation) for row in lists)
        return math.log(inverted(s, q, c, lists, beta)) if active else own
    if method == "dual_softmax":
        return own * inverted(s, q, c, s, beta)
    if method == "csls":
        theirs = mean(largest([row[c] for row in lists], neighbours))
        return 2 * own - mean(largest(s[q], neighbours)) - theirs
    if method == "nnn":
        return own - alpha * mean(largest([row[c] for row in lists], neighbours))
    if method == "dual_bank":
        first, second = (inverted(s, q, c, rows, beta) for rows in (lists, others))
        return math.log(first) + math.log(second)
    raise ValueError(method)


def scores(method, s, bank=None, others=None, **numbers):
    """Scores (Q, C) of every pair."""
    s, bank, others = (None if m is None else m.tolist() for m in (s, bank, others))
    return [
        [score(method, s, q, c, bank, others, **numbers) for c in range(len(s[0]))]
        for q in range(len(s))
    ]


def loop_with_bank(s, bank, **settings):
    """The multivariate score of each query as if it stood before the bank, and nobody else."""
    found = []
    for row in s:
        candidates, values = loop_rerank([row, *bank], **settings)
        found.append((candidates[0], values[0]))
    return [list(part) for part in zip(*found, strict=True)]
