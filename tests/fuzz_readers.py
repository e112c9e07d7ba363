"""Small real files of every kind that is read, how they are mutated, and the reader of each.

A reader raises UserError (the server's: Refused), or gives what is asserted of its result.
"""

import io
import json
import os
import random
import re
import struct
import tarfile
import traceback
import zipfile
import zlib

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from galr.common.errors import UserError
from galr.data.annotations import Annotations, read_annotations
from galr.data.feature_cache import Views, open_features
from galr.data.image_cache import image_files, open_images
from galr.data.vocabulary import Vocabulary
from galr.detectors.build import checked_detections
from galr.detectors.codebook import Codebook
from galr.detectors.image_folder import ImageFolder
from galr.detectors.reading import read_jobs
from galr.detectors.released import read_released
from galr.detectors.segments import DESCRIPTORS
from galr.evaluation.trained_fold import checkpoint_options
from galr.images.decoding import decode_image, image_size
from galr.images.scaling import Scaling
from galr.local_features.classes import ClassNames
from galr.local_features.numbering import read_numbering
from galr.local_features.store import read_local_features, read_store
from galr.model.build import read_checkpoint
from galr.options import DatasetOptions, DreaOptions, Options, load_options
from galr.options.sections.drea import DOTA_CLASSES
from galr.preparation.karpathy import read_karpathy
from galr.preparation.layouts.source import open_source
from galr.quickstart.state import State
from galr.search.serve.limits import Limits, Refused
from galr.serving.uploads import read_upload
from galr.weights.exported import write_exported
from galr.weights.files import load_safetensors
from galr.weights.skipthought_files import read_skipthoughts
from postprocessing.files import read_part
from tests.fuzz_run_files import make_run_files
from tests.local_features.detector_files import (
    SIZES,
    drawn,
    write_coco,
    write_dota,
    write_paddledet,
    write_yolo,
)
from tests.model.skipthought_folder import write_folder
from tests.tiny import make_data

