"""``galr test``, also test.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Evaluates the best checkpoint of each fold on the test split, without and with re-ranking.

Prints a row per fold, mean and standard deviation. Writes results.json and report.html to the
experiment folder (or results to --out, with the report next to it).

  python test.py checkpoint/rsitmd_GaLR
  python test.py checkpoint/rsitmd_GaLR --set rerank.k=50 --out k50.json --no-report
  python test.py --path_opt options/RSITMD_GaLR.yaml
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, evaluates and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="test.py")
    parser.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        nargs="?",
        help="folder of an experiment, whose checkpoints hold its options and vocabulary "
        "(default: the one named by the options of --path_opt)",
    )
    cli.add_options_arguments(parser, None, f"those in EXPERIMENT, or {cli.OPTIONS_FILE}")
    parser.add_argument("--out", metavar="FILE", help="write the results to FILE")
    parser.add_argument(
        "--save-similarity",
        metavar="DIR",
        help="also write the similarity matrices of the test and validation parts to DIR, "
        "for python -m postprocessing.rerank",
    )
    parser.add_argument(
        "--save-features",
        metavar="DIR",
        help="also write the embeddings of the test, validation and training parts to DIR, "
        "for python -m postprocessing.compare",
    )
    parser.add_argument("--no-report", action="store_true", help="do not write report.html")
    cli.add_verify_argument(parser)
    arguments = parser.parse_args(argv)

    from galr.common import distributed
    from galr.doctor.stores import verify
    from galr.evaluation.evaluator import evaluate_experiment
    from galr.evaluation.trained_fold import experiment_options
    from galr.options import load_options

    own = arguments.experiment is not None
    if own and arguments.path_opt is not None:
        parser.error("EXPERIMENT has its own options; omit either it or --path_opt")
    options = (
        experiment_options(arguments.experiment, arguments.overrides)
        if own
        else load_options(arguments.path_opt or cli.OPTIONS_FILE, arguments.overrides)
    )
    if arguments.verify:
        verify(options)
    evaluation = evaluate_experiment(
        options,
        arguments.out,
        own_vocabulary=own,
        save_similarity=arguments.save_similarity,
        save_features=arguments.save_features,
    )
    if not distributed.is_main():
        return
    print(evaluation.table, flush=True)
    if not arguments.no_report:
        from galr.report.write import report_of_test

        print(f"report: {report_of_test(options, evaluation.similarities, arguments.out)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
