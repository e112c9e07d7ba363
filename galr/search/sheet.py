"""The images that a query found, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PIL import Image

from galr.images.sheet import sheet_of
from galr.search.archive import Archive, Match


def contact_sheet(archive: Archive, matches: Sequence[Match], title: str = "") -> Image.Image:
    """The matches in rows, each with rank, score and name below it; the title above."""
    entries = [
        (partial(archive.image, match.number), f"{match.rank}.  {match.score:.3f}", match.name)
        for match in matches
    ]
    return sheet_of(entries, title)
