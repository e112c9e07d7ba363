"""Chooses parameters of the multivariate score on validation folds, and tests them once."""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import PROGRAM, SAVED, add_reverse_arguments, not_negative, write
from postprocessing.settings import RerankSettings
from postprocessing.tables import recall_table

if TYPE_CHECKING:
    from postprocessing.evaluator import Metrics
    from postprocessing.files import Part

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Tries a grid of k and weights on the validation parts written by test.py --save-similarity DIR and
chooses the settings with the highest mean mR. Only then, and once, reads the test parts for the
metrics without re-ranking, with the released settings and with the chosen ones.

  python -m postprocessing.rerank sweep --folder DIR --out sweep.json --heat-map sweep.png
  ... --k 10,30 --w-saliency 0,0.3 --w-rank 1 --w-reverse 0.5,1.1
"""


class Tried(NamedTuple):
    """Settings and their mR on validation, the mean over folds."""

    settings: RerankSettings
    mean_recall: float


def main(argv: Sequence[str]) -> None:
    """Parses ``argv``, sweeps, and prints the chosen settings and the test metrics."""
    arguments = _parser().parse_args(argv)
    # torch takes seconds, which --help does not wait for
    from postprocessing.evaluator import evaluators_of, mean_of
    from postprocessing.files import read_part, saved_folds

    validation = saved_folds(arguments.folder, "validation")
    tried, plain = sweep([read_part(path) for path in validation.values()], _grid(arguments))
    # among equals, the first: fewest candidates, smallest weights
    best = max(tried, key=lambda each: each.mean_recall)
    test_paths = saved_folds(arguments.folder, "test")
    if test_paths.keys() != validation.keys():
        raise UserError(
            arguments.folder,
            f"has validation parts of folds {[*validation]}, but test parts of {[*test_paths]}",
            "write both again with test.py --save-similarity",
        )
    released = RerankSettings()
    evaluators = evaluators_of(
        [read_part(path) for path in test_paths.values()], max(best.settings.k, released.k)
    )
    test = {
        "without re-ranking": [each.plain() for each in evaluators],
        "released settings": [each.reranked(released) for each in evaluators],
        "chosen settings": [each.reranked(best.settings) for each in evaluators],
    }
    means = {title: mean_of(metrics) for title, metrics in test.items()}
    folds = ", ".join(map(str, validation))
    write(f"validation, {len(tried)} settings, mean over folds {folds}:")
    write(f"  mR {plain['mR']:6.2f}  without re-ranking")
    for each in sorted(tried, key=lambda each: -each.mean_recall)[:5]:
        write(f"  mR {each.mean_recall:6.2f}  {described(each.settings)}")
    write(f"chosen: {described(best.settings)}\n")
    write("test, mean over folds\n" + recall_table(means))
    if arguments.out:
        results = {
            "folder": arguments.folder,
            "validation": {
                "without_rerank": plain,
                "tried": [{**asdict(each.settings), "mR": each.mean_recall} for each in tried],
            },
            "chosen": {**asdict(best.settings), "mR": best.mean_recall},
            "test": {
                key: {"folds": test[title], "mean": means[title]}
                for key, title in zip(
                    ("without_rerank", "released_settings", "chosen_settings"), test, strict=True
                )
            },
        }
        write_json(arguments.out, results)
        write(f"\nresults: {arguments.out}")
    if arguments.heat_map:
        draw_sweep(arguments.heat_map, tried, best)


def sweep(parts: Sequence[Part], grid: Sequence[RerankSettings]) -> tuple[list[Tried], Metrics]:
    """Mean mR over ``parts`` of each settings in ``grid``, and the metrics without re-ranking."""
    from postprocessing.evaluator import evaluators_of, mean_of

    evaluators = evaluators_of(parts, max(settings.k for settings in grid))
    tried = []
    for settings in grid:
        mean = float(np.mean([each.reranked(settings)["mR"] for each in evaluators]))
        tried.append(Tried(settings, mean))
        if len(tried) % 50 == 0:
            logger.info("%d of %d settings tried", len(tried), len(grid))
    return tried, mean_of([each.plain() for each in evaluators])


def draw_sweep(path: str, tried: Sequence[Tried], best: Tried) -> None:
    """Draws mR over the saliency and reverse rank weights, the rest as in the best settings."""
    from postprocessing.plots import draw_heat_map

    shown = {
        (each.settings.w_saliency, each.settings.w_reverse): each.mean_recall
        for each in tried
        if replace(each.settings, w_saliency=0.0, w_reverse=0.0)
        == replace(best.settings, w_saliency=0.0, w_reverse=0.0)
    }
    saliencies, reverses = (sorted({key[axis] for key in shown}) for axis in (0, 1))
    values = np.array([[shown[row, column] for column in reverses] for row in saliencies])
    chosen = saliencies.index(best.settings.w_saliency), reverses.index(best.settings.w_reverse)
    title = f"k {best.settings.k}, w_rank {best.settings.w_rank:g}, xi {best.settings.xi:g}"
    draw_heat_map(path, values, ("w_saliency", saliencies), ("w_reverse", reverses), chosen, title)


def described(settings: RerankSettings) -> str:
    """The parameters in one line."""
    text = (
        f"k {settings.k}, w_saliency {settings.w_saliency:g}, w_rank {settings.w_rank:g}, "
        f"w_reverse {settings.w_reverse:g}, xi {settings.xi:g}, {settings.reverse}"
    )
    text += ", released ties" if settings.ties == "released" else ""
    return text + (f", l {settings.l}" if settings.l is not None else "")


def _parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} sweep")
    parser.add_argument("--folder", metavar="DIR", required=True, help=SAVED)
    for name, kind, default in (
        ("k", cli.at_least_1, "10,20,30,50"),
        ("w-saliency", not_negative, "0,0.1,0.3,1,3"),
        ("w-rank", not_negative, "1"),
        ("w-reverse", not_negative, "0,0.25,0.5,0.8,1.1,1.5,2"),
        ("xi", not_negative, "0.05"),
    ):
        parser.add_argument(
            f"--{name}", type=_list_of(kind), default=default, metavar="LIST",
            help="values to try (default: %(default)s)",
        )  # fmt: skip
    add_reverse_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write everything there, as JSON")
    parser.add_argument("--heat-map", metavar="FILE", help="plot mR over the weights there, as PNG")
    return parser


def _list_of(kind: Callable[[str], float]) -> Callable[[str], list[float]]:
    """Argument type of a comma-separated list."""

    def parsed(text: str) -> list[float]:
        return sorted({kind(item) for item in text.split(",")})

    return parsed


def _grid(arguments: argparse.Namespace) -> list[RerankSettings]:
    base = RerankSettings(reverse=arguments.reverse, l=arguments.l, ties=arguments.ties)
    names = "k", "xi", "w_rank", "w_saliency", "w_reverse"
    return [
        replace(base, **dict(zip(names, values, strict=True)))
        for values in itertools.product(*(getattr(arguments, name) for name in names))
    ]