ODD = [
    b"nan", b"-1", b"1e999", b"0", b"99999999999999999999", b"true", b"null", b"''", b"{}", b"[]",
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\t", b" ", b"~", b"&a *a", b"!!x y",
    b"\xe2\x80\xa8", b"../../x", b"1e5", b"0x10", b'"', b"}", b"]", b":", b",", b"1_0", b"\xd9\xa3",
]  # fmt: skip
HUGE = [0, 1, 0x7F, 0xFF, 0xFFFF, 10**5, 10**7, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
PNG, ZIP = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"


def mutated(content: bytes, dice: random.Random) -> bytes:
    """``content`` after one to three small accidents.

    Most mutations of archives and PNG are of what they hold, with check sums that are right.
    """
    if content.startswith(ZIP) and dice.random() < 0.7:
        return _in_a_zip(content, dice)
    for _ in range(dice.randint(1, 3)):
        at, length = dice.randrange(len(content) + 1), dice.choice([1, 1, 4, 16, 200])
        kind = dice.randrange(8)
        if kind == 0:  # bits
            flipped = bytes(byte ^ (1 << dice.randrange(8)) for byte in content[at : at + length])
            content = content[:at] + flipped + content[at + length :]
        elif kind == 1:
            content = content[:at]
        elif kind == 2:
            content = content[:at] + content[at + length :]
        elif kind == 3:
            content = content[:at] + content[at : at + length] * 2 + content[at + length :]
        elif kind == 4:
            content = content[:at] + dice.randbytes(length) + content[at:]
        elif kind == 5:
            content = content[:at] + dice.choice(ODD) + content[at:]
        elif kind == 6:  # a number of a header
            width, order = dice.choice([1, 2, 4, 8]), dice.choice(["little", "big"])
            at = dice.randrange(min(len(content), 1024) + 1)
            number = (dice.choice(HUGE) % 256**width).to_bytes(width, order)
            content = content[:at] + number + content[at + width :]
        elif numbers := list(re.finditer(rb"[\w.-]+", content[:20_000])):
            found = dice.choice(numbers)
            content = content[: found.start()] + dice.choice(ODD) + content[found.end() :]
    return _with_sums(content) if content.startswith(PNG) and dice.random() < 0.7 else content


def _in_a_zip(content: bytes, dice: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    chosen, out = dice.randrange(len(members)), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number, (member, held) in enumerate(members):
            archive.writestr(member, mutated(held, dice) if number == chosen else held)
    return out.getvalue()


def _with_sums(content: bytes) -> bytes:
    """A PNG whose chunks have their check sums."""
    parts, at = [PNG], len(PNG)
    while at + 8 <= len(content):
        length = struct.unpack(">I", content[at : at + 4])[0]
        chunk = content[at + 4 : at + 8 + length]
        parts += [content[at : at + 4], chunk, struct.pack(">I", zlib.crc32(chunk))]
        at += 12 + length
    return b"".join(parts)


IMAGES = {
    f"{kind} {name}": (kind, mode, how)
    for kind, name, mode, how in (
        ("BMP", "rgb", "RGB", {}),
        ("GIF", "palette", "P", {}),
        (
            "GIF",
            "animated",
            "P",
            {"save_all": True, "append_images": [Image.new("P", (40, 30), 9)]},
        ),
        ("JPEG", "rgb", "RGB", {}),
        ("JPEG", "progressive", "RGB", {"progressive": True}),
        ("JPEG", "cmyk", "CMYK", {}),
        ("JPEG2000", "rgb", "RGB", {}),
        ("PNG", "rgb", "RGB", {}),
        ("PNG", "palette", "P", {}),
        ("PNG", "transparent", "LA", {}),
        ("PPM", "rgb", "RGB", {}),
        ("TIFF", "lzw", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "bilevel", "1", {"compression": "group4"}),
        ("WEBP", "rgb", "RGB", {}),
        ("WEBP", "lossless", "RGBA", {"lossless": True}),
    )
}


def write_images(folder):
    """One file of each admitted format and of each way to store numbers; returns their names."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(30), np.arange(40))[..., None] * 3 + rng.integers(0, 9, 3)
    picture = Image.fromarray(smooth.astype(np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    for name, (kind, mode, how) in IMAGES.items():
        extra = {"exif": exif} if kind in ("JPEG", "WEBP") else {}
        picture.convert(mode).save(folder / name, kind, **how, **extra)
    deep = (smooth * 11).astype(np.uint16)
    bands = np.dstack([deep, deep[..., :2]])
    (folder / "PNG deep").write_bytes(imagecodecs.png_encode(deep))
    (folder / "JPEG2000 deep").write_bytes(imagecodecs.jpeg2k_encode(deep))
    (folder / "PPM deep").write_bytes(b"P6\n40 30\n65535\n" + deep.astype(">u2").tobytes())
    rgb = {"photometric": "rgb"}
    grey = {"photometric": "minisblack"}
    for name, values, how in (
        ("deep", deep, rgb),
        ("bands", bands, {**grey, "planarconfig": "contig"}),
        ("pages", np.moveaxis(bands, -1, 0), grey),
        ("tiles", deep, {**rgb, "tile": (16, 16), "compression": "zlib"}),
        ("predicted", deep, {**rgb, "compression": "lzw", "predictor": True}),
        ("real", deep[..., 0].astype("f4"), {**grey, "compression": "zstd"}),
        ("jpeg2000", deep, {**rgb, "compression": "jpeg2000"}),
        ("big", deep.astype("i2"), {**rgb, "bigtiff": True, "byteorder": ">"}),
    ):
        tifffile.imwrite(folder / f"TIFF {name}", values, **how)
    return sorted(path.name for path in folder.iterdir())


def read_image(path):
    """As 8 bits, by a range, and by a range and the first band: one of these fits."""
    refused = []
    for scaling in (Scaling(), Scaling((0, 3000)), Scaling((0, 3000), (1,))):
        try:
            image = decode_image(path, scaling)
            assert image.mode == "RGB"
            assert image.size == image_size(path)
        except UserError as error:
            refused.append(error)
    if len(refused) == 3:
        raise refused[0]


def write_captions(root):
    """The layouts of captions that prepare reads."""
    names = [f"scene_{number}.png" for number in range(4)]
    texts = [[f"a plane on field {number}", "it is , green"] for number in range(4)]
    splits = ["train", "train", "val", "test"]
    folder = root / "own"
    folder.mkdir()
    (folder / "pictures").mkdir()
    for name in names:
        Image.new("RGB", (8, 8), "green").save(folder / "pictures" / name)
    sentences = [
        {"filename": name, "split": split, "sentences": [{"raw": text} for text in own]}
        for name, split, own in zip(names, splits, texts, strict=True)
    ]
    pairs = [(name, text) for name, own in zip(names, texts, strict=True) for text in own]
    contents = {
        "karpathy.json": {"images": sentences},
        "coco.json": {
            "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
            "annotations": [{"image_id": i // 2, "caption": t} for i, (_, t) in enumerate(pairs)],
        },
        "nwpu.json": {
            "field": [
                {"filename": name, "split": split, "raw": own[0], "raw_1": own[1]}
                for name, split, own in zip(names, splits, texts, strict=True)
            ]
        },
        "mapping.json": dict(zip(names, texts, strict=True)),
        "pairs.json": [{"image": name, "caption": text} for name, text in pairs],
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content))
    lines = [json.dumps({"image": name, "text": text}) for name, text in pairs]
    (folder / "lines.jsonl").write_text("\n".join(lines))
    rows = ["image,caption", *(f'{name},"{text}"' for name, text in pairs)]
    (folder / "table.csv").write_text("\r\n".join(rows))
    (folder / "table.tsv").write_text("\n".join(row.replace(",", "\t", 1) for row in rows))
    columns = list(zip(*pairs, strict=True))
    pq.write_table(pa.table({"image": columns[0], "caption": columns[1]}), folder / "t.parquet")
    with tarfile.open(folder / "shard.tar", "w") as shard:
        for number, own in enumerate(texts):
            for name, content in (
                (f"{number}.png", (folder / "pictures" / names[number]).read_bytes()),
                (f"{number}.txt", own[0].encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def read_captions(path):
    folder = path.parent / "pictures"
    source = open_source(path, None, path.parent / "unpacked", lambda _: sorted(os.listdir(folder)))
    for row in source.rows:
        assert isinstance(row.name, str)
        assert all(isinstance(text, str) for text in row.captions)
    source.said()


def make_files(root):
    """Writes a file of each kind below ``root``; FILES and what is returned read them."""
    options = load_options(make_data(root), ["k_fold.nums=1", "device=cpu"])
    rng = np.random.default_rng(0)
    similarity = rng.random((6, 12)).astype(np.float32)
    np.save(root / "sim.npy", similarity)
    np.savetxt(root / "sim.csv", similarity, delimiter=",")
    torch.save(torch.from_numpy(similarity), root / "sim.pt")
    np.save(root / "own.npy", np.arange(12) // 2)
    save_file({"a": torch.ones(3, 4), "b": torch.zeros(5)}, root / "weights.safetensors")
    small = {
        "model": {"a": torch.ones(3, 4)},
        "options": options.model_dump(mode="json"),
        "vocabulary": ["a", "<unk>"],
        "epoch": 1,
        "fold": {"index": 0, "train": ["train_0.png"], "validation": ["train_1.png"]},
    }
    torch.save(small, root / "best.pth")
    write_exported(root / "exported", small, options, "a card")
    numbers = np.ones(DESCRIPTORS)
    Codebook(numbers, numbers, np.ones((3, DESCRIPTORS))).save(root / "codebook.npz")
    images = root / "pictures"
    images.mkdir()
    for name in SIZES:
        Image.new("RGB", SIZES[name]).save(images / name)
    for kind, write in (("paddledet", write_paddledet), ("yolo", write_yolo), ("coco", write_coco)):
        (root / kind).mkdir()
        write(root / kind, drawn())
    for task in (1, 2):
        write_dota(root / f"dota{task}", drawn(), task=task)
    names = [f"x_{number}.txt" for number in range(3)]
    released = {key: {name: rng.random((3, 3)) for name in names} for key in RELEASED}
    np.save(root / "released.npy", released)
    write_folder(root / "skipthoughts")
    (root / "data.yaml").write_text("names:\n  0: plane\n  1: ship\n")
    (root / "classes.txt").write_text("plane\nship\n")
    State(root / "quickstart", {"captions": "a.csv", "minutes": 5}).done("options", file="x.yaml")
    read_image_cache(root)
    read_feature_cache(root)
    files = FILES | make_run_files(root)
    for name in write_images(root / "formats"):
        path = f"formats/{name}"
        files[f"image {name}"] = path, lambda root, path=path: read_image(root / path)
    for name in write_captions(root):
        path = f"own/{name}"
        files[f"captions {name}"] = path, lambda root, path=path: read_captions(root / path)
    return files


RELEASED = ("local_rep", "adj_matrix")


def read_options(root):
    found = load_options(root / "tiny.yaml")
    assert isinstance(found, Options)
    assert found.optim.lr > 0


def read_train(root):
    found = read_annotations(root / "data/tiny_precomp", "train", root / "data/tiny_precomp/images")
    assert len(found.captions) == len(found.caption_to_image)
    assert all(found.captions)
    assert found.caption_to_image.max() < len(found.images)


def read_vocabulary(root):
    found = Vocabulary.load(root / "vocab.json")
    assert all(isinstance(word, str) for word in found.words)
    assert found.encode("a red square") is not None


def read_features_store(root):
    drea = DreaOptions(classes=("x",), objects=4)
    try:
        found = read_local_features(root / "data/tiny_precomp/local.h5", ["train_0.png"], drea)
    finally:
        read_store(root / "data/tiny_precomp/local.h5")
    assert np.isfinite(found.representation).all()
    assert found.representation.shape == (1, drea.objects, drea.features)


def read_similarity(name):
    def read(root):
        part = read_part(root / name, caption_to_image=root / "own.npy")
        assert np.isfinite(part.similarity).all()
        assert part.similarity.shape[1] == len(part.caption_to_image)

    return read


def read_model(root):
    path = root / "best.pth"
    assert all(isinstance(x, torch.Tensor) for x in read_checkpoint(path)["model"].values())
    options = checkpoint_options(path)
    assert isinstance(options, Options)


def read_exported_model(root):
    found = read_checkpoint(root / "exported")
    assert all(isinstance(x, torch.Tensor) for x in found["model"].values())
    assert isinstance(checkpoint_options(root / "exported"), Options)


def read_tensors(root):
    found = load_safetensors(root / "weights.safetensors", "write it anew")
    assert all(isinstance(x, torch.Tensor) for x in found.values())


def read_detections(kind, folder=None):
    def read(root):
        numbered = dict(enumerate(DOTA_CLASSES)) if kind == "yolo" else None
        classes = ClassNames(DOTA_CLASSES, numbered)
        images = ImageFolder(root / "pictures")
        jobs, _ = read_jobs(kind, [root / (folder or kind)], images, classes)
        for job in jobs:
            found, bad = checked_detections(job, job.read(kind, classes), relative=kind == "yolo")
            assert all("\n" not in str(fault) for fault in bad)
            if found is not None:
                width, height = SIZES[job.image.name]
                assert (found.boxes >= 0).all()
                assert (found.boxes <= [width, height, width, height]).all()
                assert ((found.scores >= 0) & (found.scores <= 1)).all()

    return read


def read_codebook(root):
    assert np.isfinite(Codebook.load(root / "codebook.npz").centres).all()


def read_matrices(root):
    found = read_released(root / "released.npy")
    assert len(found.names) == len(found.representation) == len(found.adjacency)


def read_words(layout):
    def read(root):
        found = read_skipthoughts(root / "skipthoughts", layout, ["plane", "harbor", "unknown"])
        assert np.isfinite(found.embedding).all()
        assert found.embedding.shape == (4, found.word_dim)

    return read


def cached(root):
    folder = root / "data/tiny_precomp"
    options = DatasetOptions(data_path=str(folder), image_cache=str(root / "caches"))
    names = tuple(f"test_{number}.png" for number in range(4))  # decoded in this process
    return options, Annotations("test", names, names, np.arange(4))


def read_image_cache(root):
    options, annotations = cached(root)
    found = open_images(options, annotations, 8)
    assert found.array.shape == (4, 8, 8, 3)
    assert found.array.dtype == np.uint8


def read_feature_cache(root):
    options, annotations = cached(root)
    views = Views(image_files(options, annotations, 8), 1, options, 0)
    rows = np.arange(20, dtype=np.float16).reshape(4, 5)
    found = open_features(options, "test", views, key="k", length=5, batches=[rows])
    assert found.array.shape == (4, 5)
    assert found.array.dtype == np.float16


def cache_file(name):
    def path(root):
        return next((root / "caches").rglob(name))

    return path


def read_state(root):
    State(root / "quickstart", {"captions": "a.csv", "minutes": 5})


# what is read -> the file that is mutated (relative to the root, or found in it), and its reader
FILES = {
    "captions": ("data/tiny_precomp/train_caps.txt", read_train),
    "file list": ("data/tiny_precomp/train_filename.txt", read_train),
    "vocabulary": ("vocab.json", read_vocabulary),
    "local features": ("data/tiny_precomp/local.h5", read_features_store),
    "npy": ("sim.npy", read_similarity("sim.npy")),
    "csv": ("sim.csv", read_similarity("sim.csv")),
    "pt": ("sim.pt", read_similarity("sim.pt")),
    "caption to image": ("own.npy", read_similarity("sim.npy")),
    "checkpoint": ("best.pth", read_model),
    "exported weights": ("exported/model.safetensors", read_exported_model),
    "exported options": ("exported/options.yaml", read_exported_model),
    "exported training": ("exported/training.json", read_exported_model),
    "safetensors": ("weights.safetensors", read_tensors),
    "released matrices": ("released.npy", read_matrices),
    "paddledet": ("paddledet/a.txt", read_detections("paddledet")),
    "yolo": ("yolo/a.txt", read_detections("yolo")),
    "dota task 1": ("dota1/Task1_plane.txt", read_detections("dota", "dota1")),
    "dota task 2": ("dota2/Task2_plane.txt", read_detections("dota", "dota2")),
    "coco results": ("coco/results.json", read_detections("coco")),
    "coco images": ("coco/images.json", read_detections("coco")),
    "class numbers": ("data.yaml", lambda root: read_numbering(root / "data.yaml")),
    "class names": ("classes.txt", lambda root: read_numbering(root / "classes.txt")),
    "codebook": ("codebook.npz", read_codebook),
    "skip-thought dictionary": ("skipthoughts/dictionary.txt", read_words("uni")),
    "skip-thought table": ("skipthoughts/utable.npy", read_words("uni")),
    "skip-thought GRU": ("skipthoughts/uni_skip.npz", read_words("uni")),
    "skip-thought GRUs": ("skipthoughts/bi_skip.npz", read_words("bi")),
    "image cache": (cache_file("test_8px.h5"), read_image_cache),
    "feature cache": (cache_file("test_8px_features_k.h5"), read_feature_cache),
    "quickstart state": ("quickstart/quickstart.json", read_state),
    "json of prepare": (
        "own/karpathy.json", lambda root: read_karpathy(root / "own/karpathy.json"),
    ),
    "upload": ("formats/JPEG rgb", lambda root: upload(root / "formats/JPEG rgb")),
    "upload of a PNG": ("formats/PNG palette", lambda root: upload(root / "formats/PNG palette")),
    "options": ("tiny.yaml", read_options),
}  # fmt: skip


def upload(path):
    assert (
        read_upload(path.read_bytes(), Limits().upload_bytes, Limits().upload_pixels).mode == "RGB"
    )


def put(path, content):
    """Replaces a file that may be mapped into memory."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)


def outcome(read, root):
    """Nothing for a result, the line of what was refused, or ! and what else was raised."""
    try:
        read(root)
    except UserError as error:
        return str(error) if "; " in str(error) else f"! no remedy: {error}"
    except Refused as error:
        return f"{error}; "
    except Exception:  # noqa: BLE001 - what is looked for
        return f"! {traceback.format_exc()}"
    return ""
