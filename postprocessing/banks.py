"""Banks: queries and candidates from outside the test part that a re-ranking method may read."""

from __future__ import annotations

from typing import NamedTuple

from galr.metrics.similarities import Array, FeatureProduct, Similarities, as_floats


class Bank(NamedTuple):
    """Similarities of a bank with the C candidates, as matrices or as products of features.

    ``queries`` (B, C): bank items of the queries' modality; ``candidates`` (A, C): of the
    candidates' own modality, read by dual bank normalisation only.
    """

    queries: Array | FeatureProduct
    candidates: Array | FeatureProduct | None = None

    def similarities(self, candidates: int) -> tuple[Similarities, Similarities | None]:
        """Both parts, checked; raises ValueError if one is empty or has other candidates."""
        others = self.candidates
        return (
            _checked("queries", self.queries, candidates),
            None if others is None else _checked("candidates", others, candidates),
        )


def _checked(name: str, part: Array | FeatureProduct, candidates: int) -> Similarities:
    matrix = part if isinstance(part, FeatureProduct) else as_floats(part)
    shape = tuple(matrix.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != candidates:
        raise ValueError(f"bank {name} must be (B, {candidates}), B >= 1, got {shape}")
    return matrix
