"""python -m galr.report: writes a page about an experiment."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Writes report.html, one page about a trained experiment that opens from disk without a network, and
its figures (PNG, SVG, CSV) to report_files beside it.

The test part is encoded with the best checkpoint of each fold. The options are those of the last
test or, if there was none, of training.

  python -m galr.report checkpoint/demo_GaLR
  python -m galr.report checkpoint/demo_GaLR --set rerank.enabled=false --out plain.html
  python -m galr.report checkpoint/demo_GaLR/0/best.pth --out fold0.html
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, writes the page and prints its path."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.report")
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", help="folder of an experiment, or one checkpoint"
    )
    parser.add_argument("--out", metavar="FILE.html", help="write the page there")
    parser.add_argument(
        "--fold",
        type=int,
        metavar="N",
        help="fold whose queries are shown (default: the one with the best validation mR)",
    )
    parser.add_argument(
        "--path_opt",
        metavar="FILE",
        help="options to use instead (needed for checkpoints of the released code)",
    )
    cli.add_set_argument(
        parser, "override an option, for example --set dataset.data_path=DIR; may be repeated"
    )
    arguments = parser.parse_args(argv)

    from galr.options import load_options
    from galr.report.write import write_report

    options = None
    if arguments.path_opt is not None:
        options = load_options(arguments.path_opt, arguments.overrides)
    path = write_report(
        arguments.experiment,
        arguments.out,
        options=options,
        overrides=arguments.overrides,
        fold=arguments.fold,
    )
    sys.stdout.write(f"report: {path}\n")


if __name__ == "__main__":
    sys.exit(cli.run(main))
