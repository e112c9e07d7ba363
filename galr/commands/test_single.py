"""``galr test-single``, also test_single.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Evaluates one checkpoint on the test split, without and with re-ranking.

The checkpoint is one of train.py, a folder of galr.export, or one of the released code. Prints the
table and writes results.json beside the checkpoint (or to --out). Without a checkpoint the model of
model.image_text is evaluated as it is, zero-shot (docs/encoders.md).

  python test_single.py --path_opt options/UCM_GaLR.yaml --resume checkpoint/ucm_GaLR/0/best.pth
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, evaluates and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="test_single.py")
    cli.add_options_arguments(parser)
    parser.add_argument("--resume", metavar="CHECKPOINT", help="the checkpoint to evaluate")
    parser.add_argument("--out", metavar="FILE", help="write the results to FILE")
    parser.add_argument(
        "--save-similarity",
        metavar="DIR",
        help="also write the similarity matrices of the test and validation parts to DIR, "
        "for python -m postprocessing.rerank",
    )
    arguments = parser.parse_args(argv)

    from galr.common import distributed
    from galr.evaluation.evaluator import evaluate_checkpoint, evaluate_zero_shot
    from galr.options import load_options

    options = load_options(arguments.path_opt, arguments.overrides)
    if arguments.resume is None:
        evaluation = evaluate_zero_shot(
            options, arguments.out, save_similarity=arguments.save_similarity
        )
    else:
        evaluation = evaluate_checkpoint(
            options, arguments.resume, arguments.out, save_similarity=arguments.save_similarity
        )
    if distributed.is_main():
        print(evaluation.table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
