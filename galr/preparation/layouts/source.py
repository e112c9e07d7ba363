"""What somebody gave as captions: found out, said in a line, read as rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from galr.common.errors import UserError
from galr.images.folder import list_files
from galr.local_features.names import IMAGE
from galr.preparation.layouts.embedded import EmbeddedImages, embedded_column, read_embedded
from galr.preparation.layouts.folders import (
    read_classes,
    read_shards,
    read_text_files,
    split_of_folders,
)
from galr.preparation.layouts.json_files import find_layout, load_json
from galr.preparation.layouts.rows import USUAL, Columns, Row, Wanted, split_in_name
from galr.preparation.layouts.tables import (
    find_dialect,
    read_json_lines,
    read_parquet,
    read_table,
)

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet")
SHARDS = (".tar", ".tar.gz", ".tgz")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


class Source(NamedTuple):
    """``rows`` reads the captions; ``said()``, after that, says what they were in a line.

    ``images``: the folder of the images; ``holds_images``: ``rows`` writes them there first.
    ``ties_captions``: whether equal captions say that two images are alike, which those of a
    template do not.
    """

    rows: Iterator[Row]
    said: Callable[[], str]
    images: Path
    holds_images: bool = False
    ties_captions: bool = True


def open_source(
    captions: Path | None,
    images: Path | None,
    unpacked: Path,
    list_images: Callable[[Path], Sequence[str]],
    wanted: Wanted = USUAL,
    templates: Sequence[str] = (),
) -> Source:
    """Finds out the layout of ``captions``, a file or a folder (default: ``images``).

    ``images``: the folder of the images (default: that of the captions); ``unpacked``: where
    images are written that come with their captions; ``list_images`` gives the names of the
    images below a folder. Raises UserError where nothing that is known is found.
    """
    place = captions if captions is not None else images
    if place is None:
        raise UserError("prepare", "there is nothing to read", "give --captions and --images")
    if not place.exists():
        raise UserError(place, "there is no such file or folder", "correct --captions or --images")
    if images is not None and not images.is_dir():
        raise UserError(images, "there is no such image folder", "give it with --images")
    if templates:
        return _classes(images or place, list_images, templates)
    if place.is_file():
        return _files([place], images or place.parent, images, unpacked, wanted, place)
    files = [place / name for name in list_files(place).names if not IMAGE.search(name)]
    shards = [path for path in files if path.name.lower().endswith(SHARDS)]
    if shards:
        rows = read_shards(shards, unpacked, wanted)
        what = f"{place}: {_count(len(shards), 'WebDataset shard')}"
        return Source(rows, lambda: what, unpacked, holds_images=True)
    tables = [path for path in files if path.name.lower().endswith(TABLES)]
    metadata = [path for path in tables if path.name in METADATA]
    if metadata:
        return _metadata(metadata, images or place, wanted, place)
    if tables:
        return _files(tables, images or place, images, unpacked, wanted, place)
    if any(path.suffix.lower() == ".txt" for path in files):
        names = list_images(images or place)
        what = f"{place}: a .txt beside each image"
        return Source(read_text_files(place, names), lambda: what, images or place)
    raise UserError(
        place,
        "holds no captions: no table, no metadata.csv or .jsonl, no .tar, no .txt",
        'name a file by --captions, or give --template "an aerial picture of a {class}"',
    )


def _files(
    paths: list[Path],
    folder: Path,
    images: Path | None,
    unpacked: Path,
    wanted: Wanted,
    place: Path,
) -> Source:
    """Tables; where there are several and all are named after splits, these are the splits."""
    if len(paths) == 1 and paths[0].name.lower().endswith(SHARDS):
        rows = read_shards(paths, unpacked, wanted)
        return Source(rows, lambda: f"{place}: a WebDataset shard", unpacked, holds_images=True)
    splits = [split_in_name(path) for path in paths]
    if len(paths) == 1 or None in splits:
        splits = [None] * len(paths)
    embedded = EmbeddedImages(unpacked)
    tables = [
        _table(path, split, wanted, None if images is not None else embedded)
        for path, split in zip(paths, splits, strict=True)
    ]
    holds = any(table.holds_images for table in tables)
    return Source(
        (row for table in tables for row in table.rows),
        lambda: _joined(place, [table.said() for table in tables]),
        unpacked if holds else folder,
        holds_images=holds,
    )


def _table(
    path: Path, split: str | None, wanted: Wanted, embedded: EmbeddedImages | None
) -> Source:
    columns, suffix, folder = Columns(wanted), path.suffix.lower(), path.parent
    if suffix == ".parquet":
        column = None if embedded is None else embedded_column(path)
        if embedded is not None and column is not None:
            rows = read_embedded(path, column, embedded, columns, split)
            said = "a Parquet table that holds its images"
            return Source(rows, lambda: f"{said}, {columns}", embedded.folder, holds_images=True)
        return Source(
            read_parquet(path, columns, split), lambda: f"a Parquet table, {columns}", folder
        )
    if suffix in (".jsonl", ".ndjson") or (suffix == ".json" and _is_json_lines(path)):
        return Source(
            read_json_lines(path, columns, split), lambda: f"JSON Lines, {columns}", folder
        )
    if suffix == ".json":
        content = load_json(path)
        layout = find_layout(path, content)
        return Source(layout.read(path, content, columns, split), lambda: layout.said, folder)
    dialect = find_dialect(path, columns)
    return Source(
        read_table(path, dialect, columns, split), lambda: f"{dialect}, {columns}", folder
    )


def _is_json_lines(path: Path) -> bool:
    """Whether the first line is a whole object and another one follows."""
    with path.open("rb") as file:
        first, second = file.readline(1 << 20), file.readline(1 << 20).strip()
    try:
        return isinstance(json.loads(first.decode("utf-8-sig")), dict) and second.startswith(b"{")
    except ValueError:
        return False


def _metadata(paths: list[Path], images: Path, wanted: Wanted, place: Path) -> Source:
    """Hugging Face's imagefolder: file names are relative to the folder of their metadata."""
    tables = []
    for path in paths:
        inside = path.parent.relative_to(place)
        split = split_in_name(path.parent) if inside.parts else None
        tables.append((inside, _table(path, split, wanted, None)))

    def read() -> Iterator[Row]:
        for inside, table in tables:
            for row in table.rows:
                name = (inside / row.name).as_posix() if row.name else ""
                yield row._replace(name=name, split=row.split or split_of_folders(name))

    what = f"an imagefolder with {paths[0].name}, "
    return Source(
        read(), lambda: _joined(place, [what + table.said() for _, table in tables]), images
    )


def _classes(
    images: Path, list_images: Callable[[Path], Sequence[str]], templates: Sequence[str]
) -> Source:
    bad = [template for template in templates if "{class}" not in template]
    if bad:
        raise UserError(f"--template {bad[0]!r}", "names no {class}", "write {class} in it")
    return Source(
        read_classes(images, list_images(images), templates),
        lambda: f"{images}: folders of classes, captions by template",
        images,
        ties_captions=False,
    )


def _joined(place: Path, said: list[str]) -> str:
    several = f"{_count(len(said), 'file')}, each " if len(said) > 1 else ""
    return f"{place}: {several}{' or '.join(dict.fromkeys(said))}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
