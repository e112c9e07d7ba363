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
from galr.common.scaling import Scaling
from galr.options import DreaOptions, load_options
from galr.options.reading import options_from_dict

if TYPE_CHECKING:
    from galr.local_features.numbering import Numbering

logger = logging.getLogger(__name__)

Commands = argparse._SubParsersAction

DESCRIPTION = """\
Makes local features (docs/drea.md), the objects of each image as the model sees them.

  python -m galr.local_features build --format paddledet --detections DIR --images DIR --out F.h5
  python -m galr.local_features convert released.npy --out F.h5
  python -m galr.local_features detect --method segments --images DIR --out DETECTIONS
  python -m galr.local_features detect --weights model.pt --images DIR --out DETECTIONS
  python -m galr.local_features inspect F.h5 --image NAME
  python -m galr.local_features show F.h5 --image NAME --out overlay.png
"""

BUILD = """\
Turns a detector's output for a folder of images into a store of local features.

Formats (pixels from the top left corner, if nothing else is said):
  paddledet   an image.txt for each image: class score xmin ymin width height
              (or eight coordinates of a polygon after the score)
  yolo        an image.txt for each image, with class numbers (--classes says what they mean):
              class cx cy width height score, or class, eight coordinates, score, all as
              shares of the image (ultralytics: save_txt=True save_conf=True)
  dota        Task1_<class>.txt: image score x1 y1 x2 y2 x3 y3 x4 y4
              Task2_<class>.txt: image score xmin ymin xmax ymax
  coco        results.json (image_id, category_id, bbox, score) and images.json (id, file_name,
              width, height; with categories, where there are any): their folder, or both files;
              category_id is a name, a number that categories name, or one that --classes and
              --first-category name

Class numbers have no meaning of their own. --classes states it, as one of:
  FILE        one class per line, the first being number 0
  FILE.yaml   names: [plane, ...] or names: {0: plane, ...}, as the data file of a detector has it
  NAME        dota, dota-v1.5, dota-v2.0 (the order of DOTA's development kit),
              ultralytics-dota, ultralytics-dota-v1.5, ultralytics-dota-v2.0 (the order of the
              data files of ultralytics, which is another), coco80, coco91
Classes are then matched by name with those of the store; capitals, "-", "_" and spaces make no
difference. A detection of a class that the store does not have is a bad one, as any other that
does not fit: an error, or left out by --skip-bad, which counts them by class.

An image without detections has none; that is no error. Anything else that does not fit is.
"""

CONVERT = """\
Turns a file of matrices that the released code reads into a store.

Nothing in the file is run: it may hold arrays of numbers and plain containers, and anything else is
refused. The options behind the matrices are unknown, so a model is held only to their shape.
"""

INSPECT = """\
Prints what a store holds: images, objects, classes, and the options it was made with.
"""

SHOW = """\
Draws images with their objects: kept ones in the colour of their class with class, score and
prominence, dropped detections faint and dashed, the strongest edges of the adjacency as white
lines. Several images make a contact sheet.
"""

