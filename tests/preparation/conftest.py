"""Images and captions of one's own, and every layout that they may come in."""

import csv
import io
import json
import shutil
import tarfile
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

THINGS = ("plane", "harbor", "field", "river", "bridge", "court")


class Own(NamedTuple):
    """root: a folder; images: its images; captions: of each image's name."""

    root: Path
    images: Path
    captions: dict[str, list[str]]

    @property
    def pairs(self):
        return [(name, text) for name, texts in self.captions.items() for text in texts]


def picture(seed):
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((32, 32), Image.Resampling.BICUBIC)


@pytest.fixture
def own(tmp_path):
    images = tmp_path / "pictures"
    images.mkdir()
    captions = {}
    for number in range(20):
        name = f"{THINGS[number % 6]}_{number}.png"
        picture(number).save(images / name)
        captions[name] = [f'picture {number} , a "{THINGS[number % 6]}"', f"it is number {number}"]
    return Own(tmp_path, images, captions)


def write_table(own, name="captions.csv", header=("image", "caption"), encoding="utf-8", **how):
    path = own.root / name
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, **how).writerows([header, *own.pairs] if header else own.pairs)
    return path


def dump(own, content, name="captions.json"):
    (own.root / name).write_text(json.dumps(content), encoding="utf-8")
    return own.root / name


def wide_csv(own):
    path = own.root / "wide.csv"
    rows = [["file_name", "caption 1", "caption 2"], *([n, *t] for n, t in own.captions.items())]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";", lineterminator="\r\n").writerows(rows)
    return path


def list_cells(own):
    """What pandas writes of lists, and numpy of arrays."""
    path = own.root / "lists.csv"
    rows = [["", "filename", "captions"]]
    for number, (name, texts) in enumerate(own.captions.items()):
        cell = str(np.array(texts, object)) if number % 2 else str(texts)
        rows.append([number, name, cell])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def faulty_csv(own):
    """Absolute and relative paths, back slashes, capitals, no suffix, line breaks, a BOM."""
    path = own.root / "faulty.csv"
    spoil = [
        lambda name: f"/home/somebody/pictures/{name}",
        lambda name: f"..\\data\\{name}",
        str.upper,
        lambda name: name.removesuffix(".png"),
        lambda name: name.replace(".png", ".tif"),
        lambda name: unicodedata.normalize("NFD", name),
    ]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file, delimiter=";", lineterminator="\r\n")
        table.writerow(["Image Path", "Description"])
        for number, (name, text) in enumerate(own.pairs):
            table.writerow([spoil[number % 6](name), text.replace(" ", "\r\n  ", 1)])
    return path


def json_lines(own):
    path = own.root / "captions.jsonl"
    lines = [json.dumps({"image": name, "text": text}) for name, text in own.pairs]
    path.write_text("\r\n".join(lines))
    return path


def long_parquet(own):
    names, texts = zip(*own.pairs, strict=True)
    path = own.root / "long.parquet"
    pq.write_table(pa.table({"image": names, "caption": texts}), path)
    return path


def list_parquet(own):
    path = own.root / "list.parquet"
    content = {"path": list(own.captions), "captions": list(own.captions.values())}
    pq.write_table(pa.table(content), path)
    return path


def picture_parquet(own):
    """As the data sets of Hugging Face hold their images."""
    folder = own.root / "hub"
    folder.mkdir()
    images = [{"bytes": (own.images / name).read_bytes(), "path": name} for name in own.captions]
    content = {"image": images, "captions": list(own.captions.values())}
    pq.write_table(pa.table(content), folder / "data-00000-of-00001.parquet")
    return folder


def records(own):
    return dump(own, [{"image": f"mine/{n}", "caption": t} for n, t in own.captions.items()])


def pairs(own):
    rows = [{"image": name, "caption": text, "image_id": 3} for name, text in own.pairs]
    return dump(own, rows)


def mapping(own):
    return dump(own, own.captions)


def coco(own):
    images = [{"id": str(k), "file_name": name} for k, name in enumerate(own.captions)]
    numbers = {name: number for number, name in enumerate(own.captions)}
    annotations = [{"id": 7, "image_id": numbers[n], "caption": t} for n, t in own.pairs]
    return dump(own, {"images": images, "annotations": annotations[::-1]})


def karpathy(own):
    images = [
        {"filename": name, "imgid": 1, "sentences": [{"raw": text} for text in texts]}
        for name, texts in own.captions.items()
    ]
    return dump(own, {"images": images, "dataset": "mine"})


def nwpu(own):
    classes = {}
    for name, (first, second) in own.captions.items():
        row = {"filename": name, "imgid": 0, "raw": first, "raw_1": second}
        classes.setdefault(name.partition("_")[0], []).append(row)
    return dump(own, classes)


def imagefolder(own):
    folder = own.root / "folder"
    shutil.copytree(own.images, folder)
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "text"), *own.pairs])
    return folder


def text_files(own):
    folder = own.root / "beside"
    shutil.copytree(own.images, folder)
    for name, texts in own.captions.items():
        (folder / name).with_suffix(".txt").write_text("\r\n".join(texts))
    return folder


def shards(own):
    folder = own.root / "shards"
    folder.mkdir()
    names = list(own.captions)
    for part in range(2):
        with tarfile.open(folder / f"own-{part:05}.tar", "w") as archive:
            for name in names[part::2]:
                key, texts = name.removesuffix(".png"), own.captions[name]
                add(archive, name, (own.images / name).read_bytes())
                if part:
                    add(archive, f"{key}.json", json.dumps({"caption": texts}).encode())
                else:
                    add(archive, f"{key}.txt", "\n".join(texts).encode())
    return folder


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


LAYOUTS = {
    "tsv": lambda own: write_table(own, "captions.tsv", delimiter="\t"),
    "without a header": lambda own: write_table(own, header=None),
    "utf-16": lambda own: write_table(own, encoding="utf-16", delimiter="\t"),
    "wide": wide_csv,
    "list cells": list_cells,
    "faults": faulty_csv,
    "json lines": json_lines,
    "json lines as .json": lambda own: json_lines(own).rename(own.root / "lines.json"),
    "parquet": long_parquet,
    "parquet of lists": list_parquet,
    "parquet with images": picture_parquet,
    "records": records,
    "pairs": pairs,
    "mapping": mapping,
    "coco": coco,
    "karpathy": karpathy,
    "nwpu": nwpu,
    "imagefolder": imagefolder,
    "text files": text_files,
    "shards": shards,
}
# these hold their images
WITH_PICTURES = ("imagefolder", "text files", "shards", "parquet with images")
