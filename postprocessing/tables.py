"""Tables of plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

DIRECTIONS = ("image to text", "text to image")
COLUMNS = {
    f"{direction}_{key}": title
    for direction in ("i2t", "t2i")
    for key, title in (("r1", "R@1"), ("r5", "R@5"), ("r10", "R@10"), ("medr", "med"))
}


def aligned(rows: Iterable[Sequence[str]], groups: Sequence[tuple[str, int]] = ()) -> str:
    """``rows`` as lines, the first column aligned left and the others right.

    ``groups``: headings above the columns after the first, each with the number of columns it
    spans.
    """
    cells = [list(row) for row in rows]
    first, *widths = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [
        f"{row[0]:{first}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        for row in cells
    ]
    heading, start = " " * first, 0
    for title, columns in groups:
        width = sum(widths[start : start + columns]) + 2 * columns
        heading, start = heading + f"{title:^{width}}", start + columns
    return "\n".join(line.rstrip() for line in ([heading] if groups else []) + lines)


def recall_table(rows: Mapping[str, Mapping[str, float]], title: str = "") -> str:
    """Recall@k and mR in percent, and median ranks, of both directions."""
    keys = (*COLUMNS, "mR")
    body = [[name, *(f"{metrics[key]:.2f}" for key in keys)] for name, metrics in rows.items()]
    header = [title, *COLUMNS.values(), "mR"]
    return aligned([header, *body], [(name, len(COLUMNS) // 2) for name in DIRECTIONS])
