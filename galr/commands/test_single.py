"""``galr test-single``, also test_single.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli

DESCRIPTION = """\
Evaluates one checkpoint on the test split, without and with re-ranking.

The checkpoint is from train.py, from galr.export (a folder), or from the released code, which
stores no options and therefore needs --path_opt. Prints the table and writes results.json
next to the checkpoint (or to --out). Without --resume, the model in model.image_text is evaluated
zero-shot (docs/encoders.md).

  python test_single.py --resume checkpoint/ucm_GaLR/0/best.pth
  python test_single.py --resume GaLR_rsitmd.pth.tar --path_opt options/RSITMD_GaLR.yaml
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, evaluates and prints the table."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="test_single.py")
    cli.add_options_arguments(parser, None, "those in the checkpoint, with its vocabulary")
    parser.add_argument(
        "--resume",
        metavar="CHECKPOINT",
        help="checkpoint to evaluate, or its fold folder",
    )
    parser.add_argument("--out", metavar="FILE", help="write the results to FILE")
    parser.add_argument(
        "--save-similarity",
        metavar="DIR",
        help="also write the similarity matrices of the test and validation parts to DIR, "
        "for python -m postprocessing.rerank",
    )
    cli.add_verify_argument(parser)
    arguments = parser.parse_args(argv)

    from galr.common import distributed
    from galr.doctor.stores import verify
    from galr.evaluation.evaluator import evaluate_checkpoint, evaluate_zero_shot
    from galr.evaluation.trained_fold import checkpoint_options
    from galr.options import load_options
    from galr.trained_model import checkpoint_file

    own = arguments.resume is not None and arguments.path_opt is None
    checkpoint = None if arguments.resume is None else checkpoint_file(Path(arguments.resume))
    options = (
        checkpoint_options(checkpoint, arguments.overrides)
        if own and checkpoint is not None
        else load_options(arguments.path_opt or cli.OPTIONS_FILE, arguments.overrides)
    )
    if arguments.verify:
        verify(options)
    if checkpoint is None:
        evaluation = evaluate_zero_shot(
            options, arguments.out, save_similarity=arguments.save_similarity
        )
    else:
        evaluation = evaluate_checkpoint(
            options,
            checkpoint,
            arguments.out,
            own_vocabulary=own,
            save_similarity=arguments.save_similarity,
        )
    if distributed.is_main():
        print(evaluation.table)


if __name__ == "__main__":
    sys.exit(cli.run(main))
