"""How a scene is cut into windows, and what of a map is a region."""

from __future__ import annotations

from dataclasses import dataclass

SIDES = (256, 512, 768)
OVERLAP = 0.5
THRESHOLD = 0.75


@dataclass(frozen=True)
class WindowSettings:
    """Sides in pixels, overlap of neighbours as a share of the side, threshold in 0..1.

    ``dense``: overlapping windows share the backbone's maps.
    """

    sides: tuple[int, ...] = SIDES
    overlap: float = OVERLAP
    threshold: float = THRESHOLD
    dense: bool = False
