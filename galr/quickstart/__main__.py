"""python -m galr.quickstart: images and captions in, a search page out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from galr.common import cli
from galr.common.errors import UserError
from galr.preparation.arguments import add_reading_arguments, choices_of

DESCRIPTION = """\
Builds a search page from your own images and captions (docs/own_data.md).

  python -m galr.quickstart --images DIR --captions FILE --out my_archive --minutes 30
  python -m galr.quickstart --images DIR --checkpoint best.pth --out my_archive

It prepares the data, extracts regions without a detector if time allows, trains within the time
budget, writes the test results and report, indexes all images and serves the page. Run the same
command again to resume after an interruption. With --checkpoint instead of captions, it only
indexes and serves, using that model.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, runs what is not done yet, and serves the page."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.quickstart")
    parser.add_argument("--images", metavar="DIR", help="folder of the images")
    parser.add_argument(
        "--captions",
        metavar="FILE_OR_DIR",
        help="captions, in any layout that python -m galr.data prepare reads",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--minutes",
        type=float,
        default=30.0,
        help="time budget for everything up to the page (default: %(default)g)",
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="trained model, instead of captions")
    parser.add_argument(
        "--split",
        default="90/0/10",
        metavar="TRAIN/VAL/TEST",
        help="percentages of the images, if the captions name no split (default: %(default)s; "
        "training draws its validation images from the training part)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of split and training (default: %(default)s)"
    )
    parser.add_argument("--no-serve", action="store_true", help="do not serve the page")
    parser.add_argument(
        "--port", type=int, default=8000, help="port of the page (default: %(default)s)"
    )
    add_reading_arguments(parser.add_argument_group("captions"))
    cli.add_tokenizer_argument(parser)
    cli.add_scaling_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.minutes <= 0:
        parser.error("--minutes must be greater than 0")

    from galr.quickstart.run import LOCAL, Request, quickstart

    choices = replace(
        choices_of(arguments), split=arguments.split, seed=arguments.seed, val_into_train=True
    )
    has_captions = arguments.captions is not None or bool(choices.templates)
    if has_captions == (arguments.checkpoint is not None):
        raise UserError(
            "python -m galr.quickstart",
            "needs either captions to train on or a trained model",
            "give either --captions (or --template) or --checkpoint",
        )
    if arguments.images is None and (arguments.checkpoint is not None or arguments.template):
        raise UserError("--images", "is missing", "name the image folder")
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
