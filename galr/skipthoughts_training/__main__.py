"""``python -m galr.skipthoughts_training``: trains skip-thoughts on sentences."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli
from galr.skipthoughts_training.arguments import parse


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and trains."""
    arguments = parse(argv)
    from galr.skipthoughts_training.run import run  # imports torch, which --help does not wait for

    run(arguments)


if __name__ == "__main__":
    sys.exit(cli.run(main))
