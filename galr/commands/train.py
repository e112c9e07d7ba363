"""``galr train``, also train.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from galr.common import cli

DESCRIPTION = """\
Trains a model on each fold of an experiment.

Writes best.pth, last.pth, options.yaml, log.csv and TensorBoard events of each fold to
<logs.ckpt_save_path>/<k_fold.experiment_name>/<fold>/. Evaluate the folds with test.py.

  python train.py --path_opt options/RSITMD_GaLR.yaml
  python train.py --path_opt options/RSITMD_GaLR.yaml --resume      resumes an interrupted run
  python train.py --set optim.lr=1e-4 --set k_fold.experiment_name=lr_1e-4
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and trains."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="train.py")
    cli.add_options_arguments(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume an earlier run of the experiment from its last checkpoints",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="delete the checkpoints of an earlier run of the experiment and start over",
    )
    parser.add_argument(
        "--out", metavar="FILE", help="also write the best validation results of each fold, as JSON"
    )
    cli.add_verify_argument(parser)
    arguments = parser.parse_args(argv)
    if arguments.resume and arguments.overwrite:
        parser.error("--resume and --overwrite exclude each other")

    from galr.doctor.stores import verify
    from galr.options import load_options
    from galr.training.trainer import Trainer

    options = load_options(arguments.path_opt, arguments.overrides)
    if arguments.verify:
        verify(options)
    trainer = Trainer(options, started=0.0)  # a time budget includes the start of the process
    trainer.fit(resume=arguments.resume, overwrite=arguments.overwrite, out=arguments.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
