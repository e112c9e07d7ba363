"""What each term of the rerank gives: alone, in pairs, and all three."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import (
    PROGRAM,
    add_part_arguments,
    add_settings_arguments,
    part_of,
    settings_of,
    write,
)
from postprocessing.recalls import Metrics, RerankRecalls, mean_of, recall_table
from postprocessing.similarity_files import Part, read_part, saved_folds
from postprocessing.terms import RerankSettings

DESCRIPTION = """\
Recalls with each term of the rerank alone, in pairs, and with all three; the other terms' weights
are 0. The rank term alone keeps the plain order: its row differs from that without rerank only
where similarities are equal, which count against the query there.

  python -m postprocessing.rerank ablation --similarity sims.npy --captions-per-image 5
  python -m postprocessing.rerank ablation --folder DIR --part validation --out ablation.json

DIR is what test.py --save-similarity wrote; the recalls are then the mean over its folds.
"""

TERMS = {"saliency": "w_saliency", "rank": "w_rank", "reverse rank": "w_reverse"}


def main(argv: Sequence[str]) -> None:
    """Parses ``argv`` and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} ablation")
    add_part_arguments(parser, required=False)
    parser.add_argument("--folder", metavar="DIR", help="what test.py --save-similarity wrote")
    parser.add_argument(
        "--part", choices=("test", "validation"), default="test",
        help="of --folder (default: %(default)s)",
    )  # fmt: skip
    add_settings_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write the metrics there, as JSON")
    arguments = parser.parse_args(argv)
    if (arguments.folder is None) == (arguments.similarity is None):
        raise UserError(parser.prog, "similarities of what?", "give --similarity or --folder")
    if arguments.folder is None:
        parts = [part_of(arguments)]
    else:
        parts = [read_part(path) for path in saved_folds(arguments.folder, arguments.part).values()]
    settings = settings_of(arguments)
    rows = ablation(parts, settings)
    write(recall_table(rows, first="terms"))
    if arguments.out:
        write_json(arguments.out, {"rerank": asdict(settings), "terms": rows})
        write(f"\nresults: {arguments.out}")


def ablation(parts: Sequence[Part], settings: RerankSettings) -> dict[str, Metrics]:
    """Metrics, the mean over ``parts``, by the terms whose weight is kept."""
    recalls = [RerankRecalls(part, settings.k) for part in parts]
    rows = {"without rerank": mean_of([each.plain() for each in recalls])}
    for count in range(1, len(TERMS) + 1):
        for kept in itertools.combinations(TERMS, count):
            zero: dict[str, Any] = {
                weight: 0.0 for term, weight in TERMS.items() if term not in kept
            }
            changed = replace(settings, **zero)
            rows[" + ".join(kept)] = mean_of([each.reranked(changed) for each in recalls])
    return rows
