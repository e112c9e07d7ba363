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
    parser.add_argument(
        "--fold", type=int, metavar="N", help="train only this fold, counted from 0"
    )
    parser.add_argument(
        "--folds-on", choices=("ray",),
        help="train the folds on the machines of a Ray cluster, one task each (docs/scale.md)",
    )  # fmt: skip
    cli.add_verify_argument(parser)
    arguments = parser.parse_args(argv)
    if arguments.resume and arguments.overwrite:
        parser.error("--resume and --overwrite exclude each other")

    from galr.doctor.stores import verify
    from galr.options import load_options
    from galr.training.trainer import Trainer

    options = load_options(arguments.path_opt, arguments.overrides)
    if arguments.fold is not None and not 0 <= arguments.fold < options.k_fold.nums:
        parser.error(f"--fold {arguments.fold}: there are the folds 0 to {options.k_fold.nums - 1}")
    if arguments.verify:
        verify(options)
    trainer = Trainer(options, started=0.0)  # a time budget includes the start of the process
    if arguments.folds_on is not None:
        from galr.sweep.folds import train_folds

        if arguments.fold is not None:
            parser.error("--fold and --folds-on exclude each other")
        trainer.make_room(arguments.resume, arguments.overwrite)
        train_folds(options, arguments.path_opt, arguments.overrides)
        arguments.resume, arguments.overwrite = True, False  # what is done is only read
    trainer.fit(
        resume=arguments.resume,
        overwrite=arguments.overwrite,
        out=arguments.out,
        fold=arguments.fold,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
