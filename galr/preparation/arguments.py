"""Arguments that say how captions are read and what is done with damaged images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from galr.common import cli
from galr.images.scaling import Scaling

if TYPE_CHECKING:
    from galr.preparation.own_data import Choices


def add_reading_arguments(parser: argparse._ArgumentGroup) -> None:
    """What may be said of captions whose layout does not say it, and of damaged images."""
    parser.add_argument("--image-column", metavar="NAME", help="column with the image name")
    parser.add_argument(
        "--caption-column",
        metavar="NAME",
        action="append",
        default=[],
        help="column with captions (repeatable)",
    )
    parser.add_argument(
        "--split-column", metavar="NAME", help="column with the split; none: create a new split"
    )
    parser.add_argument(
        "--template",
        metavar="TEXT",
        action="append",
        default=[],
        help='caption for class folders, such as "an aerial picture of a {class}" (repeatable)',
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="skip missing and damaged images, and list them in left_out.tsv in --out",
    )
    parser.add_argument(
        "--max-bad",
        type=cli.within(0, 1),
        default=0.05,
        metavar="SHARE",
        help="with --skip-bad: maximum fraction of skipped images (default: %(default)s)",
    )


def choices_of(arguments: argparse.Namespace) -> Choices:
    """The choices that ``add_reading_arguments`` and ``cli.add_scaling_arguments`` read."""
    from galr.preparation.layouts.rows import Wanted
    from galr.preparation.own_data import Choices

    columns = tuple(arguments.caption_column)
    return Choices(
        wanted=Wanted(arguments.image_column, columns, arguments.split_column),
        templates=tuple(arguments.template),
        skip_bad=arguments.skip_bad,
        max_bad=arguments.max_bad,
        scaling=Scaling.of(arguments),
        tokenizer=arguments.tokenizer or "nltk",
    )
