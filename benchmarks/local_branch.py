#!/usr/bin/env python
"""What the local branch gives where captions hang on objects too small for the global one.

Draws demo scenes of small objects, builds their local features, trains the demo model with and
without the local branch from the same seeds, and prints mR of the test part with its spread.

  python benchmarks/local_branch.py                 three seeds, some minutes on two cores
  python benchmarks/local_branch.py --seeds 1 --keep DIR
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
BRANCHES = {"global and local": "true", "global alone": "false"}


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, runs all trainings and prints a line a branch and the difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seeds", metavar="N", type=int, default=3, help="seeds 0 to N-1 (default: 3)"
    )
    parser.add_argument("--train", metavar="N", type=int, default=480, help="training images")
    parser.add_argument("--test", metavar="N", type=int, default=160, help="test images")
    parser.add_argument("--epochs", metavar="N", type=int, default=6, help="epochs (default: 6)")
    parser.add_argument("--keep", metavar="DIR", help="keep data, checkpoints and results there")
    arguments = parser.parse_args(argv)
    with _folder(arguments.keep) as folder:
        _make_data(folder, arguments.train, arguments.test)
        recalls: dict[str, list[float]] = {name: [] for name in BRANCHES}
        for seed in range(arguments.seeds):
            for name, local in BRANCHES.items():
                recalls[name].append(_recall(folder, seed, local, arguments.epochs))
                print(f"seed {seed}, {name}: mR {recalls[name][-1]:.2f}", flush=True)
    print(_report(recalls, arguments.test))


def _make_data(folder: Path, train: int, test: int) -> None:
    data = folder / "small_precomp"
    _python("-m", "galr.demo", "--small-objects", "--out", data,
            "--train", train, "--test", test)  # fmt: skip
    _python("vocab.py", "--data_path", folder, "--data_name", data.name,
            "--out", folder / "vocabulary.json")  # fmt: skip
    _python("-m", "galr.local_features", "build", "--format", "paddledet",
            "--detections", data / "detections", "--images", data / "images",
            "--out", data / "local_features.h5")  # fmt: skip


def _recall(folder: Path, seed: int, local: str, epochs: int) -> float:
    """Trains one fold and returns mR of the test part, in percent."""
    data, out = folder / "small_precomp", folder / f"{seed}_{local}.json"
    values = {
        "seed": seed,
        "model.local": local,
        "dataset.data_path": data,
        "dataset.vocab_path": folder / "vocabulary.json",
        "dataset.local_path": data / "local_features.h5",
        "dataset.image_size": 32,  # objects are a pixel wide there
        "dataset.resize_size": 32,
        "dataset.rotation_degrees": 0,  # the captions name sides of the picture
        "dataset.batch_size": 64,
        "optim.epochs": epochs,
        "optim.lr_update_epoch": max(1, epochs * 3 // 4),
        "k_fold.nums": 1,
        "k_fold.experiment_name": f"seed{seed}_local_{local}",
        "logs.ckpt_save_path": folder / "checkpoint",
    }
    options = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    options = ["--path_opt", "options/demo_GaLR.yaml", *options]
    _python("train.py", *options, "--resume")
    _python("test.py", *options, "--no-report", "--out", out)
    recall: float = json.loads(out.read_text())["mean"]["without_rerank"]["mR"]
    return recall


def _report(recalls: dict[str, list[float]], images: int) -> str:
    chance = np.mean([1, 5, 10]) / images * 100
    rows = np.array(list(recalls.values()))
    deviation = rows.std(axis=1, ddof=1) if rows.shape[1] > 1 else np.zeros(len(rows))
    lines = [
        f"{name:<18} mR {row.mean():6.2f} +- {spread:.2f}  ({row.mean() / chance:.1f} x chance)"
        for (name, row, spread) in zip(recalls, rows, deviation, strict=True)
    ]
    gap = rows[0] - rows[1]
    lines.append(
        f"the local branch adds {gap.mean():.2f} (from {gap.min():.2f} to {gap.max():.2f} over "
        f"{rows.shape[1]} seeds); chance is {chance:.2f}"
    )
    lines.append(f"torch {torch.__version__}, Python {platform.python_version()}")
    return "\n".join(lines)


def _python(*arguments: object) -> None:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is not None:
        yield Path(keep).resolve()
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


if __name__ == "__main__":
    main()
