"""Metrics of 1,000 small cases with ties beside the definition, one query at a time."""

import math

import numpy as np

from galr.metrics.retrieval import retrieval_metrics


def ranks_of(similarity, right):
    """The rank of each row's best right candidate, behind every wrong one that scores as much."""
    ranks = []
    for scores, is_right in zip(similarity, right, strict=True):
        best = max(s for s, r in zip(scores, is_right, strict=True) if r)
        ranks.append(1 + sum(s >= best for s, r in zip(scores, is_right, strict=True) if not r))
    return ranks


def metrics_of(similarity, owner, group):
    images, captions = similarity.shape
    texts = [{group[c] for c in range(captions) if owner[c] == i} for i in range(images)]
    right = [[group[c] in texts[i] for c in range(captions)] for i in range(images)]
    found, recalls = {}, []
    for name, ranks in (
        ("i2t", ranks_of(similarity.tolist(), right)),
        ("t2i", ranks_of(similarity.T.tolist(), list(zip(*right, strict=True)))),
    ):
        for k in (1, 5, 10):
            found[f"{name}_r{k}"] = 100 * sum(rank <= k for rank in ranks) / len(ranks)
            recalls.append(found[f"{name}_r{k}"])
        ordered, half = sorted(ranks), len(ranks) // 2
        middle = ordered[half] if len(ranks) % 2 else (ordered[half - 1] + ordered[half]) / 2
        found[f"{name}_medr"] = math.floor(middle)
        found[f"{name}_meanr"] = sum(ranks) / len(ranks)
    return found | {"mR": sum(recalls) / 6}


def test_a_thousand_cases_with_ties_have_the_metrics_of_the_definition():
    tied = 0
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        images = int(rng.integers(1, 7))
        captions = images + int(rng.integers(0, 9))
        similarity = rng.integers(0, rng.integers(1, 6), (images, captions)) / 4
        tied += len(np.unique(similarity)) < similarity.size
        owner = np.concatenate([np.arange(images), rng.integers(0, images, captions - images)])
        rng.shuffle(owner)
        texts = rng.integers(0, rng.integers(1, captions + 1), captions)
        for group, given in ((np.arange(captions), None), (texts, texts)):
            found = retrieval_metrics(similarity, owner, caption_group=given)
            expected = metrics_of(similarity, owner, group)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert math.isclose(found[name], value, abs_tol=1e-9), (seed, name)
    assert tied > 950
