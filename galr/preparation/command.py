"""The command line of ``python -m galr.data``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli
from galr.images.scaling import Scaling

DESCRIPTION = """\
Makes and checks data folders.

  python -m galr.data prepare --json dataset_RSITMD.json --images DIR --out data/rsitmd_precomp
  python -m galr.data check data/rsitmd_precomp
"""

PREPARE = """\
Writes a data folder from a folder of images and a JSON in the Karpathy layout.

RSICD, RSITMD, UCM captions and Sydney captions are published that way (docs/data.md). Every image
is opened first; nothing is written if one is missing or damaged.
"""

CHECK = """\
Prints what is in a data folder: images, captions, words, unknown words, captions of several images,
and what its parts share: captions, files, images that look the same.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.data")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{prepare,check}")
    _add_prepare(commands)
    _add_check(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _add_prepare(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("prepare", description=PREPARE, help="make a data folder")
    parser.add_argument("--json", required=True, metavar="FILE", help="the published annotations")
    parser.add_argument("--images", required=True, metavar="DIR", help="the folder of the images")
    parser.add_argument("--out", required=True, metavar="DIR", help="the data folder to write")
    parser.add_argument(
        "--vocab",
        metavar="FILE",
        help="the vocabulary to write (default: vocab/NAME_splits_vocab.json, with the name of "
        "--out less _precomp)",
    )
    parser.add_argument(
        "--val-into-train",
        action="store_true",
        help="put the images of split val into the training part, as the field does for RSITMD",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave out and list what is missing or damaged"
    )
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_prepare)


def _add_check(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("check", description=CHECK, help="say what is in a data folder")
    parser.add_argument("folder", help="the data folder, for example data/rsitmd_precomp")
    parser.add_argument(
        "--images", metavar="DIR", help="the folder of the images (default: images inside)"
    )
    parser.add_argument("--no-images", action="store_true", help="do not look at the images")
    parser.add_argument("--vocab", metavar="FILE", help="the vocabulary (default: built anew)")
    parser.add_argument("--out", metavar="FILE", help="also write the whole report as JSON")
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_check)


def _prepare(arguments: argparse.Namespace) -> None:
    from galr.preparation.prepare import prepare

    name = Path(arguments.out).resolve().name.removesuffix("_precomp")
    said = prepare(
        arguments.json,
        arguments.images,
        arguments.out,
        arguments.vocab or f"vocab/{name}_splits_vocab.json",
        val_into_train=arguments.val_into_train,
        scaling=Scaling.of(arguments),
        tokenizer=arguments.tokenizer or "nltk",
        skip_bad=arguments.skip_bad,
    )
    sys.stdout.write("\n".join(said) + "\n")


def _check(arguments: argparse.Namespace) -> None:
    from galr.common.atomic import write_json
    from galr.common.errors import UserError
    from galr.preparation.check import check_folder, described

    images = Path(arguments.images or Path(arguments.folder, "images"))
    if Path(arguments.folder).is_dir() and not images.is_dir() and not arguments.no_images:
        raise UserError(
            images, "there is no such folder of images", "name it by --images, or add --no-images"
        )
    report = check_folder(
        arguments.folder,
        None if arguments.no_images else images,
        arguments.vocab,
        Scaling.of(arguments),
        arguments.tokenizer or "nltk",
    )
    sys.stdout.write(described(report) + "\n")
    if arguments.out is not None:
        write_json(arguments.out, report)
    for name, split in report["splits"].items():
        if split["captions_of_unknown_words_only"] == split["captions"]:
            raise UserError(
                Path(arguments.folder, f"{name}_caps.txt"),
                "no caption has a word of the vocabulary",
                "make that of these captions by vocab.py, in other languages with --tokenizer",
            )
    bad = [image for split in report["splits"].values() for image in split.get("bad_images", [])]
    if bad:
        raise UserError(arguments.folder, f"{len(bad)} images are bad", "replace them")
