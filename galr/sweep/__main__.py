"""python -m galr.sweep: trains and tests many options files, and collects their results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli

DESCRIPTION = """\
Trains and tests several options files, each in its own process, and collects their results.

Finished runs are not repeated, and interrupted ones are resumed. The table (mean and standard
deviation over the folds and seeds of each row) is written to OUT/sweep.{md,csv}.

  python -m galr.sweep options/ablations/*.yaml --jobs 2
  python -m galr.sweep options/demo_GaLR.yaml --seeds 0 1 2 --set optim.epochs=5
  python -m galr.sweep options/demo_GaLR.yaml --vary optim.loss=triplet,infonce --validation
  python -m galr.sweep options/family/*.yaml --baseline options/family/GaLR.yaml

With several --vary, each combination of their values is a row.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, runs the sweep and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.sweep")
    parser.add_argument("files", nargs="+", metavar="FILE", help="options files")
    cli.add_set_argument(parser, "override an option in all files (repeatable)")
    parser.add_argument(
        "--vary",
        metavar="KEY=VALUE,VALUE",
        action="append",
        default=[],
        help="one row per value (repeatable)",
    )
    parser.add_argument(
        "--validation",
        action="store_true",
        help="train only, and compare on the validation parts, as for choosing options",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[], help="run each file with each seed"
    )
    parser.add_argument(
        "--jobs", type=cli.at_least_1, default=1, help="runs at a time (default: %(default)s)"
    )
    parser.add_argument(
        "--cards", nargs="+", default=[], metavar="CARD", help="GPUs to distribute over the jobs"
    )
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local",
        help="ray: on the machines of a Ray cluster, as many at a time as it has cores for; a run "
        "has the threads that it would have here with --jobs (default: %(default)s; docs/scale.md)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", metavar="FILE",
        help="one of the options files; a second table has the parameters and times of each row, "
        "and its difference in mR from this baseline with a paired bootstrap over queries",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        metavar="DIR",
        default="checkpoint",
        help="folder of the table (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)

    from galr.common.atomic import check_writable, write_text
    from galr.common.errors import RunError, UserError
    from galr.common.folder_lock import only_writer
    from galr.sweep.compare import cost_table
    from galr.sweep.runs import execute, plan_runs, without
    from galr.sweep.table import comma_separated, markdown, rows_of

    if arguments.baseline is not None and (
        arguments.validation or arguments.baseline not in arguments.files or arguments.vary
    ):
        raise UserError(
            f"--baseline {arguments.baseline}",
            "is compared on the test part with the other options files",
            "name one of them, without --vary and --validation",
        )
    if arguments.engine == "ray" and arguments.cards:
        raise UserError("--cards", "are dealt out by Ray itself", "omit it with --engine ray")
    planned = plan_runs(arguments.files, arguments.overrides, arguments.seeds, arguments.vary)
    runs = [run for of_row in planned.values() for run in of_row]
    scripts = ("train.py",) if arguments.validation else ("train.py", "test.py")
    out = Path(arguments.out)
    check_writable(out / "sweep.md")
    with only_writer(out, leftovers=""):
        failed = execute(
            runs,
            arguments.jobs,
            arguments.cards,
            scripts,
            similarities=arguments.baseline is not None,
            engine=arguments.engine,
        )
        rows = rows_of(without(planned, failed), validation=arguments.validation)
        told = markdown(rows)
        if arguments.baseline is not None:
            told += "\n" + cost_table(without(planned, failed), arguments.baseline)
        write_text(out / "sweep.md", told)
        write_text(out / "sweep.csv", comma_separated(rows))
        sys.stdout.write(f"{told}\n{out / 'sweep.md'}, {out / 'sweep.csv'}\n")
    if failed:
        raise RunError(
            failed[0].log,
            f"{len(failed)} of {len(runs)} runs failed ({', '.join(run.name for run in failed)})",
            "fix the errors in the logs, then run the same command again to continue",
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
