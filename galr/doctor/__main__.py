"""python -m galr.doctor: checks a machine or a planned run before it starts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence

from galr.common import cli
from galr.common.errors import RunError

DESCRIPTION = """\
Checks the machine and a planned run, one line per check, and marks problems. Writes nothing.

  python -m galr.doctor                                      the machine only
  python -m galr.doctor --path_opt options/UCM_GaLR.yaml     also the run with these options

The exit status is 1 if there is a problem.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and prints the findings; raises RunError if there is a problem."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.doctor")
    cli.add_options_arguments(parser, None, "none: check only the machine")
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
        raise RunError("galr doctor", f"problems: {', '.join(wrong)}", "see the lines above")


if __name__ == "__main__":
    sys.exit(cli.run(main))
