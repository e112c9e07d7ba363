"""The command line of ``python -m galr.local_features``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from galr.common import cli
from galr.common.errors import UserError
from galr.detectors.detect_command import add_detect
from galr.detectors.drea_arguments import add_drea_arguments, drea_options

if TYPE_CHECKING:
    from galr.local_features.numbering import Numbering

logger = logging.getLogger(__name__)

Commands = argparse._SubParsersAction

DESCRIPTION = """\
Builds local features (docs/drea.md): the objects of each image, as input to the model.

  python -m galr.local_features build --format paddledet --detections DIR --images DIR --out F.h5
  python -m galr.local_features convert released.npy --out F.h5
  python -m galr.local_features detect --method segments --images DIR --out DETECTIONS
  python -m galr.local_features detect --weights model.pt --images DIR --out DETECTIONS
  python -m galr.local_features inspect F.h5 --image NAME
  python -m galr.local_features show F.h5 --image NAME --out overlay.png
"""

BUILD = """\
Turns a detector's output for a folder of images into a store of local features.

Formats (in pixels from the top left corner, unless stated otherwise):
  paddledet   an image.txt for each image: class score xmin ymin width height
              (or eight coordinates of a polygon after the score)
  yolo        an image.txt for each image, with class numbers (defined by --classes):
              class cx cy width height score, or class, eight coordinates, score, all relative
              to the image size (ultralytics: save_txt=True save_conf=True)
  dota        Task1_<class>.txt: image score x1 y1 x2 y2 x3 y3 x4 y4
              Task2_<class>.txt: image score xmin ymin xmax ymax
  coco        results.json (image_id, category_id, bbox, score) and images.json (id, file_name,
              width, height; optionally categories): their folder, or both files; category_id is
              a name, a number defined by categories, or a number defined by --classes and
              --first-category

