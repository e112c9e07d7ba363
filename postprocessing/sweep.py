"""Numbers of the rerank chosen on validation folds, and reported once on the test part."""

from __future__ import annotations

import argparse
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from postprocessing.arguments import PROGRAM, add_reverse_arguments, not_negative, write
from postprocessing.recalls import Metrics, RerankRecalls, mean_of, recall_table
from postprocessing.similarity_files import read_part, saved_folds
from postprocessing.terms import RerankSettings

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Tries a grid of k and weights on the validation parts that test.py --save-similarity DIR wrote, and
chooses the settings of the highest mR, the mean over folds. Only then are the test parts opened,
once, and reported without rerank, with the released settings and with the chosen ones.

  python -m postprocessing.rerank sweep --folder DIR --out sweep.json --heat-map sweep.png
  ... --k 10,30 --w-saliency 0,0.3 --w-rank 1 --w-reverse 0.5,1.1
"""


class Tried(NamedTuple):
    """Settings and their mR on validation, the mean over folds."""

    settings: RerankSettings
    mean_recall: float


def main(argv: Sequence[str]) -> None:
    """Parses ``argv``, sweeps, prints the choice and the test part's recalls."""
    arguments = _parser().parse_args(argv)
    validation = saved_folds(arguments.folder, "validation")
    grid = _grid(arguments)
    tried, plain = sweep([read_part(path) for path in validation.values()], grid)
    # of equals the first: the fewest candidates and the smallest weights
    best = max(tried, key=lambda each: each.mean_recall)
    test_paths = saved_folds(arguments.folder, "test")
    if test_paths.keys() != validation.keys():
        raise UserError(
            arguments.folder,
            f"validation parts of folds {[*validation]}, test parts of {[*test_paths]}",
            "write both again by test.py --save-similarity",
        )
    test = _on_test(
        [RerankRecalls(read_part(path), max(best.settings.k, 30)) for path in test_paths.values()],
        best.settings,
    )
    _show(tried, best, plain, test, list(validation))
    if arguments.out:
        write_json(arguments.out, _results(arguments.folder, tried, best, plain, test))
        write(f"\nresults: {arguments.out}")
    if arguments.heat_map:
        draw_sweep(arguments.heat_map, tried, best)


def sweep(parts: Sequence[Any], grid: Sequence[RerankSettings]) -> tuple[list[Tried], Metrics]:
    """mR of each of ``grid``, the mean over ``parts``, and the metrics without rerank."""
    most = max(settings.k for settings in grid)
    recalls = [RerankRecalls(part, most) for part in parts]
    tried = []
    for settings in grid:
        mean = float(np.mean([each.reranked(settings)["mR"] for each in recalls]))
        tried.append(Tried(settings, mean))
        if len(tried) % 50 == 0:
            logger.info("%d of %d settings tried", len(tried), len(grid))
    return tried, mean_of([each.plain() for each in recalls])


def draw_sweep(path: str, tried: Sequence[Tried], best: Tried) -> None:
    """Draws mR over the weights of saliency and reverse rank, the rest as in the best settings."""
    from postprocessing.pictures import draw_heat_map

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


def _parser() -> argparse.ArgumentParser:
    parser = cli.ArgumentParser(DESCRIPTION, prog=f"{PROGRAM} sweep")
    parser.add_argument(
        "--folder", metavar="DIR", required=True, help="what test.py --save-similarity wrote"
    )
    for name, kind, default in (
        ("k", cli.at_least_1, "10,20,30,50"),
        ("w-saliency", not_negative, "0,0.1,0.3,1,3"),
        ("w-rank", not_negative, "1"),
        ("w-reverse", not_negative, "0,0.25,0.5,0.8,1.1,1.5,2"),
        ("xi", not_negative, "0.05"),
    ):
        parser.add_argument(
            f"--{name}", type=_listed(kind), default=default, metavar="LIST",
            help="values that are tried (default: %(default)s)",
        )  # fmt: skip
    add_reverse_arguments(parser)
    parser.add_argument("--out", metavar="FILE", help="write everything there, as JSON")
    parser.add_argument("--heat-map", metavar="FILE", help="draw mR over the weights, a PNG")
    return parser


def _listed(kind: Callable[[str], float]) -> Callable[[str], list[float]]:
    """The type of an argument that is a list with commas."""

    def listed(text: str) -> list[float]:
        return sorted({kind(item) for item in text.split(",")})

    return listed


def _grid(arguments: argparse.Namespace) -> list[RerankSettings]:
    base = RerankSettings(reverse=arguments.reverse, l=arguments.l, ties=arguments.ties)
    names = "k", "xi", "w_rank", "w_saliency", "w_reverse"
    return [
        replace(base, **dict(zip(names, values, strict=True)))
        for values in itertools.product(*(getattr(arguments, name) for name in names))
    ]


def _on_test(recalls: Sequence[RerankRecalls], best: RerankSettings) -> dict[str, list[Metrics]]:
    """Metrics of each fold's test part."""
    return {
        "without rerank": [each.plain() for each in recalls],
        "released settings": [each.reranked(RerankSettings()) for each in recalls],
        "chosen settings": [each.reranked(best) for each in recalls],
    }


def _show(
    tried: Sequence[Tried],
    best: Tried,
    plain: Metrics,
    test: dict[str, list[Metrics]],
    folds: Sequence[int],
) -> None:
    first = sorted(tried, key=lambda each: -each.mean_recall)[:5]
    write(f"validation, {len(tried)} settings, mean of folds {', '.join(map(str, folds))}:")
    write(f"  mR {plain['mR']:6.2f}  without rerank")
    for each in first:
        write(f"  mR {each.mean_recall:6.2f}  {described(each.settings)}")
    write(f"chosen: {described(best.settings)}\n")
    rows = {title: mean_of(metrics) for title, metrics in test.items()}
    write("test, mean of folds\n" + recall_table(rows))


def described(settings: RerankSettings) -> str:
    """The numbers of ``settings`` in a line."""
    text = (
        f"k {settings.k}, w_saliency {settings.w_saliency:g}, w_rank {settings.w_rank:g}, "
        f"w_reverse {settings.w_reverse:g}, xi {settings.xi:g}, {settings.reverse}"
    )
    text += ", released ties" if settings.ties == "released" else ""
    return text + (f", l {settings.l}" if settings.l is not None else "")


def _results(
    folder: str,
    tried: Sequence[Tried],
    best: Tried,
    plain: Metrics,
    test: dict[str, list[Metrics]],
) -> dict[str, Any]:
    return {
        "folder": folder,
        "validation": {
            "without_rerank": plain,
            "tried": [{**asdict(each.settings), "mR": each.mean_recall} for each in tried],
        },
        "chosen": {**asdict(best.settings), "mR": best.mean_recall},
        "test": {
            title.replace(" ", "_"): {"folds": metrics, "mean": mean_of(metrics)}
            for title, metrics in test.items()
        },
    }
