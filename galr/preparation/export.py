"""A data folder as a table that any program opens."""

from __future__ import annotations

import csv
from pathlib import Path

from galr.common.atomic import atomic_path
from galr.data.annotations import read_annotations


def export_captions(folder: str | Path, out: str | Path) -> int:
    """Writes image, caption and split of every caption as CSV, or TSV by its suffix; their count.

    Raises UserError for a folder that is no data folder.
    """
    folder, out = Path(folder), Path(out)
    parts = [
        read_annotations(folder, split, empty_captions=0)
        for split in ("train", "val", "test")
        if (folder / f"{split}_caps.txt").is_file() or split == "train"
    ]
    delimiter = "\t" if out.suffix.lower() in (".tsv", ".tab") else ","
    with (
        atomic_path(out) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        table.writerow(("image", "caption", "split"))
        for part in parts:
            names = (part.images[image] for image in part.caption_to_image.tolist())
            rows = zip(names, part.captions, strict=True)
            table.writerows((name, caption, part.split) for name, caption in rows)
    return sum(len(part.captions) for part in parts)
