"""python -m galr.warm_start: a start for the backbone, learned from images without captions."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from galr.common import cli
from galr.common.atomic import atomic_path, check_writable
from galr.common.device import choose_device
from galr.common.errors import RunError
from galr.data.dataset import random_views
from galr.data.image_cache import Images
from galr.data.part import read_split
from galr.data.sampling import epoch_draws, epoch_order
from galr.data.transforms import normalise
from galr.model.backbone import Backbone
from galr.options import DatasetOptions, Options, load_options
from galr.training.loss import infonce_loss
from galr.training.optimizer import build_optimizer
from galr.training.precision import autocast_type
from galr.training.schedule import TrainingBudget, cpu_seconds, learning_rate

logger = logging.getLogger(__name__)

DESCRIPTION = """\
Trains the backbone to tell the training images apart, two random views of one from those of others
(SimCLR, Chen et al. 2020), and writes a file for model.backbone.weights. Captions play no part.

The views are those that training makes: dataset.augment says how, dataset.image_size how large.

  python -m galr.warm_start --path_opt options/recipes/rsicd_cpu_30min.yaml --seconds 600 \\
    --out backbone.pth
  python train.py --path_opt options/recipes/rsicd_cpu_30min.yaml \\
    --set model.backbone.weights=backbone.pth
"""

TEMPERATURE = 0.1
PROJECTED = 128  # numbers in which views are compared


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, trains and writes the weights."""
    parser = cli.ArgumentParser(DESCRIPTION, prog="python -m galr.warm_start")
    cli.add_options_arguments(parser)
    parser.add_argument(
        "--seconds", type=cli.at_least_1, default=600, metavar="N",
        help="processor seconds (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", required=True, help="the weights, as a .pth file")
    arguments = parser.parse_args(argv)

    options = load_options(arguments.path_opt, arguments.overrides)
    check_writable(arguments.out)
    weights = learn(options, arguments.seconds)
    with atomic_path(Path(arguments.out)) as temporary:
        torch.save(weights, temporary)
    logger.info("wrote %s", arguments.out)


def learn(options: Options, seconds: float) -> dict[str, Tensor]:
    """The weights of the backbone after so many processor seconds on the training images.

    Raises RunError where the loss is no longer a number, and where the seconds are over before the
    first step.
    """
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    trunk = Backbone(options.model.backbone.name).to(device).train()
    width = trunk.channels[3]
    projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED))
    learned = nn.ModuleList([trunk, projector.to(device)])
    optimizer = build_optimizer(learned, options.optim)
    optim = options.optim.model_copy(update={"budget_seconds": seconds})
    budget = TrainingBudget(optim, cpu_seconds())
    kind = autocast_type(options.optim.amp, device)
    scaler = torch.amp.GradScaler(device.type, enabled=kind is torch.float16)
    images = read_split(options, "train").at(options.dataset.resize_size).images

    def project(view: Tensor) -> Tensor:
        with torch.autocast(device.type, kind, enabled=kind is not None):
            maps = trunk(normalise(view.to(device)))
            return normalize(projector(maps[3].mean(dim=(2, 3))).float(), dim=1)

    if budget.is_spent:
        raise RunError(
            "--seconds",
            f"{seconds:g} are over before the first step, since reading the images took "
            f"{budget.seconds:.1f}",
            "give more",
        )
    for step, (one, other) in enumerate(_views(images, options.dataset, options.seed)):
        done = budget.done(0)
        if done >= 1 and step > 0:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(optim, 0, done)
        loss = infonce_loss(project(one) @ project(other).T, 1 / TEMPERATURE) / len(one)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(scaler.scale(loss))
        scaler.unscale_(optimizer)
        if options.optim.grad_clip > 0:
            nn.utils.clip_grad_norm_(learned.parameters(), options.optim.grad_clip)
        scaler.step(optimizer)
        scaler.update()
        if step % options.logs.print_freq == 0:
            if not torch.isfinite(loss):
                raise _no_number(step)
            logger.info("step %d, %.0f seconds, loss %.3f", step, budget.seconds, loss.item())
    weights = dict(trunk.state_dict())
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise _no_number(step)
    return weights


def _no_number(step: int) -> RunError:
    return RunError(
        f"step {step}", "the loss is no number", "lower optim.lr, or set optim.grad_clip"
    )


def _views(images: Images, options: DatasetOptions, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Two views each of a batch of images, (B, 3, S, S) uint8, epoch after epoch."""
    side, size = options.sides[0], options.batch_size
    for epoch in itertools.count():
        order = epoch_order(seed, epoch, len(images))
        draws = [epoch_draws(seed, 2 * epoch + view, len(images)) for view in (0, 1)]
        for start in range(0, max(1, len(order) - size + 1), size):
            items = order[start : start + size]
            one, other = (
                random_views(images, items, each[items, 1:], side, options) for each in draws
            )
            yield one, other


if __name__ == "__main__":
    sys.exit(cli.run(main))
