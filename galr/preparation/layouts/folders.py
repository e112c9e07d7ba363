"""Captions that lie beside their images: text files, folders of classes, shards of both."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from galr.common.errors import UserError
from galr.data.annotations import read_lines
from galr.local_features.names import IMAGE
from galr.preparation.layouts.embedded import EmbeddedImages
from galr.preparation.layouts.rows import SPLITS, Columns, Row, Wanted, split_in_name

TEXTS = (".txt", ".caption", ".text")


def read_text_files(folder: Path, images: Sequence[str]) -> Iterator[Row]:
    """Of each image below ``folder`` the lines of the .txt of its name, a caption each."""
    for name in images:
        beside = (folder / name).with_suffix(".txt")
        lines = read_lines(beside) if beside.is_file() else [""]
        captions = tuple(" ".join(line.split()) for line in lines if line) or ("",)
        yield Row(name, captions, split_of_folders(name), str(beside))


def read_classes(folder: Path, images: Sequence[str], templates: Sequence[str]) -> Iterator[Row]:
    """Of each image the templates, ``{class}`` being the name of its folder in words."""
    for name in images:
        inside = PurePosixPath(name).parent
        kind = class_in_words(inside.name or folder.resolve().name)
        captions = tuple(" ".join(t.replace("{class}", kind).split()) for t in templates)
        yield Row(name, captions, split_of_folders(name), str(folder / name))


def class_in_words(name: str) -> str:
    """``BaseballField``, ``baseball_field`` and ``baseball-field`` as "baseball field"."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", " ", name)
    return words.lower().strip()


def split_of_folders(name: str) -> str | None:
    """``train/airport/1.jpg`` is of split train."""
    folders = PurePosixPath(name).parent.parts
    return SPLITS.get(folders[0].lower()) if folders else None


def read_shards(shards: Sequence[Path], out: Path, wanted: Wanted) -> Iterator[Row]:
    """The samples of WebDataset shards; their images are written below ``out``.

    A sample is what stands together under one name: an image, texts, and a JSON with captions and
    split. Raises UserError for a damaged shard, a name that leads out of the folder, and an image
    that is there twice.
    """
    embedded = EmbeddedImages(out)
    for shard in shards:
        split = split_in_name(shard)
        sample: dict[str, Any] = {}
        try:
            with tarfile.open(shard, "r|*") as archive:
                for member in archive:
                    if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                        continue
                    key, _, suffix = member.name.rpartition(".")
                    if key != sample.get("key"):
                        yield from _sample_row(sample, wanted, split)
                        sample = {"key": key, "place": f"{shard}: {key}", "texts": []}
                    content = archive.extractfile(member)
                    assert content is not None
                    if IMAGE.search(member.name):
                        sample["name"] = embedded.write(member.name, content.read(), shard)
                    elif f".{suffix.lower()}" in TEXTS:
                        sample["texts"] += _decoded(content.read(), f"{shard}: {member.name}")
                    elif suffix.lower() == "json":
                        sample["json"] = _decoded(content.read(), f"{shard}: {member.name}")
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise UserError(shard, f"is no whole tar file ({error})", "get it again") from None
        yield from _sample_row(sample, wanted, split)


def _sample_row(sample: dict[str, Any], wanted: Wanted, split: str | None) -> Iterator[Row]:
    if "name" not in sample:
        return  # the first, before any member, or a sample without an image
    place, captions = sample["place"], [" ".join(line.split()) for line in sample["texts"]]
    if "json" in sample:
        try:
            record = json.loads("\n".join(sample["json"]))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}.json", f"is no JSON ({error})", "correct it") from None
        if isinstance(record, dict):
            columns = Columns(wanted._replace(image="_image"), needs_captions=False)
            row = columns.row({**record, "_image": sample["name"]}, f"{place}.json", split)
            split = row.split
            # texts stand in both as a rule
            captions = captions if any(captions) else list(row.captions)
    filled = tuple(caption for caption in captions if caption)
    yield Row(sample["name"], filled or ("",), split, place)


def _decoded(content: bytes, place: str) -> list[str]:
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(place, "is not UTF-8 text", "write it as UTF-8") from None
