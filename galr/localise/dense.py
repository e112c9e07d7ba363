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
from galr.model.backbone import STRIDES
from galr.model.mvsa import ImageEncoder
from galr.scenes.windows import Windows, step_of
from galr.trained_model import TrainedModel


def check_dense(windows: Windows, encoder: TrainedModel) -> None:
    """Raises UserError where the windows (W, 4) do not lie on the grid of the last map.

    And for models without such a backbone.
    """
    if not isinstance(encoder.model.image_encoder, ImageEncoder):
        name = encoder.options.model.name
        raise UserError("--dense", f"a model of {name} has no maps to share", "leave --dense out")
    sides = windows[:, 2] - windows[:, 0]
    for side in np.unique(sides).tolist():
        step = step_of(windows[sides == side])
        if step * encoder.side % (side * STRIDES[-1]):
            cells = encoder.side // STRIDES[-1]
            fitting = ", ".join(f"{1 - n / cells:.4g}" for n in range(1, cells))
            raise UserError(
                "--dense",
                f"windows of {side} pixels, {step} apart, do not lie on the backbone's last map, "
                f"which has {cells} places for a window",
                f"take an --overlap of {fitting or '0'}, and --windows that it divides",
            )


@torch.inference_mode()
def encode_grid(encoder: TrainedModel, pixels: NDArray[np.uint8], step: int) -> Tensor:
    """Embeddings of the squares of side S of a picture (H, W, 3), ``step`` pixels apart.

    Row by row, (R, D) float32 on the CPU; H and W are S plus multiples of ``step``.
    """
    trunk = encoder.model.image_encoder
    assert isinstance(trunk, ImageEncoder)
    parameter = next(encoder.model.parameters())
    device, kind = parameter.device, parameter.dtype
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device)
    maps = trunk.trunk(normalise(image).to(kind))
    rows = []
    for level in trunk.levels:
        side, shift = encoder.side // STRIDES[level], step // STRIDES[level]
        parts = maps[level][0].unfold(1, side, shift).unfold(2, side, shift)  # (C, r, c, s, s)
        # by place and then by channel, as ImageEncoder.kept_maps
        rows.append(parts.permute(1, 2, 3, 4, 0).flatten(0, 1).flatten(1))
    kept = torch.cat(rows, dim=1)
    matrices: tuple[Tensor, ...] = ()
    if encoder.has_local_branch:
        local = LocalFeatures.zeros(len(kept), encoder.options.dataset.drea)
        matrices = tuple(
            torch.from_numpy(part).to(device, kind)
            for part in (local.representation, local.adjacency)
        )
    return encoder.model.encode_maps(kept, *matrices).float().cpu()
