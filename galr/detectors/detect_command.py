"""``python -m galr.local_features detect``: its arguments, and what it prints."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys

from galr.common import cli
from galr.detectors.drea_arguments import number
from galr.images.scaling import Scaling
from galr.options import DreaOptions

logger = logging.getLogger(__name__)

DETECT = """\
Detects objects in a folder of images; writes one text file per image for build --format paddledet.

  --weights model.pt   with an ultralytics model, oriented or not (pip install -r
                       requirements-detect.txt). Such a file is a pickle and can run arbitrary
                       code when loaded: use only files that you trust.
  --method segments    without a detector: regions that differ from their surroundings, scored by
                       contrast, with pseudo-classes from k-means over colour, texture and shape.
                       These are fitted on the training images and saved in a codebook, which
                       --codebook reuses for other images.
"""


def add_detect(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    """Adds the command ``detect``."""
    parser = commands.add_parser("detect", description=DETECT, help="detect objects in images")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--weights", metavar="FILE", help="ultralytics model")
    way.add_argument("--method", choices=("segments",), help="method that needs no model")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    model = parser.add_argument_group("with --weights")
    model.add_argument(
        "--classes",
        metavar="FILE_OR_NAME",
        help="classes to keep, matched by name; as build --store-classes (default: DOTA's 15)",
    )
    model.add_argument("--skip-bad", action="store_true", help="skip other classes")
    model.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    model.add_argument(
        "--batch", type=cli.at_least_1, default=16, help="images per batch (default: 16)"
    )
    model.add_argument(
        "--image-size",
        type=cli.at_least_1,
        default=1024,
        help="longer side after resizing, in pixels (default: 1024)",
    )
    model.add_argument(
        "--min-score",
        type=number,
        default=0.05,
        help="minimum score of a detection (default: 0.05)",
    )
    segments = parser.add_argument_group("with --method segments")
    segments.add_argument(
        "--codebook",
        metavar="FILE.npz",
        help="pseudo-classes: loaded if the file exists, else fitted and saved (default: "
        "codebook.npz inside --out)",
    )
    segments.add_argument(
        "--fit-on",
        metavar="FILE",
        help="list of training images, one per line (default: train_filename.txt next to "
        "--images, else all images)",
    )
    segments.add_argument(
        "--segment-classes",
        type=cli.at_least_1,
        default=15,
        help="number of pseudo-classes (default: 15)",
    )
    segments.add_argument("--seed", type=int, default=0, help="seed of the fit (default: 0)")
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_detect)


def _detect(arguments: argparse.Namespace) -> None:
    from galr.detectors.detection_folder import CLASSES_FILE

    if arguments.method == "segments":
        from galr.detectors.detect_segments import detect_segments

        written = detect_segments(
            arguments.images,
            arguments.out,
            arguments.codebook,
            arguments.fit_on,
            arguments.segment_classes,
            arguments.seed,
            Scaling.of(arguments),
        )
    else:
        from galr.detectors.detect_model import detect_with_model
        from galr.local_features.numbering import read_classes

        written = detect_with_model(
            arguments.weights,
            arguments.images,
            arguments.out,
            read_classes(arguments.classes) if arguments.classes else DreaOptions().classes,
            device=arguments.device,
            batch=arguments.batch,
            image_size=arguments.image_size,
            min_score=arguments.min_score,
            skip_bad=arguments.skip_bad,
            scaling=Scaling.of(arguments),
        )
    out = shlex.quote(arguments.out)
    for reason, count in written.left_out.items():
        logger.warning("left out: %d detections: %s", count, reason)
    sys.stdout.write(
        f"{arguments.out}: {written.detections} detections in {written.images} images; next:\n"
        f"  python -m galr.local_features build --format paddledet --detections {out} "
        f"--store-classes {out}/{CLASSES_FILE} --images {shlex.quote(arguments.images)} "
        "--out FILE.h5\n"
    )
