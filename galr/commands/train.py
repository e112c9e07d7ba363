"""``galr train``, the same as the script train.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Trains GaLR over the folds of an experiment.

Each fold leaves best.pth, last.pth, options.yaml, log.csv and TensorBoard events in
<logs.ckpt_save_path>/<k_fold.experiment_name>/<fold>/. Afterwards test.py evaluates the folds.

  python train.py --path_opt options/RSITMD_GaLR.yaml
  python train.py --path_opt options/RSITMD_GaLR.yaml --resume      goes on where it stopped
  python train.py --set optim.lr=1e-4 --set k_fold.experiment_name=lr_1e-4
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and trains."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="train.py")
    cli.add_options_arguments(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with what an earlier run of the experiment left unfinished",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="start anew over an earlier run of the experiment, whose checkpoints are lost",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="also write a summary of the best validations as JSON"
    )
    arguments = parser.parse_args(argv)
    if arguments.resume and arguments.overwrite:
        parser.error("--resume and --overwrite exclude each other")

    from galr.options import load_options
    from galr.training.experiment import train_experiment

    options = load_options(arguments.path_opt, arguments.overrides)
    train_experiment(
        options, resume=arguments.resume, overwrite=arguments.overwrite, out=arguments.out
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
