"""python -m galr.warm_start: pretrains the backbone on images without captions."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from galr.common import cli
from galr.common.atomic import check_writable

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Pretrains the backbone on the training images by contrastive learning: two random views of an image
are positives, views of other images negatives (SimCLR, Chen et al. 2020). Captions are not used.
Writes a file for model.backbone.weights.

The views are those of training: dataset.augment sets the augmentation, dataset.image_size the size.

  python -m galr.warm_start --path_opt options/recipes/rsicd_cpu_30min.yaml --seconds 600 \\
    --out backbone.pth
  python train.py --path_opt options/recipes/rsicd_cpu_30min.yaml \\
    --set model.backbone.weights=backbone.pth
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, trains and writes the weights."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.warm_start")
    cli.add_options_arguments(parser)
    parser.add_argument(
        "--seconds", type=cli.at_least_1, default=600, metavar="N",
        help="CPU time (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", required=True, help="output file, .pth")
    arguments = parser.parse_args(argv)

    # torch takes seconds, which --help does not wait for
    from galr.common.saving import save_torch
    from galr.options import load_options
    from galr.warm_start.pretrain import pretrain

    options = load_options(arguments.path_opt, arguments.overrides)
    check_writable(arguments.out)
    weights = pretrain(options, arguments.seconds)
    save_torch(arguments.out, weights)
    logger.info("wrote %s", arguments.out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
