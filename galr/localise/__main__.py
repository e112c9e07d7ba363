"""python -m galr.localise: where in a large scene a sentence is."""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from galr.common import cli
from galr.localise.settings import OVERLAP, SIDES, THRESHOLD, WindowSettings
from galr.scenes import arguments as tiling
from galr.scenes.scene import Scene, import_rasterio

if TYPE_CHECKING:
    from galr.trained_model import TrainedModel

DESCRIPTION = """\
Locates what a sentence describes in a scene, and writes a map, regions and overlays.

  python -m galr.localise --image scene.tif --text "white planes beside a terminal" \\
      --checkpoint best.pth --out result/
  python -m galr.localise evaluate --annotations anno.json --images DIR --checkpoint best.pth

The scene is cut into overlapping windows of several sizes, each window is compared with the
sentence, and every pixel gets the mean similarity of the windows that cover it, scaled to 0..1.

Written to --out: an overlay (NN_words.png) and a map (NN_words.tif, georeferenced like the scene)
for each --text, regions.geojson (WGS84 if the scene is georeferenced, else pixels), result.json.
"""

EVALUATE = """\
Evaluates localisation on annotated scenes: Rsu, Ras, Rda and Rmi of the published evaluation, and
pixel-wise best IoU and average precision; one row per query, mean and standard deviation.

The annotations are a JSON list: [{"jpg_name": ..., "caption": ..., "points": [[[x, y], ...]]}].
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["evaluate"]:
        _evaluate(argv[1:])
    else:
        _localise(argv)


def _localise(argv: Sequence[str]) -> None:
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.localise")
    add = parser.add_argument
    add("--image", required=True, metavar="FILE", help="the scene: GeoTIFF, PNG or JPEG")
    add("--text", required=True, action="append", metavar="SENTENCE", help="the query; repeatable")
    add("--out", required=True, metavar="DIR", help="folder for the results")
    _add_shared_arguments(parser)
    arguments = parser.parse_args(argv)
    settings = _settings(arguments)
    # torch takes seconds, which --help and wrong arguments do not wait for
    from galr.localise.encode import forget_windows
    from galr.localise.localisation import localise
    from galr.localise.output import write_localisation

    encoder, digest = _model(arguments)
    out = Path(arguments.out)
    with Scene(arguments.image, arguments.bands, arguments.stretch) as scene:
        maps = localise(scene, arguments.text, encoder, digest, out, settings)
        facts = {"checkpoint": arguments.checkpoint, **asdict(settings)}
        write_localisation(out, scene, maps, facts)
        forget_windows(out)
    for own in maps:
        left, top, right, bottom = own.regions[0].box
        sys.stdout.write(
            f"{own.query}: {len(own.regions)} regions, "
            f"the best one at x {left:.0f}-{right:.0f}, y {top:.0f}-{bottom:.0f}\n"
        )
    sys.stdout.write(f"results: {out}\n")


def _evaluate(argv: Sequence[str]) -> None:
    parser = cli.ArgumentParser(EVALUATE, prog="python -m galr.localise evaluate")
    add = parser.add_argument
    add("--annotations", required=True, metavar="FILE", help="JSON as above")
    add("--images", required=True, metavar="DIR", help="folder of the scenes")
    add("--out", required=True, metavar="DIR", help="folder for results.json, table.csv, overlays")
    add(
        "--chance", action="store_true",
        help="also score each map against the polygons of another query of the same scene",
    )  # fmt: skip
    _add_shared_arguments(parser)
    arguments = parser.parse_args(argv)
    from galr.localise.evaluate import evaluate_annotations, table

    encoder, digest = _model(arguments)
    results = evaluate_annotations(
        Path(arguments.annotations), Path(arguments.images), encoder, digest,
        Path(arguments.out), _settings(arguments), arguments.bands, arguments.stretch,
        chance=arguments.chance,
    )  # fmt: skip
    sys.stdout.write(f"{table(results)}\n\nresults: {arguments.out}\n")


def _add_shared_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE", help="best.pth from train.py")
    add(
        "--windows", type=tiling.sides, default=SIDES, metavar="S,S,...",
        help=f"window sides in pixels (default: {','.join(map(str, SIDES))})",
    )  # fmt: skip
    add(
        "--overlap", type=_share, default=OVERLAP, metavar="X",
        help="overlap of neighbouring windows, as a fraction of their side (default: %(default)s)",
    )  # fmt: skip
    add(
        "--dense", action="store_true",
        help="faster: overlapping windows share feature maps; similarities differ somewhat",
    )  # fmt: skip
    add(
        "--threshold", type=_share, default=THRESHOLD, metavar="X",
        help="minimum probability of a pixel in a region (default: %(default)s)",
    )  # fmt: skip
    add(
        "--bands", type=tiling.bands, metavar="R,G,B",
        help="three bands or one, counted from 1 (default: the first three, or the first)",
    )  # fmt: skip
    add(
        "--stretch", type=_range, metavar="LOW,HIGH",
        help="values mapped to black and white (default: none for 8-bit bands, else "
        "the 2nd and 98th percentile of the scene)",
    )  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")


def _settings(arguments: argparse.Namespace) -> WindowSettings:
    return WindowSettings(
        arguments.windows, arguments.overlap, arguments.threshold, arguments.dense
    )


def _model(arguments: argparse.Namespace) -> tuple[TrainedModel, str]:
    """The model, and a digest of its file."""
    import_rasterio()  # before a model is loaded
    from galr.trained_model import load

    encoder = load(arguments.checkpoint, arguments.device)
    path = Path(arguments.checkpoint)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return encoder, digest.hexdigest()


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW,HIGH with LOW below HIGH")
    return low, high


def _share(text: str) -> float:
    share = cli.within(0, 1)(text)
    if share == 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not below 1")
    return share


if __name__ == "__main__":
    sys.exit(cli.run(main))
