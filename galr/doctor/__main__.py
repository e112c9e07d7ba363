"""python -m galr.doctor: what is wrong with a machine or a planned run, before a day is spent."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence

from galr.common import cli
from galr.common.errors import RunError

DESCRIPTION = """\
Says what a helper would ask for, a line each, and marks what is wrong; writes nothing.

  python -m galr.doctor                                      the machine
  python -m galr.doctor --path_opt options/UCM_GaLR.yaml     and the run of these options

The exit status is 1 where something is wrong.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and prints the findings; raises RunError where something is wrong."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.doctor")
    cli.add_options_arguments(parser, None, "none: the machine alone is looked at")
    arguments = parser.parse_args(argv)

    from galr.doctor.finding import Finding
    from galr.doctor.machine import machine
    from galr.doctor.planned_run import planned_run
    from galr.options import load_options

    if arguments.path_opt is None and arguments.overrides:
        parser.error("--set overrides an options file: name one with --path_opt")
    checks: Iterator[Finding]
    if arguments.path_opt is None:
        checks = machine("auto")
    else:
        options = load_options(arguments.path_opt, arguments.overrides)
        checks = itertools.chain(machine(options.device), planned_run(options))
    wrong = []
    for found in checks:
        sys.stdout.write(f"{found}\n")
        sys.stdout.flush()
        wrong += [found.name] if found.problem else []
    if wrong:
        raise RunError(
            "galr doctor", f"wrong: {', '.join(wrong)}", "see the lines that say so above"
        )


if __name__ == "__main__":
    sys.exit(cli.run(main))
