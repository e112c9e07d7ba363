"""``python -m galr.data.demo``: makes the built-in demo data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

from galr import cli
from galr.data.demo.folder import DemoOptions, make_demo

DESCRIPTION = """\
Draws a small data set of aerial scenes (airports, harbors, courts, ...), the same for the same
seed on every machine with the same packages: images, five captions an image, train and test part,
and what a detector would find. A folder that already holds it is left as it is.

  python -m galr.data.demo --out data/demo_precomp
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the arguments, makes the folder and prints one line of what there is."""
    default = DemoOptions()
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.data.demo")
    parser.add_argument(
        "--out", default="data/demo_precomp", help="the folder to make (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=_number(0),
        default=default.seed,
        help="another seed, other pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--train",
        type=_number(1),
        default=default.train,
        metavar="N",
        help="images of the training part (default: %(default)s)",
    )
    parser.add_argument(
        "--test",
        type=_number(1),
        default=default.test,
        metavar="N",
        help="images of the test part (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    options = DemoOptions(arguments.seed, arguments.train, arguments.test)
    started = time.monotonic()
    made = make_demo(arguments.out, options)
    took = f"drawn in {time.monotonic() - started:.1f} s" if made else "already there"
    print(  # noqa: T201 - the script's result
        f"{arguments.out}: {options.train} training and {options.test} test images with "
        f"{5 * (options.train + options.test)} captions, seed {options.seed}, {took}"
    )


def _number(lowest: int) -> Callable[[str], int]:
    """A type for argparse: a whole number of at least ``lowest``."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number from {lowest}, got {text!r}")
        return int(text)

    return read


if __name__ == "__main__":
    sys.exit(cli.run(main))
