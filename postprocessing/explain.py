"""Why the rerank put a query's candidates in their order: the terms of each candidate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.metrics.similarities import Array, as_floats
from postprocessing.arguments import (
    PROGRAM,
    add_part_arguments,
    add_settings_arguments,
    part_of,
    settings_of,
    write,
)
from postprocessing.neighbours import find_neighbours
from postprocessing.recalls import BLOCK_NUMBERS
from postprocessing.terms import RerankSettings, combine, terms

DESCRIPTION = """\
Shows the candidates of one query in their order after rerank, and what moved each.

was, now        place before and after rerank, 1 is best; * marks the right answers
similarity      what the model says
saliency        w_saliency * the candidate's share of all similarities to it
rank            w_rank * exp(-xi * place before)
reverse         w_reverse * exp(-xi * reverse place)
score           their sum, which decides
in its list     place of the query in the candidate's own list: 1 where the candidate, asked for
                its best query, names this one

  python -m postprocessing.rerank explain --similarity sims.npy --captions-per-image 5 --query 3
  ... --direction t2i --names names.txt --picture moves.png
"""


class Explained(NamedTuple):
    """One candidate of a query; terms are weighted, places count from 1."""

    candidate: int
    was: int
    now: int
    similarity: float
    saliency: float
    rank: float
    reverse: float
    score: float
    own_place: int  # of the query in the candidate's list
    reverse_place: int  # as it enters the reverse term


def explain(similarity: Array, query: int, settings: RerankSettings) -> list[Explained]:
    """The candidates of ``query`` after rerank, best first, with all that decided their order.

    similarity (Q, C) -> min(k, C) candidates. Raises IndexError where there is no such query.
    """
    matrix = as_floats(similarity)
    if not 0 <= query < len(matrix):
        raise IndexError(f"query must be in 0..{len(matrix) - 1}, got {query}")
    own = find_neighbours(matrix, settings.k, BLOCK_NUMBERS, query=query)
    parts = terms(own, settings)
    scores, order = combine(parts, settings).sort(dim=1, descending=True, stable=True)
    return [
        Explained(
            candidate=int(own.candidates[0, plain]),
            was=plain + 1,
            now=now,
            similarity=float(own.similarity[0, plain]),
            saliency=settings.w_saliency * float(parts.saliency[0, plain]),
            rank=settings.w_rank * float(parts.rank[0, plain]),
            reverse=settings.w_reverse * float(parts.reverse[0, plain]),
            score=float(scores[0, now - 1]),
            own_place=int(own.reverse_rank[0, plain]) + 1,
            reverse_place=int(parts.reverse_place[0, plain]) + 1,
        )
        for now, plain in enumerate(order[0].tolist(), start=1)
    ]


def main(argv: Sequence[str]) -> None:
    """Parses ``argv``, prints the table, and writes what is asked for."""
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} explain")
    add_part_arguments(parser)
    add_settings_arguments(parser)
    parser.add_argument("--query", type=int, required=True, metavar="N", help="from 0")
    parser.add_argument(
        "--direction", choices=("i2t", "t2i"), default="i2t",
        help="i2t: the query is an image (default); t2i: a caption",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=cli.at_least_1, default=10, metavar="N",
        help="candidates that are shown (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--names", metavar="FILE", help="names of all candidates, a line each")
    parser.add_argument("--out", metavar="FILE", help="write all candidates there, as JSON")
    parser.add_argument("--picture", metavar="FILE", help="draw the moves and terms there, a PNG")
    arguments = parser.parse_args(argv)
    part, settings = part_of(arguments), settings_of(arguments)
    similarity = part.similarity if arguments.direction == "i2t" else part.similarity.T
    if not 0 <= arguments.query < len(similarity):
        raise UserError("--query", f"there is no {arguments.query}", f"0..{len(similarity) - 1}")
    names = _read_names(arguments.names, similarity.shape[1])
    if arguments.direction == "i2t":
        right = set(np.flatnonzero(part.caption_to_image == arguments.query).tolist())
    else:
        right = {int(part.caption_to_image[arguments.query])}
    rows = explain(similarity, arguments.query, settings)
    write(explained_table(rows, names, right, arguments.top))
    _write_files(arguments, settings, rows, names, right)


def explained_table(
    rows: Sequence[Explained], names: Sequence[str], right: set[int], top: int
) -> str:
    """A line a candidate, best first, then one that says where right answers beyond them are."""
    lines = [
        f"{'now':>4}{'was':>5}  {'candidate':<11}{'similarity':>11}{'saliency':>10}{'rank':>8}"
        f"{'reverse':>9}{'score':>8}{'in its list':>13}"
    ]
    for row in rows[:top]:
        mark = "*" if row.candidate in right else ""
        lines.append(
            f"{row.now:>4}{row.was:>5}  {f'{row.candidate}{mark}':<11}{row.similarity:>11.4f}"
            f"{row.saliency:>10.4f}{row.rank:>8.4f}{row.reverse:>9.4f}{row.score:>8.4f}"
            f"{row.own_place:>13}" + (f"  {names[row.candidate]}" if names else "")
        )
    rest = [row for row in rows[top:] if row.candidate in right]
    lines += [
        f"right answer {row.candidate}: {row.now} now, {row.was} before (--top {row.now} shows it)"
        for row in rest
    ]
    beyond = len(right - {row.candidate for row in rows})
    if beyond:
        lines.append(
            f"{beyond} of {len(right)} right answers are beyond the {len(rows)} candidates"
        )
    return "\n".join(lines)


def _read_names(path: str | None, candidates: int) -> list[str]:
    if path is None:
        return []
    try:
        names = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", "name a text file in UTF-8") from error
    if len(names) != candidates:
        raise UserError(path, f"it has {len(names)} lines", f"write {candidates}, a name each")
    return names


def _write_files(
    arguments: argparse.Namespace,
    settings: RerankSettings,
    rows: Sequence[Explained],
    names: Sequence[str],
    right: set[int],
) -> None:
    if arguments.out:
        write_json(
            arguments.out,
            {
                "similarity": arguments.similarity,
                "direction": arguments.direction,
                "query": arguments.query,
                "right": sorted(right),
                "rerank": asdict(settings),
                "candidates": [row._asdict() for row in rows],
            },
        )
    if arguments.picture:
        from postprocessing.pictures import draw_moves

        title = f"{'image' if arguments.direction == 'i2t' else 'caption'} {arguments.query}"
        draw_moves(arguments.picture, rows[: arguments.top], names, right, title)
