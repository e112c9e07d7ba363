"""Images and captions that take no part: named on the screen and in left_out.tsv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from galr.common.atomic import atomic_path
from galr.preparation.gather import Gathered, LeftOut

SHOWN = 5  # names in a line

LEFT_OUT = "left_out.tsv"  # in the data folder


def say_left_out(gathered: Gathered, left_out: Sequence[LeftOut], said: list[str]) -> None:
    """Adds a line to ``said`` for each reason, with the first names and their number."""
    for what, listed in (
        ("left out, without a caption", [one.name for one in gathered.bare]),
        ("left out, missing or damaged", [one.name for one in left_out]),
        ("images that no caption is about", gathered.unnamed),
    ):
        if listed:
            more = ", ..." if len(listed) > SHOWN else ""
            said.append(f"{what}: {len(listed):,}: {', '.join(listed[:SHOWN])}{more}")
    if gathered.empty:
        said.append(f"left out: {gathered.empty:,} empty captions of images that have others")


def write_left_out(path: Path, left_out: Iterable[LeftOut]) -> list[str]:
    """A line an image that takes no part, with the reason; no file where there is none."""
    lines = ["\t".join((one.name, one.place, " ".join(one.why.split()))) for one in left_out]
    if not lines:
        path.unlink(missing_ok=True)
        return []
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [f"{path}: {len(lines):,} skipped images, with reasons"]
