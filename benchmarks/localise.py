#!/usr/bin/env python
"""Windows of a scene a second, beside the plain encoding of as many images, in turn in one run.

Plain: squares of the model's size that lie in memory, encoded in batches. Windows: what
``python -m galr.localise`` does, from the file to the stored embeddings. Dense: the same with the
backbone's maps shared by overlapping windows (``--dense``), with how far its similarities lie from
those of the windows.

  python benchmarks/localise.py --checkpoint checkpoint/demo_GaLR/0/best.pth \\
    --image data/demo_scene/scene.jpg --text "several planes in an airport"
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from galr.localise.encode import BATCH, encode_windows, forget_windows
from galr.scenes.arguments import sides
from galr.scenes.scene import Scene
from galr.scenes.windows import cover
from galr.trained_model import load


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures and prints a row a side."""
    parser = cli.ArgumentParser(__doc__, prog="python benchmarks/localise.py")
    parser.add_argument("--checkpoint", required=True, metavar="FILE")
    parser.add_argument("--image", required=True, metavar="FILE", help="the scene")
    parser.add_argument("--text", action="append", metavar="SENTENCE", default=[])
    parser.add_argument("--windows", type=sides, default=(256, 512, 768), metavar="S,S,...")
    parser.add_argument("--repeats", type=cli.at_least_1, default=3)
    parser.add_argument("--out", metavar="FILE", help="JSON of all figures")
    arguments = parser.parse_args(argv)
    encoder = load(arguments.checkpoint)
    with Scene(arguments.image) as scene, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        windows = cover(scene.width, scene.height, arguments.windows)
        rng = np.random.default_rng(0)
        squares = rng.integers(0, 256, (len(windows), encoder.side, encoder.side, 3), np.uint8)
        kept = {}

        def plain() -> None:
            for start in range(0, len(squares), BATCH):
                encoder.encode_pixels(squares[start : start + BATCH])

        def localise(dense: bool) -> None:
            kept[dense] = encode_windows(scene, windows, encoder, "", folder, dense=dense)
            forget_windows(folder)

        times = side_by_side(
            {"plain": plain, "windows": lambda: localise(False), "dense": lambda: localise(True)},
            arguments.repeats,
        )
    base = times["plain"]
    print(f"{len(windows)} windows of {arguments.windows}, {encoder.side} pixels for the model")
    for name, own in times.items():
        print(
            f"{name:8} {len(windows) / own['seconds']:8.1f} windows/s, "
            f"{base['seconds'] / own['seconds']:.2f} of plain (spread {own['spread']:.0%}); "
            f"by processor time {base['processor_seconds'] / own['processor_seconds']:.2f}"
        )
    cosine = (kept[False] * kept[True]).sum(axis=1)
    print(f"dense embeddings: cosine with those of the windows {np.nanmean(cosine):.3f}")
    usable = np.isfinite(cosine)
    ranks = {}
    for text in arguments.text:
        query = encoder.encode_texts(text).numpy()[0]
        both = (kept[dense][usable] @ query for dense in (False, True))
        ranks[text] = float(spearmanr(*both).statistic)
        print(f"rank correlation of similarities {ranks[text]:.3f}  {text}")
    if arguments.out:
        figures = {"windows": len(windows), "times": times, "ranks": ranks, "machine": machine()}
        write_json(Path(arguments.out), figures)


if __name__ == "__main__":
    sys.exit(cli.run(main))
