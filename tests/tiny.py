"""A data set and options so small that a fold trains in a second; real files, real scripts."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from galr.common import cli
from galr.data.vocabulary import Vocabulary
from galr.options import DreaOptions

ROOT = Path(__file__).resolve().parents[1]
COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (40, 60, 200), "grey": (120,) * 3}
SHAPES = ("square", "stripe", "frame")


def hear_interrupts() -> None:
    """For ``preexec_fn``: a shell's background jobs, and so their children, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_images(folder: Path, split: str, count: int, rng: np.random.Generator) -> list[str]:
    """Writes ``count`` images of 40 x 40 and the captions, two an image; returns the names."""
    names, captions = [], []
    for number in range(count):
        colour = list(COLOURS)[number % len(COLOURS)]
        shape = SHAPES[number % len(SHAPES)]
        pixels = rng.integers(0, 40, (40, 40, 3)) + 100
        region = {
            "square": np.s_[10:30, 10:30],
            "stripe": np.s_[15:25, :],
            "frame": np.s_[::8, ::8],
        }[shape]
        pixels[region] = COLOURS[colour]
        names.append(f"{split}_{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / names[-1])
        captions += [
            f"a {colour} {shape} on the ground .",
            f"there is one {shape} , it is {colour}",
        ]
    (folder / f"{split}_filename.txt").write_text("\n".join(names) + "\n")
    (folder / f"{split}_caps.txt").write_text("\n".join(captions) + "\n")
    return names


def make_data(root: Path) -> Path:
    """Writes tiny_precomp, vocabulary, local features and options; returns the last one's path."""
    rng = np.random.default_rng(0)
    data = root / "data" / "tiny_precomp"
    (data / "images").mkdir(parents=True)
    names = make_images(data, "train", 20, rng) + make_images(data, "test", 6, rng)
    words = ["a", *COLOURS, *SHAPES, "ground", "there", "one", "<unk>"]
    from galr.local_features.store import write_local_features

    Vocabulary(words).save(root / "vocab.json")
    drea = DreaOptions(classes=("x",), objects=4)
    representation = rng.random((len(names), drea.objects, drea.features)).astype(np.float32)
    adjacency = rng.random((len(names), drea.objects, drea.objects)).astype(np.float32)
    write_local_features(data / "local.h5", names, representation, adjacency, drea)
    options = {
        "seed": 5,
        "model": {
            "backbone": {"name": "timm:test_resnet", "weights": None},
            "seq2vec": {"pretrained": False, "word_dim": 8, "hidden_dim": 16},
            "fusion": {
                "mca_HIDDEN_SIZE": 16,
                "mca_FF_SIZE": 16,
                "mca_MULTI_HEAD": 2,
                "mca_HIDDEN_SIZE_HEAD": 8,
                "dynamic_fusion_dim": 8,
            },
            "embed": {"embed_dim": 16},
        },
        "dataset": {
            "datatype": "tiny",
            "data_path": str(data),
            "vocab_path": str(root / "vocab.json"),
            "local_path": str(data / "local.h5"),
            "drea": {"classes": ["x"], "objects": 4},
            "image_size": 32,
            "resize_size": 36,
            "batch_size": 8,
            "workers": 0,
        },
        "optim": {"epochs": 3, "lr": 0.001},
        "logs": {"ckpt_save_path": str(root / "checkpoint")},
        "k_fold": {"experiment_name": "tiny", "nums": 2},
        "rerank": {"k": 3},
    }
    path = root / "tiny.yaml"
    path.write_text(yaml.safe_dump(options))
    return path


class Done(NamedTuple):
    """What a command leaves, as ``subprocess.run`` calls it."""

    returncode: int
    stdout: str
    stderr: str


def run_script(script: str, *arguments: object) -> Done:
    """Runs a script in this process: ``train.py`` and its kin, or one of ``benchmarks``."""
    folder, _, name = script.removesuffix(".py").rpartition("/")
    return run_main(importlib.import_module(f"{folder or 'galr.commands'}.{name}").main, *arguments)


def run_module(name: str, *arguments: object) -> Done:
    """Runs ``python -m name`` in this process."""
    found = importlib.import_module(name)
    if not hasattr(found, "main"):
        found = importlib.import_module(f"{name}.__main__")
    return run_main(found.main, *arguments)


def run_main(main: Callable[[Sequence[str] | None], None], *arguments: object) -> Done:
    """Runs a command in this process, with its log on stderr as in one of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    out, shown = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(shown):
            try:
                status = cli.run(main, list(map(str, arguments)))
            except SystemExit as ended:  # of argparse
                status = ended.code if isinstance(ended.code, int) else 1
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)  # which clears what loggers remember of it
    return Done(status, out.getvalue(), shown.getvalue())
