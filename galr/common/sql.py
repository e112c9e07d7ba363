"""Texts and conditions as SQL has them."""

from __future__ import annotations

import re
from itertools import accumulate

_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")


def quoted(*texts: str) -> str:
    """Texts as SQL has them, with commas between."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def check_brackets(condition: str) -> None:
    """ValueError for one that closes those around it: the store ignores what follows."""
    brackets = re.findall(r"[()]", _QUOTED.sub("", condition))
    if min(accumulate(1 if one == "(" else -1 for one in brackets), default=0) < 0:
        raise ValueError("it closes a bracket that it has not opened")


def overlaps(west: float, south: float, east: float, north: float) -> str:
    """The condition that the columns of these names share ground with this box, in degrees."""
    east = east + 360 if east < west else east
    across = " OR ".join(
        f"(west <= {east - turn} AND east >= {west - turn})" for turn in (-360, 0, 360)
    )
    return f"({across}) AND south <= {north} AND north >= {south}"
