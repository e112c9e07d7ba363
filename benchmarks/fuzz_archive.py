"""Thousands of mutated archives, opened and searched: a right result or one line.

    python benchmarks/fuzz_archive.py --mutations 2000 --seed 0

As benchmarks/fuzz.py, but in one process: the store has threads, which a fork would lose. A file of
the archive is mutated, the archive is opened and asked in three ways, and is made whole again.
"""

import argparse
import collections
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common.errors import UserError
from galr.search import Archive
from galr.search.build import build_archive
from tests.fuzz_readers import mutated


class Colours:
    """An encoder without a model."""

    identity, side = "colours", 8

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, 8, 8, 3) -> (B, 24)."""
        return pixels.reshape(len(pixels), -1)[:, :24].astype(np.float32) + 1

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """C sentences -> (C, 24)."""
        return np.array([[len(text)] * 24 for text in texts], np.float32) + 1


def make_archive(root: Path) -> Path:
    """An archive of six images with captions."""
    (root / "images").mkdir()
    for number in range(6):
        colour = (number * 40, 99, 200 - number * 20)
        Image.new("RGB", (16, 16), colour).save(root / f"images/{number}.png")
    (root / "captions.txt").write_text("a red one\na blue one\n")
    made, captions = root / "made", root / "captions.txt"
    build_archive(root / "images", None, made, encoder=Colours(), captions=captions)
    return made


def outcome(path: Path) -> str:
    """``right``, ``line``, or what else was raised."""
    try:
        archive = Archive.open(path, encoder=Colours())
        assert len(archive.query("a red one", k=3)) == 3
        assert len(archive.query(like=1, k=2)) == 2
        assert len(archive.captions[0]) == 2
    except UserError as error:
        return "line" if "; " in str(error) else f"! {error}"
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - panics of the store's own language are none of Exception
        return f"! {traceback.format_exc(limit=-2)}"
    return "right"


def main() -> None:
    """Parses the command line and prints the findings and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made, tried = make_archive(root), root / "tried"
        files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
        counts: collections.Counter[str] = collections.Counter()
        slowest = 0.0
        for number in range(arguments.mutations):
            dice = random.Random(f"{arguments.seed} archive {number}")
            shutil.copytree(made, tried)
            file = dice.choice(files)
            (tried / file).write_bytes(mutated((made / file).read_bytes(), dice))
            started = time.monotonic()
            said = outcome(tried)
            slowest = max(slowest, time.monotonic() - started)
            if said.startswith("!"):
                print(f"mutation {number} of {file}: {said}", flush=True)
            counts["finding" if said.startswith("!") else said] += 1
            shutil.rmtree(tried)
        print(f"archive: {dict(counts)}, slowest {slowest:.2f} s")


if __name__ == "__main__":
    main()