DETECT = """\
Writes detections of a folder of images, a text file an image, for build --format paddledet.

  --weights model.pt   by a model of ultralytics, oriented or not (pip install -r
                       requirements-detect.txt). Such a file is a pickle and may run anything when
                       it is read: use files that you trust.
  --method segments    without any detector: regions that differ from their surroundings, their
                       contrast as the score, and pseudo-classes by k-means over colour, texture
                       and shape. These are fitted on the training images and kept in a codebook,
                       which --codebook uses again for other images.
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
    parser.add_argument("--format", required=True, choices=FORMATS, help="of the detections")
    parser.add_argument(
        "--detections",
        required=True,
        nargs="+",
        metavar="DIR_OR_FILE",
        help="what the detector wrote; with coco also two files: results and list of images",
    )
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--out", required=True, metavar="FILE", help="the store to write (HDF5)")
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out detections that are wrong, list them and go on",
    )
    parser.add_argument(
        "--classes",
        metavar="FILE_OR_NAME",
        help="what class numbers in the detections mean (above)",
    )
    parser.add_argument(
        "--first-category",
        type=int,
        metavar="NUMBER",
        help="with coco and --classes: the category_id of its first class, 0 or 1 as a rule",
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
    way.add_argument("--weights", metavar="FILE", help="a model of ultralytics")
    way.add_argument("--method", choices=("segments",), help="a way that needs no model")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    model = parser.add_argument_group("with --weights")
    model.add_argument(
        "--classes",
        metavar="FILE_OR_NAME",
        help="classes to keep, matched by name; as build --store-classes (default: DOTA's 15)",
    )
    model.add_argument("--skip-bad", action="store_true", help="leave other classes out")
    model.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    model.add_argument(
        "--batch", type=cli.at_least_1, default=16, help="images at a time (default: 16)"
    )
    model.add_argument(
        "--image-size",
        type=cli.at_least_1,
        default=1024,
        help="pixels that the longer side is scaled to (default: 1024)",
    )
    model.add_argument(
        "--min-score", type=_number, default=0.05, help="lowest score written (default: 0.05)"
    )
    segments = parser.add_argument_group("with --method segments")
    segments.add_argument(
        "--codebook",
        metavar="FILE.npz",
        help="pseudo-classes: used if the file exists, else fitted and written (default: "
        "codebook.npz inside --out)",
    )
    segments.add_argument(
        "--fit-on",
        metavar="FILE",
        help="list of the training images, one a line (default: train_filename.txt beside "
        "--images, else all images)",
    )
    segments.add_argument(
        "--segment-classes", type=cli.at_least_1, default=15, help="pseudo-classes (default: 15)"
    )
    segments.add_argument("--seed", type=int, default=0, help="of the fit (default: 0)")
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_detect)


def _add_inspect(commands: Commands[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("inspect", description=INSPECT, help="say what is in a store")
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument("--image", metavar="NAME", help="the objects of one image")
    parser.set_defaults(run=_inspect)


def _add_show(commands: Commands[cli.ArgumentParser]) -> None:
    from galr.detectors.reading import FORMATS

    parser = commands.add_parser("show", description=SHOW, help="draw the objects of images")
    parser.add_argument("store", metavar="FILE", help="the store (HDF5)")
    parser.add_argument(
        "--image", required=True, nargs="+", metavar="NAME", help="an image, or several"
    )
    parser.add_argument("--out", required=True, metavar="FILE.png", help="the picture to write")
    parser.add_argument("--edges", type=int, default=10, help="edges drawn (default: %(default)s)")
    origin = parser.add_argument_group(
        "files", "where they are no longer where the store was built from"
    )
    origin.add_argument("--images", metavar="DIR", help="the folder of the images")
    origin.add_argument("--format", choices=FORMATS, help="of the detections")
    origin.add_argument("--detections", nargs="+", metavar="DIR_OR_FILE", help="the detections")
    parser.set_defaults(run=_show)


def add_drea_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for every option of DREA, over those of an options file."""
    group = parser.add_argument_group(
        "options of DREA", "over those of --path_opt (dataset.drea), over the defaults"
    )
    group.add_argument(
        "--path_opt",
        metavar="FILE",
        help="an options file with dataset.drea, or a checkpoint (.pth), which holds its own",
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
        help="the classes that the store has, in the order of their one-hot numbers, from the same "
        "sources as --classes (default: DOTA's 15)",
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
        raise UserError("--set", "changes an options file, and there is none", "add --path_opt")
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
        raise UserError("--first-category", "goes with --format coco and --classes", "omit it")
    if arguments.format == "coco" and classes is not None and first is None:
        raise UserError(
            "--classes",
            "does not say which category_id its first class has",
            "say it by --first-category: 1 as COCO counts, 0 as many others do",
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
        f"{arguments.out}: {images} images, {objects} objects of {features} numbers each\n"
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
        f"{arguments.out}: {written.detections} detections in {written.images} images; go on with\n"
        f"  python -m galr.local_features build --format paddledet --detections {out} "
        f"--store-classes {out}/{CLASSES_FILE} --images {shlex.quote(arguments.images)} "
        "--out FILE.h5\n"
    )


def _inspect(arguments: argparse.Namespace) -> None:
    from galr.detectors.inspect import image_lines, store_lines
    from galr.local_features.store import read_store

    store = read_store(arguments.store)
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
