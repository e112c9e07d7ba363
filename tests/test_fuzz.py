"""Small real files, mutated: every reader gives what it promises or one line of UserError.

GALR_FUZZ=N makes N mutations of each file instead of 40, and GALR_FUZZ_SEED=S other ones.
"""

import os
import random
import re
import time
import traceback

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.data.vocabulary import Vocabulary
from galr.detectors.build import checked_detections
from galr.detectors.codebook import Codebook
from galr.detectors.image_folder import ImageFolder
from galr.detectors.reading import read_jobs
from galr.detectors.segments import DESCRIPTORS
from galr.evaluation.trained_fold import checkpoint_options
from galr.local_features.classes import ClassNames
from galr.local_features.store import read_local_features, read_store
from galr.model.build import read_checkpoint
from galr.options import DreaOptions, Options, load_options
from galr.options.sections.drea import DOTA_CLASSES
from galr.weights.files import load_safetensors
from postprocessing.files import read_part
from tests.local_features.detector_files import (
    SIZES,
    drawn,
    write_coco,
    write_paddledet,
    write_yolo,
)
from tests.tiny import make_data

MUTATIONS = int(os.environ.get("GALR_FUZZ", "40"))
SEED = os.environ.get("GALR_FUZZ_SEED", "0")
ODD = [
    b"nan", b"-1", b"1e999", b"0", b"99999999999999999999", b"true", b"null", b"''", b"{}", b"[]",
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\t", b" ", b"~", b"&a *a", b"!!x y",
    b"\xe2\x80\xa8", b"../../x", b"1e5", b"0x10", b'"', b"}", b"]", b":", b",", b"1_0", b"\xd9\xa3",
]  # fmt: skip


def mutated(content: bytes, dice: random.Random) -> bytes:
    """``content`` after one to three small accidents."""
    for _ in range(dice.randint(1, 3)):
        at, length = dice.randrange(len(content) + 1), dice.choice([1, 1, 4, 16, 200])
        kind = dice.randrange(7)
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
        elif numbers := list(re.finditer(rb"[\w.-]+", content[:20_000])):
            found = dice.choice(numbers)
            content = content[: found.start()] + dice.choice(ODD) + content[found.end() :]
    return content


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    options = load_options(make_data(root), ["k_fold.nums=1", "device=cpu"])
    rng = np.random.default_rng(0)
    similarity = rng.random((6, 12)).astype(np.float32)
    np.save(root / "sim.npy", similarity)
    np.savez(root / "sim.npz", similarity)
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
    numbers = np.ones(DESCRIPTORS)
    Codebook(numbers, numbers, np.ones((3, DESCRIPTORS))).save(root / "codebook.npz")
    images = root / "pictures"
    images.mkdir()
    for name in SIZES:
        Image.new("RGB", SIZES[name]).save(images / name)
    for kind, write in (("paddledet", write_paddledet), ("yolo", write_yolo), ("coco", write_coco)):
        (root / kind).mkdir()
        write(root / kind, drawn())
    return root


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


def read_tensors(root):
    found = load_safetensors(root / "weights.safetensors", "write it anew")
    assert all(isinstance(x, torch.Tensor) for x in found.values())


def read_detections(kind):
    def read(root):
        numbered = dict(enumerate(DOTA_CLASSES)) if kind == "yolo" else None
        classes = ClassNames(DOTA_CLASSES, numbered)
        jobs, _ = read_jobs(kind, [root / kind], ImageFolder(root / "pictures"), classes)
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


FILES = {
    "codebook": ("codebook.npz", read_codebook),
    "options": ("tiny.yaml", read_options),
    "captions": ("data/tiny_precomp/train_caps.txt", read_train),
    "file list": ("data/tiny_precomp/train_filename.txt", read_train),
    "vocabulary": ("vocab.json", read_vocabulary),
    "store": ("data/tiny_precomp/local.h5", read_features_store),
    "npy": ("sim.npy", read_similarity("sim.npy")),
    "npz": ("sim.npz", read_similarity("sim.npz")),
    "csv": ("sim.csv", read_similarity("sim.csv")),
    "pt": ("sim.pt", read_similarity("sim.pt")),
    "caption to image": ("own.npy", read_similarity("sim.npy")),
    "checkpoint": ("best.pth", read_model),
    "safetensors": ("weights.safetensors", read_tensors),
    "paddledet": ("paddledet/a.txt", read_detections("paddledet")),
    "yolo": ("yolo/a.txt", read_detections("yolo")),
    "coco results": ("coco/results.json", read_detections("coco")),
    "coco images": ("coco/images.json", read_detections("coco")),
}


def outcome(read, root):
    """Nothing for a result, the line of a UserError, or ! and what else was raised."""
    try:
        read(root)
    except UserError as error:
        return str(error)
    except Exception:  # noqa: BLE001 - what is looked for
        return f"! {traceback.format_exc()}"
    return ""


@pytest.mark.parametrize("name", FILES)
def test_a_mutated_file_is_one_line_or_a_right_result(root, name):
    path, read = root / FILES[name][0], FILES[name][1]
    original = path.read_bytes()
    try:
        for number in range(MUTATIONS):
            content = mutated(original, random.Random(f"{SEED} {name} {number}"))
            path.write_bytes(content)
            started = time.monotonic()
            said = outcome(read, root)
            assert not said.startswith("!"), f"mutation {number}: {content[:3000]!r}{said}"
            assert "\n" not in said
            assert not said or "; " in said
            assert time.monotonic() - started < 10
    finally:
        path.write_bytes(original)
