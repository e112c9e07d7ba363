"""python -m postprocessing.rerank: recall@k before and after re-ranking, and its subcommands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import (
    PROGRAM,
    add_bank_arguments,
    add_method_arguments,
    add_part_arguments,
    add_settings_arguments,
    settings_of,
    write,
)
from postprocessing.settings import MethodSettings, reads
from postprocessing.tables import recall_table

DESCRIPTION = """\
Re-ranks the similarities of images and captions and prints recall@k before and after
(docs/rerank.md).

  python -m postprocessing.rerank --similarity sims.npy --captions-per-image 5 --out results.json
  python -m postprocessing.rerank --similarity DIR/0_test_similarity.npy --method csls
  python -m postprocessing.rerank explain --similarity sims.npy --captions-per-image 5 --query 3
  python -m postprocessing.rerank sweep --folder DIR --out sweep.json --heat-map sweep.png
  python -m postprocessing.rerank ablation --folder DIR

sims.npy holds similarities (images, captions) written by numpy.save; .csv and .pt files work too.
DIR is a folder written by test.py --save-similarity DIR. Each subcommand has its own --help.
"""

SUBCOMMANDS = ("explain", "sweep", "ablation")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the subcommand that ``argv`` begins with, or re-ranks."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-"):
        if argv[0] not in SUBCOMMANDS:
            raise UserError(
                PROGRAM, f"has no command {argv[0]!r}", f"use {', '.join(SUBCOMMANDS)}, or none"
            )
        importlib.import_module(f"postprocessing.rerank.{argv[0]}").main(argv[1:])
        return
    parser = cli.ArgumentParser(DESCRIPTION, prog=PROGRAM)
    add_part_arguments(parser)
    add_settings_arguments(parser)
    add_method_arguments(parser)
    add_bank_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write the metrics there, as JSON")
    arguments = parser.parse_args(argv)
    from postprocessing.inputs import part_of, task_of  # torch, which --help does not wait for

    settings, part = settings_of(arguments, MethodSettings), part_of(arguments)
    task = task_of(arguments, part)
    before, after = (task.metrics(own) for own in (replace(settings, method="none"), settings))
    what = reads(settings.method, task.banks.some)
    table = recall_table({"without re-ranking": before, "with re-ranking": after})
    write(f"{table}\n{settings.method} reads {what}")
    if arguments.out:
        images, captions = part.similarity.shape
        results = {
            "similarity": str(part.path),
            "images": images,
            "captions": captions,
            "rerank": {"method": settings.method, "reads": what, **settings.parameters()},
            "without_rerank": before,
            "with_rerank": after,
        }
        write_json(arguments.out, results)
        write(f"\nresults: {arguments.out}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
