"""Pretrains the backbone on images without captions, by contrastive learning (SimCLR)."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from galr.common.device import choose_device
from galr.common.errors import RunError
from galr.data.dataset import random_views
from galr.data.image_cache import Images
from galr.data.part import read_split
from galr.data.sampling import epoch_draws, epoch_order
from galr.data.transforms import normalise
from galr.model.backbone import empty_backbone
from galr.options import DatasetOptions, Options
from galr.training.loss import infonce_loss
from galr.training.optimizer import MixedPrecisionOptimizer
from galr.training.schedule import Schedule, clock

logger = logging.getLogger(__name__)

TEMPERATURE = 0.1
PROJECTED = 128  # width of the projection in which views are compared


def pretrain(options: Options, seconds: float) -> dict[str, Tensor]:
    """The weights of the backbone after ``seconds`` of CPU time on the training images.

    Raises RunError where the loss becomes NaN or infinite, and where reading the images takes all
    the seconds.
    """
    optim = options.optim.model_copy(update={"budget_seconds": seconds})
    device = choose_device(options.device)
    torch.manual_seed(options.seed)
    backbone = empty_backbone(options.model.backbone, options.dataset.image_size)
    backbone = backbone.to(device).train()
    width = backbone.channels[3]
    projector = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED))
    optimizer = MixedPrecisionOptimizer((backbone, projector.to(device)), optim, device)
    schedule = Schedule(optim, device, clock(optim))
    images = read_split(options, "train").at(options.dataset.resize_size).images

    def project(view: Tensor) -> Tensor:
        with optimizer.autocast():
            last_level = backbone(normalise(view.to(device)))[3]
            return normalize(projector(last_level.mean(dim=(2, 3))).float(), dim=1)

    nothing_left = schedule.is_spent
    if nothing_left:
        raise RunError(
            "--seconds",
            f"{seconds:g} s are used up before the first step: reading the images took "
            f"{schedule.seconds:.1f}",
            "increase it",
        )
    for step, (one, other) in enumerate(_views(images, options.dataset, options.seed)):
        if step > 0 and schedule.is_spent:
            break
        lr = schedule.learning_rate(0)
        loss = infonce_loss(project(one) @ project(other).T, 1 / TEMPERATURE) / len(one)
        optimizer.zero_grad()
        optimizer.backward(loss)
        optimizer.step(lr)
        if step % options.logs.print_freq == 0:
            _check_finite(loss, step)
            logger.info("step %d, %.0f seconds, loss %.3f", step, schedule.seconds, loss.item())
    weights = dict(backbone.net.state_dict())
    for weight in weights.values():
        _check_finite(weight, step)
    return weights


def _check_finite(values: Tensor, step: int) -> None:
    if not torch.isfinite(values).all():
        raise RunError(
            f"step {step}", "the loss is NaN or infinite", "lower optim.lr or set optim.grad_clip"
        )


def _views(images: Images, options: DatasetOptions, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of views of a batch of images, each (B, 3, S, S) uint8, epoch after epoch."""
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
