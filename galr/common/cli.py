"""Shared by all commands: exit status, log lines, one-line errors."""

from __future__ import annotations

import argparse
import io
import logging
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from galr.common import interrupts
from galr.common.errors import UserError
from galr.common.memory import keep_freed_memory
from galr.common.processes import death_of_loader, end_with_launcher, end_with_parent

# the name by which the console command was called; None for a script or module
called_as: str | None = None


class ArgumentParser(argparse.ArgumentParser):
    """argparse with line breaks preserved in help, and one-line errors."""

    def __init__(self, description: str, *, prog: str | None = None) -> None:
        super().__init__(
            prog=prog if called_as is None else called_as,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - of argparse
        """Parses arguments and expands ``~``, which a shell leaves in ``--out=~/x``."""
        found, rest = super().parse_known_args(args, namespace)
        for name, value in vars(found).items():
            if isinstance(value, list):
                value[:] = map(with_home, value)
            else:
                setattr(found, name, with_home(value))
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Prints ``message`` without the usage block and exits with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


OPTIONS_FILE = "options/RSITMD_GaLR.yaml"


def with_home(value: Any) -> Any:  # noqa: ANN401 - what an argument may be
    """Expands a leading ``~/`` to the home folder; returns anything else unchanged."""
    return os.path.expanduser(value) if str(value).startswith("~/") else value


def add_options_arguments(
    parser: argparse.ArgumentParser, default: str | None = OPTIONS_FILE, said: str = "%(default)s"
) -> None:
    """Adds ``--path_opt FILE`` and ``--set key=value``; ``said`` tells what the default is."""
    parser.add_argument(
        "--path_opt",
        metavar="FILE",
        default=default,
        help="options file, or the name of a shipped one such as UCM_GaLR "
        f"(default: {said}); see docs/options.md",
    )
    add_set_argument(parser, "override an option, for example --set optim.lr=1e-4 (repeatable)")


def add_set_argument(parser: argparse._ActionsContainer, text: str) -> None:
    """Adds ``--set key=value``, whose values are ``overrides``, with the help ``text``."""
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides", help=text
    )


def add_verify_argument(parser: argparse.ArgumentParser) -> None:
    """``--verify``, for the commands that read caches and stores."""
    parser.add_argument(
        "--verify",
        action="store_true",
        help="first compare caches and local features with the images they were made from",
    )


def add_scaling_arguments(parser: argparse.ArgumentParser) -> None:
    """``--pixel-range``, ``--bands`` and ``--no-data``, as the dataset options of those names."""
    group = parser.add_argument_group("images with more than 8 bits or three bands")
    group.add_argument(
        "--pixel-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values mapped to black and white (default: 1st and 99th percentile)",
    )
    group.add_argument(
        "--bands",
        nargs="+",
        type=int,
        metavar="N",
        help="bands for red, green and blue, or for grey, from 1 (default: as stated in the file)",
    )
    group.add_argument(
        "--no-data",
        type=float,
        metavar="X",
        help="nodata value (default: the one stated in a GeoTIFF)",
    )


def add_tokenizer_argument(parser: argparse.ArgumentParser) -> None:
    """``--tokenizer``, as the dataset option of that name."""
    parser.add_argument(
        "--tokenizer",
        choices=("nltk", "whitespace", "characters"),
        help="how captions are split into words (default: dataset.tokenizer, which is nltk)",
    )


def within(
    low: float, high: float = math.inf, kind: type[int] | type[float] = float
) -> Callable[[str], float]:
    """The type of an argument that is a finite number of ``kind`` from ``low`` to ``high``."""

    def number(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or value == math.inf:
            what = "whole number" if kind is int else "number"
            span = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a {what} {span}")
        return value

    return number


at_least_1 = within(1, kind=int)


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Runs ``main(argv)`` and returns the exit status: 0, 1 (run time), 2 (input), 130 (Ctrl-C),
    143 (SIGTERM).

    Without ``argv`` this is a whole script, and another signal while Python ends kills it at once.
    GALR_DEBUG=1 in the environment shows the traceback of an error as well.
    """
    with interrupts.stoppable(is_script=argv is None):
        return _run(main, argv)


def _run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None) -> int:
    # before torch is imported: threads that spin while waiting make a run five times slower if
    # another one shares the cores
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    end_with_parent()
    end_with_launcher()
    keep_freed_memory()
    # of the processes started by torchrun, the first reports
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not support all letters of a name
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    try:
        main(argv)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        return _stopped(str(error))
    except UserError as error:
        if interrupts.came():
            return _stopped()
        _show(error)
        return error.status
    except BrokenPipeError:
        # the reader of our output (head, less) has gone; a second flush at exit must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence of a script
        if interrupts.came():  # whatever a library has turned it into
            return _stopped()
        if (death := death_of_loader(error)) is not None:
            _show(death)
            return death.status
        text = " ".join(str(error).split())
        _show(f"unexpected {type(error).__name__}: {text}; run with GALR_DEBUG=1 to see where")
        return 1
    return 0


def _stopped(message: str = "") -> int:
    print(message or interrupts.told(), file=sys.stderr)  # noqa: T201 - a script's last line
    return interrupts.status()


def _show(error: UserError | str) -> None:
    if os.environ.get("GALR_DEBUG") == "1":
        traceback.print_exc()
    print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a script's last line
