"""``galr test``, also test.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Evaluates the best checkpoint of each fold on the test split, without and with re-ranking.

Prints a row per fold, mean and standard deviation. Writes results.json, and report.html about it,
to <logs.ckpt_save_path>/<k_fold.experiment_name>/ (or to --out and beside it).

  python test.py --path_opt options/RSITMD_GaLR.yaml
  python test.py --path_opt options/RSITMD_GaLR.yaml --set rerank.k=50 --out k50.json --no-report
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, evaluates and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="test.py")
    cli.add_options_arguments(parser)
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
    arguments = parser.parse_args(argv)

    from galr.common import distributed
    from galr.evaluation.evaluator import evaluate_experiment
    from galr.options import load_options

    options = load_options(arguments.path_opt, arguments.overrides)
    evaluation = evaluate_experiment(
        options,
        arguments.out,
        save_similarity=arguments.save_similarity,
        save_features=arguments.save_features,
    )
    if not distributed.is_main():
        return
    print(evaluation.table, flush=True)
    if not arguments.no_report:
        from galr.report.write import report_of_test

        path = report_of_test(options, evaluation.similarities, arguments.out)
        if path is not None:
            print(f"report: {path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