The meaning of class numbers is defined by --classes, as one of:
  FILE        one class per line, starting with number 0
  FILE.yaml   names: [plane, ...] or names: {0: plane, ...}, as in a detector's data file
  NAME        dota, dota-v1.5, dota-v2.0 (the order of DOTA's development kit),
              ultralytics-dota, ultralytics-dota-v1.5, ultralytics-dota-v2.0 (the order of the
              data files of ultralytics, which differs), coco80, coco91
Classes are then matched by name with those of the store, ignoring case, "-", "_" and spaces. A
detection of a class that is not in the store, or one that is otherwise invalid, is an error;
--skip-bad skips these and counts them by class.

An image without detections is valid.
"""

CONVERT = """\
Converts a matrix file of the released code into a store.

No code in the file is run: it may contain numeric arrays and plain containers; anything else is
refused. The options that the matrices were made with are unknown, so only their shape is checked.
"""

INSPECT = """\
Prints the contents of a store: images, objects, classes, and the options it was made with.
"""

SHOW = """\
Draws images with their objects: kept ones in their class colour with class, score and prominence,
dropped detections faint and dashed, the strongest edges of the adjacency matrix as white lines.
Several images give a contact sheet.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.local_features")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands)
    _add_convert(commands)
    add_detect(commands)
    _add_inspect(commands)
    _add_show(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _add_build(commands: Commands[cli.ArgumentParser]) -> None:
    from galr.detectors.reading import FORMATS

    parser = commands.add_parser(
        "build", description=BUILD, help="build local features from detections"
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="format of the detections")
    parser.add_argument(
        "--detections",
        required=True,
        nargs="+",
        metavar="DIR_OR_FILE",
        help="output of the detector; for coco, also two files: results and image list",
    )
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--out", required=True, metavar="FILE", help="the store to write (HDF5)")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="skip and list invalid detections",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE_OR_NAME",
        help="meaning of the class numbers (see above)",
    )
    parser.add_argument(
        "--first-category",
        type=int,
        metavar="NUMBER",
        help="with coco and --classes: category_id of the first class, usually 0 or 1",
    )
    add_drea_arguments(parser)
    parser.set_defaults(run=_build)


def _add_convert(commands: Commands[cli.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "convert", description=CONVERT, help="convert released matrices to local features"
    )
    parser.add_argument("released", metavar="FILE.npy", help="released file")
    parser.add_argument("--out", required=True, metavar="FILE", help="the store to write (HDF5)")
    parser.set_defaults(run=_convert)


def _add_inspect(commands: Commands[cli.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "inspect", description=INSPECT, help="print the contents of a store"
    )
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument("--image", metavar="NAME", help="list the objects of one image")
    cli.add_verify_argument(parser)
    parser.add_argument("--images", metavar="DIR", help="with --verify: image folder, if moved")
    parser.set_defaults(run=_inspect)


def _add_show(commands: Commands[cli.ArgumentParser]) -> None:
    from galr.detectors.reading import FORMATS

    parser = commands.add_parser("show", description=SHOW, help="draw the objects of images")
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument(
        "--image", required=True, nargs="+", metavar="NAME", help="one or more images to draw"
    )
    parser.add_argument("--out", required=True, metavar="FILE.png", help="output file, .png")
    parser.add_argument(
        "--edges", type=int, default=10, help="number of edges to draw (default: %(default)s)"
    )
    origin = parser.add_argument_group("files", "if moved since the store was built")
    origin.add_argument("--images", metavar="DIR", help="the folder of the images")
    origin.add_argument("--format", choices=FORMATS, help="format of the detections")
    origin.add_argument("--detections", nargs="+", metavar="DIR_OR_FILE", help="the detections")
    parser.set_defaults(run=_show)


def _numbering(arguments: argparse.Namespace) -> Numbering | None:
    """The meaning of class numbers, from the arguments of ``build``."""
    from galr.local_features.numbering import read_numbering

    classes, first = arguments.classes, arguments.first_category
    if first is not None and (arguments.format != "coco" or classes is None):
        raise UserError("--first-category", "needs --format coco and --classes", "omit it")
    if arguments.format == "coco" and classes is not None and first is None:
        raise UserError(
            "--classes",
            "does not define the category_id of its first class",
            "add --first-category: 1 as in COCO, 0 as in many other tools",
        )
    return None if classes is None else read_numbering(classes, first)


def _build(arguments: argparse.Namespace) -> None:
    from galr.detectors.build import build_store

    report = build_store(
        arguments.format,
        arguments.detections,
        arguments.images,
        arguments.out,
        drea_options(arguments),
        skip_bad=arguments.skip_bad,
        numbering=_numbering(arguments),
    )
    for fault in report.left_out:
        logger.warning("left out: %s: %s", fault.place, fault.what)
    sys.stdout.write(f"{arguments.out}: {report}\n")


def _convert(arguments: argparse.Namespace) -> None:
    from galr.detectors.released import read_released
    from galr.local_features.store import write_local_features

    released = read_released(arguments.released)
    write_local_features(arguments.out, *released, None, f"converted from {arguments.released}")
    images, objects, features = released.representation.shape
    sys.stdout.write(
        f"{arguments.out}: {images} images, {objects} objects with {features} features each\n"
    )


def _inspect(arguments: argparse.Namespace) -> None:
    from galr.detectors.inspect import image_lines, store_lines
    from galr.detectors.verify import verify_store
    from galr.local_features.store import read_store

    store = read_store(arguments.store)
    if arguments.verify:
        sys.stdout.write("\n".join(verify_store(store, arguments.images)) + "\n")
    told = store_lines(store) if arguments.image is None else image_lines(store, arguments.image)
    sys.stdout.write("\n".join(told) + "\n")


def _show(arguments: argparse.Namespace) -> None:
    from galr.detectors.scene import read_scenes
    from galr.detectors.show import draw
    from galr.local_features.store import read_store

    scenes = read_scenes(
        read_store(arguments.store),
        arguments.image,
        arguments.images,
        arguments.format,
        arguments.detections,
    )
    draw(scenes, arguments.out, arguments.edges)
    for scene in scenes:
        sys.stdout.write(f"{arguments.out}: {scene.caption}\n")
