"""Random choices among words.

``choice`` and ``permutation`` of ``numpy.random.Generator`` turn words into an array first and lose
a Ctrl-C that arrives meanwhile, so that drawing would go on; here they get numbers only.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


def one_of(rng: np.random.Generator, words: Collection[str]) -> str:
    """One of ``words``, each as likely as the others."""
    return tuple(words)[rng.choice(len(words))]


def two_of(rng: np.random.Generator, words: Collection[str]) -> tuple[str, str]:
    """Two different ones of ``words``, in a random order."""
    first, second = rng.choice(len(words), 2, replace=False)
    return tuple(words)[first], tuple(words)[second]


def in_random_order(rng: np.random.Generator, words: Collection[str]) -> list[str]:
    """All of ``words``."""
    return [tuple(words)[index] for index in rng.permutation(len(words))]
