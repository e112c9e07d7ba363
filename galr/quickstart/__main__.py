"""python -m galr.quickstart: pictures and captions in, a search page out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from galr.common import cli
from galr.common.errors import UserError
from galr.preparation.command import add_reading_arguments, choices_of

DESCRIPTION = """\
Goes from pictures and captions of your own to a search page (docs/own_data.md).

  python -m galr.quickstart --images DIR --captions FILE --out my_archive --minutes 30
  python -m galr.quickstart --images DIR --checkpoint best.pth --out my_archive

It prepares the data, finds regions without a detector where there is time for it, trains within the
minutes, writes the test's table and report, makes an archive of all pictures and serves the page.
Stopped and started again it goes on. With --checkpoint and without captions it makes archive and
page by that model.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, runs what is not done yet, and serves the page."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.quickstart")
    parser.add_argument("--images", metavar="DIR", help="the folder of the pictures")
    parser.add_argument(
        "--captions", metavar="FILE_OR_DIR", help="captions in any layout that prepare reads"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--minutes",
        type=float,
        default=30.0,
        help="that all may take but the page (default: %(default)g)",
    )
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a trained model, in place of captions"
    )
    parser.add_argument(
        "--split",
        default="90/0/10",
        metavar="TRAIN/VAL/TEST",
        help="shares of the pictures, where the captions name no split (default: %(default)s; "
        "training chooses by pictures of its own part)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of split and training (%(default)s)")
    parser.add_argument("--no-serve", action="store_true", help="end without the page")
    parser.add_argument("--port", type=int, default=8000, help="of the page (default: %(default)s)")
    add_reading_arguments(parser.add_argument_group("captions"))
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.minutes <= 0:
        parser.error("--minutes is not above 0")

    from galr.quickstart.run import LOCAL, Request, quickstart

    choices = replace(
        choices_of(arguments), split=arguments.split, seed=arguments.seed, val_into_train=True
    )
    has_captions = arguments.captions is not None or bool(choices.templates)
    if has_captions == (arguments.checkpoint is not None):
        raise UserError(
            "python -m galr.quickstart",
            "needs captions to train by, or a trained model",
            "give either --captions (or --template) or --checkpoint",
        )
    if arguments.images is None and (arguments.checkpoint is not None or arguments.template):
        raise UserError("--images", "is missing", "name the folder of the pictures")
    archive = quickstart(
        Request(
            images=None if arguments.images is None else Path(arguments.images),
            captions=None if arguments.captions is None else Path(arguments.captions),
            out=Path(arguments.out),
            minutes=arguments.minutes,
            checkpoint=None if arguments.checkpoint is None else Path(arguments.checkpoint),
            choices=choices,
        )
    )
    if not arguments.no_serve:
        from galr.search.serve.command import serve

        local = archive.parent / LOCAL
        serve(archive, local=local if local.is_file() else None, port=arguments.port)


if __name__ == "__main__":
    sys.exit(cli.run(main))
