"""Command-line arguments shared by the re-ranking commands."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from typing import TypeVar

from galr.common import cli
from postprocessing.settings import METHODS, MethodSettings, RerankSettings

PROGRAM = "python -m postprocessing.rerank"
SAVED = "what test.py --save-similarity wrote"
not_negative = cli.within(0)

Settings = TypeVar("Settings", bound=RerankSettings)


def add_part_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Adds the arguments that name similarities and the image of each caption."""
    parser.add_argument(
        "--similarity", metavar="FILE", required=required,
        help="similarities (images, captions): .npy, .csv or .pt",
    )  # fmt: skip
    add_caption_arguments(parser)


def add_caption_arguments(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Adds the arguments that name the image of each caption."""
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--captions-per-image", type=cli.at_least_1, metavar="N",
        help="the first N captions belong to the first image, and so on",
    )  # fmt: skip
    images.add_argument(
        "--caption-to-image", metavar="FILE", nargs=nargs,
        help="index of each caption's image (C,); default: the file that test.py --save-similarity "
        "wrote next to --similarity",
    )  # fmt: skip


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the parameters of the multivariate score, with the released code's as defaults."""
    default = RerankSettings()
    parser.add_argument(
        "--k", type=cli.at_least_1, default=default.k,
        help="candidates per query to re-rank (default: %(default)s)",
    )  # fmt: skip
    for name, what in (
        ("w-saliency", "weight of the saliency term"),
        ("w-rank", "weight of the rank term"),
        ("w-reverse", "weight of the reverse rank term"),
        ("xi", "exponential decay of the rank terms"),
    ):
        _add_number(parser, name, not_negative, what, default)
    add_reverse_arguments(parser)


def add_reverse_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the definition of the reverse rank."""
    default = RerankSettings()
    parser.add_argument(
        "--reverse", choices=("relative", "absolute"), default=default.reverse,
        help="the reverse rank: among the k candidates (released code) or in the candidate's own "
        "list (paper) (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ties", choices=("released", "stable"), default=default.ties,
        help="order of equal ranks with --reverse relative: by similarity (stable), or as "
        "numpy.argsort on this CPU leaves it, as in the released code (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--l", type=cli.at_least_1, metavar="N",
        help="with --reverse absolute: no reverse rank term beyond rank N",
    )  # fmt: skip


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the method and its parameters."""
    parser.add_argument(
        "--method", choices=[name for name in METHODS if name != "dual_bank"],
        default=MethodSettings().method, help="re-ranking method (default: %(default)s)",
    )  # fmt: skip
    add_correction_arguments(parser)


def add_correction_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the parameters of the methods that correct similarities."""
    for name, kind, what in (
        ("beta", cli.within(1, 100), "inverse temperature of the softmax methods, 1 to 100"),
        ("neighbours", cli.at_least_1, "csls, nnn: number of largest similarities to average"),
        ("alpha", not_negative, "nnn: weight of the subtracted mean"),
        ("activation", cli.at_least_1, "qb_norm: a bank query's best N candidates count as hubs"),
    ):
        _add_number(parser, name, kind, what, MethodSettings())


def add_bank_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the files of bank similarities."""
    for name, shape, direction in (
        ("bank-images", "(bank images, captions)", "image to text"),
        ("bank-captions", "(bank captions, images)", "text to image"),
    ):
        parser.add_argument(
            f"--{name}", metavar="FILE",
            help=f"similarities {shape}, for {direction} instead of the other test queries",
        )  # fmt: skip


def settings_of(arguments: argparse.Namespace, kind: type[Settings]) -> Settings:
    """Settings from the arguments; the rest keep their defaults."""
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in vars(arguments).items() if key in names})


def write(text: str) -> None:
    """Prints a command's result."""
    sys.stdout.write(f"{text}\n")


def _add_number(
    parser: argparse.ArgumentParser,
    name: str,
    kind: Callable[[str], float],
    what: str,
    default: RerankSettings,
) -> None:
    parser.add_argument(
        f"--{name}", type=kind, default=getattr(default, name.replace("-", "_")),
        metavar="X", help=f"{what} (default: %(default)s)",
    )  # fmt: skip
