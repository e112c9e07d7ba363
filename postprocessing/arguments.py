"""Arguments that the commands of re-ranking share, and what they name."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from typing import Any

from galr.common import cli
from galr.common.errors import UserError
from galr.metrics.similarities import as_floats
from postprocessing.banks import Bank
from postprocessing.methods import METHODS, MethodSettings
from postprocessing.similarity_files import Part, read_bank, read_part
from postprocessing.task import Banks, RetrievalTask
from postprocessing.terms import RerankSettings

PROGRAM = "python -m postprocessing.rerank"


def add_part_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds the arguments that name similarities and their captions' images."""
    parser.add_argument(
        "--similarity", metavar="FILE", required=required, help="similarities (images, captions)"
    )
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument(
        "--captions-per-image",
        type=cli.at_least_1,
        metavar="N",
        help="the first N captions belong to the first image, and so on",
    )
    whose.add_argument(
        "--caption-to-image",
        metavar="FILE",
        help="the image of each caption (C,), a .npy file; not needed beside a file of "
        "test.py --save-similarity",
    )


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the numbers of the rerank formula, with those of the released code as defaults."""
    default = RerankSettings()
    parser.add_argument(
        "--k", type=cli.at_least_1, default=default.k,
        help="candidates of a query that are reranked (default: %(default)s)",
    )  # fmt: skip
    for name, what in (
        ("w-saliency", "weight of the saliency term"),
        ("w-rank", "weight of the rank term"),
        ("w-reverse", "weight of the reverse rank term"),
        ("xi", "decay of a rank's worth"),
    ):
        parser.add_argument(
            f"--{name}", type=not_negative, default=getattr(default, name.replace("-", "_")),
            metavar="X", help=f"{what} (default: %(default)s)",
        )  # fmt: skip
    add_reverse_arguments(parser)


def add_reverse_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the reverse rank means."""
    default = RerankSettings()
    parser.add_argument(
        "--reverse", choices=("relative", "absolute"), default=default.reverse,
        help="the reverse rank: among the k candidates (released code) or in the candidate's own "
        "list (paper) (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ties", choices=("released", "stable"), default=default.ties,
        help="equal ranks in --reverse relative: in plain order, or as numpy.argsort leaves them "
        "on this processor, like the released code (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--l", type=cli.at_least_1, metavar="N",
        help="with --reverse absolute: reverse ranks beyond the first N count nothing",
    )  # fmt: skip


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the method and the numbers of those that are not the paper's."""
    default = MethodSettings()
    parser.add_argument(
        "--method", choices=[name for name in METHODS if name != "dual_bank"],
        default=default.method, help="how candidates are re-ranked (default: %(default)s)",
    )  # fmt: skip
    add_correction_arguments(parser)


def add_correction_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the numbers of the methods that correct a similarity."""
    default = MethodSettings()
    for name, kind, what in (
        ("beta", beta, "inverse temperature of the softmax methods, 1 to 100"),
        ("neighbours", cli.at_least_1, "csls, nnn: how many of the largest are averaged"),
        ("alpha", not_negative, "nnn: weight of what is subtracted"),
        ("activation", cli.at_least_1, "qb_norm: best candidates of a bank query that are hubs"),
    ):
        parser.add_argument(
            f"--{name}", type=kind, default=getattr(default, name), metavar="X",
            help=f"{what} (default: %(default)s)",
        )  # fmt: skip


def add_bank_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the similarities of banks."""
    parser.add_argument(
        "--bank-images", metavar="FILE",
        help="similarities (bank images, captions): read for image to text in place of those of "
        "the other test images",
    )  # fmt: skip
    parser.add_argument(
        "--bank-captions", metavar="FILE",
        help="similarities (bank captions, images): the same for text to image",
    )  # fmt: skip


def method_of(arguments: argparse.Namespace) -> MethodSettings:
    """The method and numbers that the arguments name."""
    names = ("method", "beta", "neighbours", "alpha", "activation")
    given = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    return MethodSettings(**given, multivariate=settings_of(arguments))


def task_of(arguments: argparse.Namespace, part: Part) -> RetrievalTask:
    """The similarities with the banks that the arguments name; both banks, or none."""
    images, captions = part.similarity.shape
    files = arguments.bank_images, arguments.bank_captions
    if files == (None, None):
        return RetrievalTask.of(part.similarity, part.caption_to_image)
    if None in files:
        missing = "--bank-images" if files[0] is None else "--bank-captions"
        raise UserError(missing, "is missing", "name a bank of each kind, or none")
    i2t, t2i = (
        Bank(as_floats(read_bank(path, count)))
        for path, count in zip(files, (captions, images), strict=True)
    )
    return RetrievalTask.of(part.similarity, part.caption_to_image, Banks(i2t, t2i))


def part_of(arguments: argparse.Namespace) -> Part:
    """The similarities that the arguments name."""
    return read_part(arguments.similarity, arguments.captions_per_image, arguments.caption_to_image)


def settings_of(arguments: argparse.Namespace) -> RerankSettings:
    """The settings that the arguments name; those without an argument keep their default."""
    given: dict[str, Any] = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(RerankSettings)
        if hasattr(arguments, field.name)
    }
    return RerankSettings(**given)


def beta(text: str) -> float:
    """The type of an argument that is an inverse temperature."""
    number = not_negative(text)
    if not 1 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 1 to 100")
    return number


def not_negative(text: str) -> float:
    """The type of an argument that is a weight."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def write(text: str) -> None:
    """Prints a script's result."""
    sys.stdout.write(f"{text}\n")
