"""DREA options on the command line."""

from __future__ import annotations

import argparse
import contextlib

from galr.common import cli
from galr.common.errors import UserError
from galr.options import DreaOptions, load_options
from galr.options.reading import options_from_dict


def add_drea_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for every DREA option, overriding an options file."""
    group = parser.add_argument_group(
        "DREA options",
        "override those of --path_opt (dataset.drea), which override the defaults",
    )
    group.add_argument(
        "--path_opt",
        metavar="FILE",
        help="options file with dataset.drea, or a checkpoint (.pth) with its own",
    )
    cli.add_set_argument(
        group, "override an option of --path_opt, for example --set dataset.drea.gain=2"
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
        group.add_argument(flag, metavar=name.upper(), type=number, help=said)
        if "_" in name:  # as it is written in an options file
            group.add_argument(f"--{name}", type=number, dest=name, help=argparse.SUPPRESS)


def drea_options(arguments: argparse.Namespace) -> DreaOptions:
    """The options given by the arguments; raises UserError for invalid ones."""
    from galr.local_features.numbering import read_classes

    if arguments.overrides and arguments.path_opt is None:
        raise UserError("--set", "needs an options file", "add --path_opt")
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


def number(text: str) -> int | float:
    """Argument type of a number."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number")
