"""python -m galr.local_features: from a detector's output to the objects that the model sees."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from galr.common import cli
from galr.common.errors import UserError
from galr.images.scaling import Scaling
from galr.options import DreaOptions, load_options
from galr.options.reading import options_from_dict

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


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.local_features")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands)
    _add_convert(commands)
    _add_detect(commands)
    _add_inspect(commands)
    _add_show(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _add_build(commands: Commands[cli.ArgumentParser]) -> None:
    from galr.detectors.reading import FORMATS

    parser = commands.add_parser("build", description=BUILD, help="detections to local features")
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
        "convert", description=CONVERT, help="released matrices to local features"
    )
    parser.add_argument("released", metavar="FILE.npy", help="the released file")
    parser.add_argument("--out", required=True, metavar="FILE", help="the store to write (HDF5)")
    parser.set_defaults(run=_convert)


def _add_detect(commands: Commands[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("detect", description=DETECT, help="images to detections")
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
        type=_number,
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


def _add_inspect(commands: Commands[cli.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "inspect", description=INSPECT, help="print the contents of a store"
    )
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument("--image", metavar="NAME", help="the objects of one image")
    cli.add_verify_argument(parser)
    parser.add_argument("--images", metavar="DIR", help="with --verify: their folder, if moved")
    parser.set_defaults(run=_inspect)


def _add_show(commands: Commands[cli.ArgumentParser]) -> None:
    from galr.detectors.reading import FORMATS

    parser = commands.add_parser("show", description=SHOW, help="draw the objects of images")
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument(
        "--image", required=True, nargs="+", metavar="NAME", help="one or more images"
    )
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument("--edges", type=int, default=10, help="edges drawn (default: %(default)s)")
    origin = parser.add_argument_group("files", "if moved since the store was built")
    origin.add_argument("--images", metavar="DIR", help="the folder of the images")
    origin.add_argument("--format", choices=FORMATS, help="of the detections")
    origin.add_argument("--detections", nargs="+", metavar="DIR_OR_FILE", help="the detections")
    parser.set_defaults(run=_show)


def add_drea_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for every option of DREA, over those of an options file."""
    group = parser.add_argument_group(
        "options of DREA",
        "override those of --path_opt (dataset.drea), which override the defaults",
    )
    group.add_argument(
        "--path_opt",
        metavar="FILE",
        help="options file with dataset.drea, or a checkpoint (.pth) with its own",
    )
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="overrides",
        help="override an option of --path_opt, for example --set dataset.drea.gain=2",
    )
    group.add_argument(
        "--store-classes",
        metavar="FILE_OR_NAME",
        help="classes of the store, in one-hot order, given in the same ways as --classes "
        "(default: the 15 classes of DOTA)",
    )
    for name, field in DreaOptions.model_fields.items():
        if name == "classes":
            continue
        flag, said = (
            f"--{name.replace('_', '-')}",
            f"{field.description} (default: {field.default})",
        )
        if field.annotation is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=said, default=None)
            continue
        group.add_argument(flag, metavar=name.upper(), type=_number, help=said)
        if "_" in name:  # as it is written in an options file
            group.add_argument(f"--{name}", type=_number, dest=name, help=argparse.SUPPRESS)


def _number(text: str) -> int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number")


def drea_options(arguments: argparse.Namespace) -> DreaOptions:
    """The options that ``add_drea_arguments`` read; UserError for impossible ones."""
    from galr.local_features.numbering import read_classes

    if arguments.overrides and arguments.path_opt is None:
        raise UserError("--set", "overrides an options file, but none is given", "add --path_opt")
    drea = DreaOptions()
    if arguments.path_opt is not None:
        if arguments.path_opt.endswith(".pth"):
            from galr.evaluation.trained_fold import checkpoint_options

            drea = checkpoint_options(arguments.path_opt, arguments.overrides).dataset.drea
        else:
            drea = load_options(arguments.path_opt, arguments.overrides).dataset.drea
    given = {
        name: getattr(arguments, name)
        for name in DreaOptions.model_fields
        if name != "classes" and getattr(arguments, name) is not None
    }
    if arguments.store_classes is not None:
        given["classes"] = read_classes(arguments.store_classes)
    tree = {"dataset": {"drea": {**drea.model_dump(), **given}}}
    return options_from_dict(tree, "the command line").dataset.drea


def _numbering(arguments: argparse.Namespace) -> Numbering | None:
    """What class numbers mean, as the arguments of ``build`` state it."""
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


if __name__ == "__main__":
    sys.exit(cli.run(main))
