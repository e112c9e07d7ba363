"""python -m postprocessing.rerank: recall before and after re-ranking, and its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.metrics.retrieval import metrics_of_ranks
from postprocessing.arguments import (
    PROGRAM,
    add_bank_arguments,
    add_method_arguments,
    add_part_arguments,
    add_settings_arguments,
    method_of,
    part_of,
    task_of,
    write,
)
from postprocessing.methods import reads
from postprocessing.recalls import recall_table

DESCRIPTION = """\
Reranks the similarities of images and captions, and prints the recalls before and after
(docs/rerank.md).

  python -m postprocessing.rerank --similarity sims.npy --captions-per-image 5 --out results.json
  python -m postprocessing.rerank --similarity DIR/0_test_similarity.npy --method csls
  python -m postprocessing.rerank explain --similarity sims.npy --captions-per-image 5 --query 3
  python -m postprocessing.rerank sweep --folder DIR --out sweep.json --heat-map sweep.png
  python -m postprocessing.rerank ablation --folder DIR

sims.npy holds the similarities (images, captions), written by numpy.save; DIR is what test.py
--save-similarity DIR wrote. Each subcommand has a --help of its own.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the subcommand that ``argv`` begins with, or the rerank itself."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-"):
        _subcommand(argv[0])(argv[1:])
        return
    parser = cli.ArgumentParser(DESCRIPTION, prog=PROGRAM)
    add_part_arguments(parser)
    add_settings_arguments(parser)
    add_method_arguments(parser)
    add_bank_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write both recalls there, as JSON")
    arguments = parser.parse_args(argv)
    settings, part = method_of(arguments), part_of(arguments)
    task = task_of(arguments, part)
    variants = {"without rerank": replace(settings, method="none"), "with rerank": settings}
    rows = {
        title: metrics_of_ranks(task.ranks(task.orders(own))) for title, own in variants.items()
    }
    what = reads(settings.method, task.banks.some)
    write(f"{recall_table(rows)}\n{settings.method} reads {what}")
    if arguments.out:
        images, captions = part.similarity.shape
        results = {
            "similarity": str(part.place),
            "images": images,
            "captions": captions,
            "rerank": {"method": settings.method, "reads": what, **settings.parameters()},
            **{title.replace(" ", "_"): metrics for title, metrics in rows.items()},
        }
        write_json(arguments.out, results)
        write(f"\nresults: {arguments.out}")


def _subcommand(name: str) -> Callable[[Sequence[str]], None]:
    # each is imported when it is asked for: matplotlib alone takes a second
    if name == "explain":
        from postprocessing.explain import main as run
    elif name == "sweep":
        from postprocessing.sweep import main as run
    elif name == "ablation":
        from postprocessing.ablation import main as run
    else:
        raise UserError(
            PROGRAM, f"no command {name!r}", "use explain, sweep, ablation, or options alone"
        )
    return run


if __name__ == "__main__":
    sys.exit(cli.run(main))
