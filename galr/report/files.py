"""The figures of a report: each a PNG, an SVG, a CSV of its numbers, and its HTML."""

from __future__ import annotations

import base64
import contextlib
import csv
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from galr.common.atomic import atomic_path, write_text
from galr.report.page import part

DPI = 120
MOST_BYTES = 300_000  # of a picture inside the page; larger ones (photographs) go in as JPEG


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """While it lasts, matplotlib takes texts as they are and draws the same bytes each time."""
    settings: dict[Any, Any] = {
        "text.parse_math": False,
        "svg.hashsalt": "galr",
        "axes.axisbelow": True,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # names of classes may be in a script that the font lacks: boxes stand in their place
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


class ReportFiles:
    """Writes into one folder what the page shows."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def numbers(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Writes NAME.csv; numbers keep all their digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        write_text(self.folder / f"{name}.csv", text.getvalue())

    def figure(
        self,
        name: str,
        figure: Figure,
        caption: str,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
    ) -> Markup:
        """Writes NAME.png, .svg and .csv; the HTML with the figure inside."""

        def save(path: Path) -> None:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="png", dpi=DPI)
            figure.set_layout_engine("none")  # laid out once is enough, and half of the work
            with atomic_path(path.with_suffix(".svg")) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None})

        return self.picture(name, save, caption, header, rows)

    def picture(
        self,
        name: str,
        draw: Callable[[Path], None],
        caption: str,
        header: Sequence[str],
        rows: Iterable[Sequence[object]],
    ) -> Markup:
        """The same of what ``draw`` writes to the path of a PNG."""
        self.numbers(name, header, rows)
        path = self.folder / f"{name}.png"
        draw(path)
        written = f"{self.folder.name}/{name}.png, {name}.csv"
        return part("figure", _embedded(path), caption, written)


def data_address(content: bytes, kind: str) -> str:
    """The bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg_address(image: Image.Image) -> str:
    """An RGB image as an address that holds it."""
    content = io.BytesIO()
    image.save(content, format="JPEG", quality=82)
    return data_address(content.getvalue(), "image/jpeg")


def _embedded(path: Path) -> str:
    content = path.read_bytes()
    if len(content) <= MOST_BYTES:
        return data_address(content, "image/png")
    with Image.open(io.BytesIO(content)) as image:
        return jpeg_address(image.convert("RGB"))
