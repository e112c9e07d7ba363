#!/usr/bin/env python
"""Whether segments, found without any detector, help retrieval on real images.

Fits pseudo-classes on the training images of a data folder, builds local features of all images,
trains with and without the local branch from the same seeds, and prints mR of the test part.

  python benchmarks/segments.py --data data/rsicd_precomp --keep DIR
  python benchmarks/segments.py --data data/rsicd_precomp --keep DIR --seeds 1 --set optim.epochs=4

What is done already in --keep is not done again, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.local_branch import BRANCHES, _python, _report

SETTINGS = {
    "dataset.image_size": 96,
    "dataset.resize_size": 104,
    "dataset.batch_size": 64,
    "optim.epochs": 12,
    "optim.lr_update_epoch": 5,
    "k_fold.nums": 1,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, runs all trainings and prints a line a branch and the difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", metavar="DIR", required=True, help="a data folder with images")
    parser.add_argument("--keep", metavar="DIR", required=True, help="where everything is kept")
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="seeds 0 to N-1")
    parser.add_argument(
        "--path_opt", default="options/demo_GaLR.yaml", help="options (default: %(default)s)"
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    data, folder = Path(arguments.data).resolve(), Path(arguments.keep).resolve()
    common = _prepare(data, folder) + [f"{key}={value}" for key, value in SETTINGS.items()]
    recalls: dict[str, list[float]] = {name: [] for name in BRANCHES}
    for seed in range(arguments.seeds):
        for name, local in BRANCHES.items():
            settings = [*common, *arguments.overrides, f"seed={seed}", f"model.local={local}"]
            recalls[name].append(_recall(folder, f"seed{seed}_local_{local}", settings, arguments))
            print(f"seed {seed}, {name}: mR {recalls[name][-1]:.2f}", flush=True)
    names = (data / "test_filename.txt").read_text().split("\n")
    print(_report(recalls, len(set(filter(None, names)))))


def _prepare(data: Path, folder: Path) -> list[str]:
    """Segments, store and vocabulary; the options that name them."""
    segments, store, words = folder / "segments", folder / "segments.h5", folder / "words.json"
    if not store.exists():
        if not (segments / "classes.names").exists():
            _python("-m", "galr.local_features", "detect", "--method", "segments",
                    "--images", data / "images", "--out", segments,
                    "--fit-on", data / "train_filename.txt")  # fmt: skip
        _python("-m", "galr.local_features", "build", "--format", "paddledet",
                "--detections", segments, "--store-classes", segments / "classes.names",
                "--images", data / "images", "--out", store)  # fmt: skip
        _python("vocab.py", "--data_path", data.parent, "--data_name", data.name, "--out", words)
    classes = (segments / "classes.names").read_text().split()
    return [
        f"dataset.data_path={data}",
        f"dataset.vocab_path={words}",
        f"dataset.local_path={store}",
        f"dataset.drea.classes={json.dumps(classes)}",
        f"dataset.image_cache={folder / 'images'}",
        f"logs.ckpt_save_path={folder / 'checkpoint'}",
    ]


def _recall(
    folder: Path, name: str, settings: Sequence[str], arguments: argparse.Namespace
) -> float:
    """Trains one fold and returns mR of the test part, in percent."""
    out = folder / f"{name}.json"
    settings = [*settings, f"k_fold.experiment_name={name}"]
    options = [part for value in settings for part in ("--set", value)]
    if not out.exists():
        _python("train.py", "--path_opt", arguments.path_opt, *options, "--resume")
        _python("test.py", "--path_opt", arguments.path_opt, *options, "--no-report", "--out", out)
    recall: float = json.loads(out.read_text())["mean"]["without_rerank"]["mR"]
    return recall


if __name__ == "__main__":
    main()
