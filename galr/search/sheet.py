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
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)

    def write(left: int, upper: int, text: str, most: int = TILE) -> None:
        text = whole = " ".join(text.split())[:300]
        while text and draw.textlength(text if text == whole else f"{text}...", font) > most:
            text = text[:-1]
        draw.text((left, upper), text if text == whole else f"{text}...", INK, font)

    write(GAP, GAP, title, wide - 2 * GAP)
    for place, match in enumerate(matches):
        left = GAP + place % columns * (TILE + GAP)
        upper = top + place // columns * (TILE + 2 * LINE + GAP)
        draw.rectangle((left, upper, left + TILE - 1, upper + TILE - 1), outline=FRAME)
        try:
            shown = ImageOps.contain(archive.image(match.number), (TILE, TILE))
        except UserError:  # the rest of the sheet is still worth seeing
            write(left + GAP, upper + GAP, "cannot be read")
        else:
            middle = left + (TILE - shown.width) // 2, upper + (TILE - shown.height) // 2
            sheet.paste(shown, middle)
        write(left, upper + TILE + 2, f"{match.rank}.  {match.score:.3f}")
        write(left, upper + TILE + LINE, match.name)
    return sheet


def write_sheet(path: str | Path, sheet: Image.Image) -> None:
    """Writes a PNG, atomically."""
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
