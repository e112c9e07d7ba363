"""The images that a query found, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.search.archive import Archive, Match

TILE, GAP, LINE = 224, 12, 18  # pixels
INK, PAPER, FRAME = (25, 25, 25), (255, 255, 255), (200, 200, 200)


def contact_sheet(
    archive: Archive, matches: Sequence[Match], title: str = "", columns: int = 5
) -> Image.Image:
    """The matches in rows, each with rank, score and name below it; the title above."""
    columns = max(1, min(columns, len(matches)))
    rows = math.ceil(len(matches) / columns)
    top = GAP + (LINE + GAP if title else 0)
    wide = GAP + columns * (TILE + GAP)
    sheet = Image.new("RGB", (wide, top + rows * (TILE + 2 * LINE + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    draw.text((GAP, GAP), _cut(draw, title, font, wide - 2 * GAP), INK, font)
    for place, match in enumerate(matches):
        left = GAP + place % columns * (TILE + GAP)
        upper = top + place // columns * (TILE + 2 * LINE + GAP)
        draw.rectangle((left, upper, left + TILE - 1, upper + TILE - 1), outline=FRAME)
        try:
            tile = archive.image(match.number)
        except UserError:  # the rest of the sheet is still worth seeing
            draw.text((left + GAP, upper + GAP), "cannot be read", INK, font)
        else:
            tile = ImageOps.contain(tile, (TILE, TILE))
            sheet.paste(tile, (left + (TILE - tile.width) // 2, upper + (TILE - tile.height) // 2))
        draw.text((left, upper + TILE + 2), f"{match.rank}.  {match.score:.3f}", INK, font)
        draw.text((left, upper + TILE + LINE), _cut(draw, match.name, font, TILE), INK, font)
    return sheet


def write_sheet(path: str | Path, sheet: Image.Image) -> None:
    """Writes a PNG, atomically."""
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _cut(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    wide: int,
) -> str:
    """The text, its end cut off where it is wider than ``wide`` pixels."""
    text = " ".join(text.split())[:300]
    if draw.textlength(text, font) <= wide:
        return text
    while text and draw.textlength(f"{text}...", font) > wide:
        text = text[:-1]
    return f"{text}..."
