"""python -m galr.export: writes a checkpoint as a folder to share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from galr.common import cli
from galr.common.errors import UserError

DESCRIPTION = """\
Writes a checkpoint as a folder to share, without pickles: model.safetensors, options.yaml,
training.json (vocabulary, images of the fold, versions) and README.md, a model card.

galr.load(FOLDER) reads it back, and every command that takes a checkpoint takes the folder. Without
--checkpoint, it writes the untrained model of model.image_text.

  python -m galr.export --checkpoint checkpoint/demo_GaLR/0/best.pth --out shared/demo_GaLR
  python -m galr.export --checkpoint released.pth.tar --path_opt options/RSITMD_GaLR.yaml \\
    --vocab vocab/rsitmd_splits_vocab.json --out shared/released
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and writes the folder."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.export")
    parser.add_argument("--checkpoint", metavar="FILE", help="best.pth from train.py")
    parser.add_argument("--out", metavar="DIR", required=True, help="output folder, new or empty")
    parser.add_argument(
        "--path_opt", metavar="FILE", help="options file, if the checkpoint contains no options"
    )
    parser.add_argument(
        "--vocab", metavar="FILE", help="vocabulary, if the checkpoint contains none"
    )
    arguments = parser.parse_args(argv)
    folder = Path(arguments.out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(folder, "is not an empty folder", "choose another --out")
    from galr.export.folder import export  # torch takes seconds, which --help does not wait for

    export(arguments.checkpoint, folder, arguments.path_opt, arguments.vocab)
    sys.stdout.write(f"wrote {folder}\n")


if __name__ == "__main__":
    sys.exit(cli.run(main))
