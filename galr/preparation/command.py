"""The command line of ``python -m galr.data``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from galr.common import cli
from galr.common.errors import UserError
from galr.images.scaling import Scaling
from galr.preparation.arguments import add_reading_arguments, choices_of

DESCRIPTION = """\
Prepares and checks data folders.

  python -m galr.data prepare --captions captions.csv --images DIR --out data/mine
  python -m galr.data prepare --json dataset_RSITMD.json --images DIR --out data/rsitmd_precomp
  python -m galr.data check data/mine
  python -m galr.data export data/mine --out captions.csv
"""

PREPARE = """\
Writes a data folder from your own images and captions, or from a published JSON.

--captions takes a file or a folder and detects its layout (docs/own_data.md): a table (CSV with
any delimiter, JSON Lines, Parquet), a JSON (list, mapping, COCO captions, Karpathy, NWPU-Captions),
an imagefolder with metadata.csv or .jsonl, WebDataset shards, a .txt next to each image; with
--template, class folders. The vocabulary and an options file are written as well, and the next
command is printed.

--json takes the Karpathy layout in which RSICD, RSITMD, UCM captions and Sydney captions are
published (docs/data.md), and keeps its order.

All images are checked first; nothing is written if one is missing or damaged.
"""

EXPORT = """\
Writes the captions of a data folder as a table: image, caption, split.
"""

CHECK = """\
Prints statistics of a data folder (images, captions, words, unknown words, captions shared by
several images) and the overlap between its parts: captions, files, near-duplicate images.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and runs the command."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.data")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_prepare(commands)
    _add_check(commands)
    _add_export(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _add_prepare(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("prepare", description=PREPARE, help="make a data folder")
    parser.add_argument(
        "--captions", metavar="FILE_OR_DIR", help="captions, in any layout (default: --images)"
    )
    parser.add_argument("--json", metavar="FILE", help="published annotations, kept in order")
    parser.add_argument(
        "--images", metavar="DIR", help="image folder (default: that of the captions)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the data folder to write")
    parser.add_argument(
        "--vocab",
        metavar="FILE",
        help="the vocabulary to write (default: vocab/NAME_splits_vocab.json, NAME being "
        "--out without _precomp)",
    )
    parser.add_argument(
        "--val-into-train",
        action="store_true",
        help="add the images of split val to the training part, as is customary for RSITMD",
    )
    own = parser.add_argument_group("with --captions")
    own.add_argument(
        "--options",
        metavar="FILE",
        help="the options file to write (default: options/NAME_GaLR.yaml)",
    )
    add_reading_arguments(own)
    own.add_argument(
        "--split",
        default="80/10/10",
        metavar="TRAIN/VAL/TEST",
        help="percentages of the images, if the captions name no split (default: %(default)s)",
    )
    own.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    own.add_argument(
        "--keep-duplicates-together",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep images that share a caption or look the same in one part (default: on)",
    )
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_prepare)


def _add_export(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    parser = commands.add_parser("export", description=EXPORT, help="captions as a table")
    parser.add_argument("folder", help="the data folder, for example data/rsitmd_precomp")
    parser.add_argument("--out", required=True, metavar="FILE", help="a .csv or .tsv to write")
    parser.set_defaults(run=_export)


def _add_check(commands: argparse._SubParsersAction[cli.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check", description=CHECK, help="print statistics of a data folder"
    )
    parser.add_argument("folder", help="the data folder, for example data/rsitmd_precomp")
    parser.add_argument(
        "--images", metavar="DIR", help="the folder of the images (default: images inside)"
    )
    parser.add_argument("--no-images", action="store_true", help="do not check the images")
    parser.add_argument(
        "--vocab", metavar="FILE", help="vocabulary (default: built from the captions)"
    )
    parser.add_argument("--out", metavar="FILE", help="also write the whole report as JSON")
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    parser.set_defaults(run=_check)


def _prepare(arguments: argparse.Namespace) -> None:
    name = Path(arguments.out).resolve().name.removesuffix("_precomp")
    vocab = arguments.vocab or f"vocab/{name}_splits_vocab.json"
    if arguments.json is None:
        _prepare_own(arguments, name, vocab)
        return
    from galr.preparation.prepare import prepare

    if arguments.captions is not None:
        raise UserError("--json", "cannot be combined with --captions", "give only one of them")
    if arguments.images is None:
        raise UserError("--images", "is missing", "name the folder of the images")
    said = prepare(
        arguments.json,
        arguments.images,
        arguments.out,
        vocab,
        val_into_train=arguments.val_into_train,
        scaling=Scaling.of(arguments),
        tokenizer=arguments.tokenizer or "nltk",
        skip_bad=arguments.skip_bad,
    )
    sys.stdout.write("\n".join(said) + "\n")


def _prepare_own(arguments: argparse.Namespace, name: str, vocab: str) -> None:
    import torch

    from galr.common.atomic import check_writable
    from galr.preparation.options_file import choose_recipe, write_options
    from galr.preparation.own_data import prepare_own

    if arguments.captions is None and arguments.images is None:
        raise UserError("prepare", "there is nothing to read", "give --captions and --images")
    options = arguments.options or f"options/{name}_GaLR.yaml"
    check_writable(options)
    choices = replace(
        choices_of(arguments),
        split=arguments.split,
        seed=arguments.seed,
        keep_duplicates_together=arguments.keep_duplicates_together,
        val_into_train=arguments.val_into_train,
    )
    prepared = prepare_own(arguments.captions, arguments.images, arguments.out, vocab, choices)
    recipe = choose_recipe(prepared.images["train"], has_gpu=torch.cuda.is_available())
    write_options(options, name, arguments.out, vocab, prepared.images, recipe, choices)
    train = "python train.py" if cli.called_as is None else "galr train"
    said = [*prepared.said, f"{options}: options, for {recipe.why}", "", "next:"]
    said.append(f"  {train} --path_opt {shlex.quote(str(options))}")
    sys.stdout.write("\n".join(said) + "\n")


def _export(arguments: argparse.Namespace) -> None:
    from galr.preparation.export import export_captions

    count = export_captions(arguments.folder, arguments.out)
    sys.stdout.write(f"{arguments.out}: {count} captions\n")


def _check(arguments: argparse.Namespace) -> None:
    from galr.common.atomic import write_json
    from galr.preparation.check import check_folder, described

    images = Path(arguments.images or Path(arguments.folder, "images"))
    if Path(arguments.folder).is_dir() and not images.is_dir() and not arguments.no_images:
        raise UserError(
            images, "there is no such image folder", "name it with --images, or add --no-images"
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
                "build it from these captions with vocab.py, with --tokenizer for other languages",
            )
    bad = [image for split in report["splits"].values() for image in split.get("bad_images", [])]
    if bad:
        raise UserError(arguments.folder, f"{len(bad)} images are bad", "replace them")
