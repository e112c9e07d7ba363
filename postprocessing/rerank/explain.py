"""The command that explains the order of a query's candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import (
    PROGRAM,
    add_part_arguments,
    add_settings_arguments,
    settings_of,
    write,
)
from postprocessing.settings import RerankSettings
from postprocessing.tables import aligned

if TYPE_CHECKING:
    from postprocessing.explain import Explained

DESCRIPTION = """\
Shows the candidates of one query in their order after re-ranking, and what moved each.

now, was        rank after and before re-ranking, 1 is best; * marks correct answers
similarity      as given by the model
saliency        w_saliency * the query's share of the candidate's similarities
rank            w_rank * exp(-xi * rank before)
reverse         w_reverse * exp(-xi * reverse rank)
score           the sum of the terms, which decides the order
in its list     rank of the query among all queries, by similarity to the candidate

  python -m postprocessing.rerank explain --similarity sims.npy --captions-per-image 5 --query 3
  ... --direction t2i --names names.txt --picture moves.png
"""


def main(argv: Sequence[str]) -> None:
    """Parses ``argv``, prints the table and writes the requested files."""
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} explain")
    add_part_arguments(parser)
    add_settings_arguments(parser)
    parser.add_argument("--query", type=int, required=True, metavar="N", help="index from 0")
    parser.add_argument(
        "--direction", choices=("i2t", "t2i"), default="i2t",
        help="i2t: the query is an image (default); t2i: a caption",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=cli.at_least_1, default=10, metavar="N",
        help="candidates to show (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--names", metavar="FILE", help="names of all candidates, one per line")
    parser.add_argument("--out", metavar="FILE", help="write all candidates there, as JSON")
    parser.add_argument("--picture", metavar="FILE", help="plot ranks and terms there, as PNG")
    arguments = parser.parse_args(argv)
    # torch takes seconds, which --help does not wait for
    from postprocessing.explain import explain
    from postprocessing.files import read_lines
    from postprocessing.inputs import part_of

    part, query = part_of(arguments), arguments.query
    settings = settings_of(arguments, RerankSettings)
    is_image = arguments.direction == "i2t"
    similarity = part.similarity if is_image else part.similarity.T
    queries, candidates = similarity.shape
    if not 0 <= query < queries:
        raise UserError("--query", f"there is no query {query}", f"use 0 to {queries - 1}")
    names = read_lines(arguments.names, candidates, "name") if arguments.names else []
    own_image = part.caption_to_image
    correct = set(np.flatnonzero(own_image == query) if is_image else [own_image[query]])
    rows = explain(similarity, query, settings)
    write(explained_table(rows, names, correct, arguments.top))
    if arguments.out:
        results = {
            "similarity": arguments.similarity,
            "direction": arguments.direction,
            "query": query,
            "right": sorted(map(int, correct)),
            "rerank": asdict(settings),
            "candidates": [row._asdict() for row in rows],
        }
        write_json(arguments.out, results)
    if arguments.picture:
        from postprocessing.plots import draw_moves

        title = f"{'image' if is_image else 'caption'} {query}"
        draw_moves(arguments.picture, rows[: arguments.top], names, correct, title)


def explained_table(
    rows: Sequence[Explained], names: Sequence[str], correct: set[int], top: int
) -> str:
    """A line per candidate, best first, then the ranks of the other correct answers."""
    header = ["candidate", "now", "was", "similarity", "saliency", "rank", "reverse", "score",
              "in its list"]  # fmt: skip
    body = [
        [
            f"{row.candidate}{'*' * (row.candidate in correct)}", str(row.now), str(row.was),
            *(f"{value:.4f}" for value in row[3:8]), str(row.own_place),
        ]
        for row in rows[:top]
    ]  # fmt: skip
    first, *lines = aligned([header, *body]).splitlines()
    labels = [f"  {names[row.candidate]}" if names else "" for row in rows[:top]]
    lines = [first, *(line + label for line, label in zip(lines, labels, strict=True))]
    lines += [
        f"correct answer {row.candidate}: now {row.now}, was {row.was} (--top {row.now} shows it)"
        for row in rows[top:]
        if row.candidate in correct
    ]
    beyond = len(correct - {row.candidate for row in rows})
    if beyond:
        lines.append(
            f"{beyond} of {len(correct)} correct answers are beyond the {len(rows)} candidates"
        )
    return "\n".join(lines)
