"""What each term of the multivariate score contributes: alone, in pairs, and all three."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import (
    PROGRAM,
    SAVED,
    add_part_arguments,
    add_settings_arguments,
    settings_of,
    write,
)
from postprocessing.settings import RerankSettings
from postprocessing.tables import recall_table

if TYPE_CHECKING:
    from postprocessing.evaluator import Metrics
    from postprocessing.files import Part

DESCRIPTION = """\
Recall@k with each term of the multivariate score alone, with pairs, and with all three; the other
weights are 0. The rank term alone keeps the original order: its row differs from that without
re-ranking only in the order of equal similarities, which otherwise count against the query.

  python -m postprocessing.rerank ablation --similarity sims.npy --captions-per-image 5
  python -m postprocessing.rerank ablation --folder DIR --part validation --out ablation.json

With a DIR written by test.py --save-similarity, metrics are means over its folds.
"""

TERMS = {"saliency": "w_saliency", "rank": "w_rank", "reverse rank": "w_reverse"}


def main(argv: Sequence[str]) -> None:
    """Parses ``argv`` and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} ablation")
    add_part_arguments(parser, required=False)
    parser.add_argument("--folder", metavar="DIR", help=SAVED)
    parser.add_argument(
        "--part", choices=("test", "validation"), default="test",
        help="part of --folder to read (default: %(default)s)",
    )  # fmt: skip
    add_settings_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write the metrics there, as JSON")
    arguments = parser.parse_args(argv)
    # torch takes seconds, which --help does not wait for
    from postprocessing.files import read_part, saved_folds
    from postprocessing.inputs import part_of

    if (arguments.folder is None) == (arguments.similarity is None):
        raise UserError(parser.prog, "needs similarities", "give either --similarity or --folder")
    if arguments.folder is None:
        parts = [part_of(arguments)]
    else:
        parts = [read_part(path) for path in saved_folds(arguments.folder, arguments.part).values()]
    settings = settings_of(arguments, RerankSettings)
    rows = ablation(parts, settings)
    write(recall_table(rows, title="terms"))
    if arguments.out:
        write_json(arguments.out, {"rerank": asdict(settings), "terms": rows})
        write(f"\nresults: {arguments.out}")


def ablation(parts: Sequence[Part], settings: RerankSettings) -> dict[str, Metrics]:
    """Mean metrics over ``parts`` for each set of terms that keep their weight."""
    from postprocessing.evaluator import evaluators_of, mean_of

    evaluators = evaluators_of(parts, settings.k)
    rows = {"without re-ranking": mean_of([each.plain() for each in evaluators])}
    for count in range(1, len(TERMS) + 1):
        for kept in itertools.combinations(TERMS, count):
            weights = {
                weight: getattr(settings, weight) * (term in kept) for term, weight in TERMS.items()
            }
            changed = replace(settings, **weights)
            rows[" + ".join(kept)] = mean_of([each.reranked(changed) for each in evaluators])
    return rows
