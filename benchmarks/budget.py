#!/usr/bin/env python
"""How much recall two options files give for the same processor seconds, side by side.

A schedule is laid over its budget, so that each point of a curve is a training of its own; the
files take turns. Recall is that of the validation parts, or with --test of the test part.

  python benchmarks/budget.py options/recipes/rsicd_cpu_30min.yaml options/RSICD_GaLR.yaml \\
    --seconds 300 900 1800 --set model.backbone.weights=null --set model.seq2vec.pretrained=false \\
    --set dataset.local_path=null --set k_fold.nums=1 --set k_fold.validation_share=0.2 \\
    --set logs.eval_step=1000
  python benchmarks/budget.py A.yaml B.yaml --seconds 60 120 --seeds 0 1 2 --picture curve.png

What is done already is not done again, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine
from galr.common import cli
from galr.common.atomic import atomic_path, check_writable, write_json
from galr.common.errors import RunError, UserError
from galr.options import Options
from galr.sweep.runs import Run, execute, plan_runs, without
from galr.sweep.table import VALIDATION, rows_of


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, trains all points and prints a line a budget."""
    arguments = _parse(argv)
    budgets = sorted(set(arguments.seconds))
    planned = _plan(arguments, budgets)
    # a budget after the other, and the files in turn: what the machine does then meets both
    runs = [run for budget in budgets for file in arguments.files for run in planned[file, budget]]
    for path in filter(None, (arguments.picture, arguments.out)):
        check_writable(path)
    scripts = ("train.py", "test.py") if arguments.test else ("train.py",)
    failed = execute(runs, jobs=1, scripts=scripts)
    points = [
        _point(file, budget, without({file: runs}, failed), arguments.test)
        for (file, budget), runs in planned.items()
    ]
    sys.stdout.write(_table(points, arguments.files, budgets))
    if arguments.picture:
        _draw(points, arguments.files, Path(arguments.picture))
    if arguments.out:
        write_json(arguments.out, {"machine": machine(), "points": points})
    if failed:
        raise RunError(failed[0].log, f"{len(failed)} runs failed", "mend what the logs say")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("files", nargs=2, metavar="FILE", help="options files")
    parser.add_argument("--seconds", nargs="+", type=cli.at_least_1, required=True, metavar="N")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--test", action="store_true", help="mR of the test part")
    parser.add_argument("--picture", metavar="PNG", help="draw the curves")
    parser.add_argument("--out", metavar="FILE", help="write the numbers there as JSON")
    arguments = parser.parse_args(argv)
    if arguments.picture and Path(arguments.picture).suffix not in (".png", ".svg", ".pdf"):
        parser.error(f"--picture {arguments.picture}: name a .png, .svg or .pdf file")
    return arguments


def _plan(
    arguments: argparse.Namespace, budgets: Sequence[int]
) -> dict[tuple[str, int], list[Run]]:
    planned: dict[tuple[str, int], list[Run]] = {}
    for budget in budgets:
        name = f"optim.budget_seconds={budget}"
        rows = plan_runs(arguments.files, arguments.overrides, arguments.seeds, [name])
        planned |= {(file, budget): rows[f"{file} {name}"] for file in arguments.files}
    _check_comparable(*(planned[file, budgets[0]][0].options for file in arguments.files))
    return planned


def _check_comparable(one: Options, other: Options) -> None:
    """Recall is that of a number of images, which must be the same."""
    for section, keys in (
        ("k_fold", ("nums", "mode", "validation_share")),
        ("dataset", ("data_path", "vocab_path")),
    ):
        for key in keys:
            values = [getattr(getattr(options, section), key) for options in (one, other)]
            if values[0] != values[1]:
                raise UserError(
                    f"{section}.{key}",
                    f"is {values[0]} in one file and {values[1]} in the other, whose recalls "
                    "cannot be compared",
                    f"set it for both by --set {section}.{key}=...",
                )


def _point(file: str, budget: int, runs: Mapping[str, Sequence[Run]], test: bool) -> dict[str, Any]:
    """Mean and deviation of mR; nothing where no run was finished."""
    rows = rows_of(runs, validation=not test)
    variant = "without_rerank" if test else VALIDATION
    of_variant = [row for _, name, row in rows if name == variant]
    point: dict[str, Any] = {"options": file, "seconds": budget}
    if of_variant:
        point |= {name: of_variant[0][name] for name in ("mR", "mR_std", "folds")}
    return point


def _table(points: Sequence[dict[str, Any]], files: Sequence[str], budgets: Sequence[int]) -> str:
    lines = ["processor seconds  " + "  ".join(files)]
    for budget in budgets:
        cells = [
            f"{point['mR']:.2f} ± {point['mR_std']:.2f}".rjust(len(file))
            if "mR" in point
            else "failed".rjust(len(file))
            for file in files
            for point in points
            if (point["options"], point["seconds"]) == (file, budget)
        ]
        lines.append(f"{budget:17d}  " + "  ".join(cells))
    return "\n".join(lines) + "\n"


def _draw(points: Sequence[dict[str, Any]], files: Sequence[str], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for file in files:
        own = [point for point in points if point["options"] == file and "mR" in point]
        if not own:
            continue
        seconds, recall, spread = zip(
            *((point["seconds"], point["mR"], point["mR_std"]) for point in own), strict=True
        )
        axes.errorbar(seconds, recall, spread, marker="o", capsize=3, label=Path(file).stem)
    axes.set_xlabel("processor seconds")
    axes.set_ylabel("mR")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, format=path.suffix[1:])


if __name__ == "__main__":
    sys.exit(cli.run(main))
