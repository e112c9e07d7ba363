"""One pass of the backbone for overlapping windows: each takes its part of the maps.

A convolution sees the neighbourhood of a window where a window of its own ends in zeros, so that
embeddings differ from those of ``encode_pixels`` (docs/localise.md says how far).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from galr.common.errors import UserError
from galr.data.transforms import normalise
from galr.local_features.store import LocalFeatures
from galr.model.backbone import STRIDES, Backbone
from galr.model.mvsa import ImageEncoder
from galr.scenes.windows import Windows, step_of
from galr.trained_model import TrainedModel


def check_dense(windows: Windows, encoder: TrainedModel) -> None:
    """Raises UserError where the windows (W, 4) do not lie on the grid of the last map.

    And for models without such a backbone.
    """
    _images(encoder)
    sides = windows[:, 2] - windows[:, 0]
    for side in np.unique(sides).tolist():
        step = step_of(windows[sides == side])
        if step * encoder.side % (side * STRIDES[-1]):
            cells = encoder.side // STRIDES[-1]
            fitting = ", ".join(f"{1 - n / cells:.4g}" for n in range(1, cells))
            raise UserError(
                "--dense",
                f"windows of {side} pixels, {step} apart, do not align with the backbone's last "
                f"feature map, which has {cells} cells per window",
                f"use an --overlap of {fitting or '0'}, and --windows that it divides",
            )


@torch.inference_mode()
def encode_grid(encoder: TrainedModel, pixels: NDArray[np.uint8], step: int) -> Tensor:
    """Embeddings of the squares of side S of an image (H, W, 3), ``step`` pixels apart.

    Row by row, (R, D) float32 on the CPU; H and W are S plus multiples of ``step``.
    """
    images = _images(encoder)
    parameter = next(encoder.model.parameters())
    device, kind = parameter.device, parameter.dtype
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)
    maps = images.trunk(normalise(image).to(kind))
    rows = []
    for level, stride in zip(maps, STRIDES, strict=True):
        side, shift = encoder.side // stride, step // stride
        parts = level[0].unfold(1, side, shift).unfold(2, side, shift)  # (C, r, c, s, s)
        rows.append(parts.flatten(1, 2).permute(1, 2, 3, 0))  # (R, s, s, C)
    # what ImageEncoder.forward_features gives of each square
    if images.reads_all_maps:
        kept = torch.cat([row.flatten(1) for row in rows], dim=1)
    else:
        kept = torch.cat([row.mean(dim=(1, 2)) for row in rows[-images.pooled :]], dim=1)
    matrices: tuple[Tensor, ...] = ()
    if encoder.has_local_branch:
        local = LocalFeatures.zeros(len(kept), encoder.options.dataset.drea)
        matrices = tuple(
            torch.from_numpy(part).to(device, kind)
            for part in (local.representation, local.adjacency)
        )
    return encoder.model.encode_features(kept, *matrices).float().cpu()


def _images(encoder: TrainedModel) -> ImageEncoder:
    """The image encoder, whose maps windows can share."""
    images = encoder.model.image_encoder
    if not isinstance(images, ImageEncoder) or not isinstance(images.trunk, Backbone):
        what = "needs a torchvision ResNet as backbone, whose feature maps windows can share"
        raise UserError("--dense", what, "omit --dense")
    for key in ("pyramid", "average_rotations"):
        if getattr(images, key):
            what = f"sees each window once, and this model several times (model.multiscale.{key})"
            raise UserError("--dense", what, "omit --dense")
    return images
