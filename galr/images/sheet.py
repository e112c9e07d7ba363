"""Images with some words on each, on one sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from galr.common.errors import UserError

TILE, GAP, LINE = 224, 12, 18  # pixels
INK, PAPER, FRAME = (25, 25, 25), (255, 255, 255), (200, 200, 200)

Entry = tuple[Callable[[], Image.Image], str, str]
"""What opens an image, and the two lines below it."""


def sheet_of(entries: Sequence[Entry], title: str = "", columns: int = 5) -> Image.Image:
    """The images in rows with their lines, the title above; one that cannot be opened says so."""
    columns = max(1, min(columns, len(entries)))
    rows = math.ceil(len(entries) / columns)
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
    for place, (opened, first, second) in enumerate(entries):
        left = GAP + place % columns * (TILE + GAP)
        upper = top + place // columns * (TILE + 2 * LINE + GAP)
        draw.rectangle((left, upper, left + TILE - 1, upper + TILE - 1), outline=FRAME)
        try:
            shown = ImageOps.contain(opened(), (TILE, TILE))
        except UserError:  # the rest of the sheet is still worth seeing
            write(left + GAP, upper + GAP, "cannot be read")
        else:
            middle = left + (TILE - shown.width) // 2, upper + (TILE - shown.height) // 2
            sheet.paste(shown, middle)
        write(left, upper + TILE + 2, first)
        write(left, upper + TILE + LINE, second)
    return sheet
