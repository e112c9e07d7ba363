"""10,000 images with 60 objects each, from text files to the store, by the command of the package.

  python benchmarks/local_features.py [--images 10000] [--objects 60] [--repeats 3]

Prints images a second of the whole command, and where the time of one process goes: reading and
parsing the text against all. The first images are checked against a construction with loops.
"""

from __future__ import annotations

import argparse
import cProfile
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from galr.common.processes import cores  # noqa: E402 - the folder above is known from here on
from galr.detectors import build  # noqa: E402
from galr.detectors.reading import Job  # noqa: E402
from galr.local_features.classes import ClassNames  # noqa: E402
from galr.local_features.detections import Detections  # noqa: E402
from galr.local_features.store import read_store  # noqa: E402
from galr.options import DreaOptions  # noqa: E402
from tests.local_features.definition import built_slowly  # noqa: E402

SIDE = 800


def write_data(folder: Path, images: int, objects: int) -> None:
    """Grey images, and a file of ``objects`` lines for each, as PaddleDetection saves them."""
    for name in ("images", "detections"):
        (folder / name).mkdir()
    Image.new("L", (SIDE, SIDE)).save(folder / "first.jpg")
    picture = (folder / "first.jpg").read_bytes()
    rng = np.random.default_rng(0)
    classes = DreaOptions().classes
    for number in range(images):
        (folder / "images" / f"{number:05d}.jpg").write_bytes(picture)
        kinds = rng.integers(0, len(classes), objects)
        scores, places = rng.random(objects), rng.random((objects, 2)) * (SIDE - 100)
        sizes = 5 + rng.random((objects, 2)) * 95
        lines = [
            f"{classes[kind]} {score:.6f} {x:.3f} {y:.3f} {w:.3f} {h:.3f}\n"
            for kind, score, (x, y), (w, h) in zip(kinds, scores, places, sizes, strict=True)
        ]
        (folder / "detections" / f"{number:05d}.txt").write_text("".join(lines))


def run_command(folder: Path) -> float:
    """Seconds of the command, from its start to its end."""
    command = [sys.executable, "-m", "galr.local_features", "build", "--format", "paddledet"]
    command += ["--detections", str(folder / "detections"), "--images", str(folder / "images")]
    command += ["--out", str(folder / "out.h5")]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def check(folder: Path, images: int) -> None:
    """The store against the construction with loops; raises where they differ."""
    store, drea = read_store(folder / "out.h5"), DreaOptions()
    for row in range(images):
        text = (folder / "detections" / f"{row:05d}.txt").read_text()
        rows = [line.split() for line in text.splitlines()]
        places = np.array([line[2:] for line in rows], dtype=float)
        places[:, 2:] += places[:, :2]
        found = Detections(
            SIDE,
            SIDE,
            [line[0] for line in rows],
            [float(line[1]) for line in rows],
            places,
        )
        for built, wanted in zip(
            vars(store.features).values(), built_slowly(found, drea), strict=True
        ):
            np.testing.assert_allclose(built[row], wanted, atol=1e-5)


def profile(folder: Path, images: int) -> None:
    """Where one process spends its time, for the first ``images``."""
    names = sorted((folder / "images").iterdir())[:images]
    jobs = [Job(path, folder / "detections" / f"{path.stem}.txt") for path in names]
    drea = DreaOptions()
    classes = ClassNames(drea.classes)
    profiler = cProfile.Profile()
    for job in jobs:
        profiler.runcall(build._build, job, kind="paddledet", drea=drea, classes=classes)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    """Parses the arguments and prints the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="also profile one process")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, arguments.images, arguments.objects)
        run_command(folder)  # the files come into the system's cache
        check(folder, min(arguments.images, 100))
        seconds = [run_command(folder) for _ in range(arguments.repeats)]
        median = statistics.median(seconds)
        spread = (max(seconds) - min(seconds)) / median
        print(
            f"local features {arguments.images} images x {arguments.objects} objects: {median:.2f} "
            f"s, {arguments.images / median:.0f} images/s on {cores()} cores (median of "
            f"{arguments.repeats}, spread {spread:.0%}; python {platform.python_version()}, "
            f"numpy {np.__version__})"
        )
        if arguments.profile:
            profile(folder, min(arguments.images, 2000))


if __name__ == "__main__":
    main()
