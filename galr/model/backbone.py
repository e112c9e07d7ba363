"""The backbone: a ResNet of torchvision, maps of four levels, and the start of its weights."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from galr.common.errors import UserError
from galr.model.weights import named_tensors, put_weights, read_weights
from galr.options import BackboneOptions

logger = logging.getLogger(__name__)

STRIDES = (4, 8, 16, 32)
"""The side of an image over the side of each map."""


class Backbone(nn.Module):
    """A ResNet of torchvision, under its parameter names, without the classifier.

    ``channels`` are those of its four maps.
    """

    def __init__(self, name: str = "resnet18") -> None:
        """``name`` as in ``torchvision.models.list_models()``; the weights are random."""
        super().__init__()
        net = get_model(name, weights=None)
        self.stem = ("conv1", "bn1", "relu", "maxpool")
        self.stages = ("layer1", "layer2", "layer3", "layer4")
        for part in (*self.stem, *self.stages):
            self.add_module(part, getattr(net, part))
        last: int = net.fc.in_features
        self.channels = (last // 8, last // 4, last // 2, last)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """image (B, 3, S, S) -> maps (B, channels[i], S / STRIDES[i], S / STRIDES[i])."""
        for part in self.stem:
            image = self.get_submodule(part)(image)
        maps = [image]
        for stage in self.stages:
            maps.append(self.get_submodule(stage)(maps[-1]))
        return tuple(maps[1:])


def build_backbone(options: BackboneOptions) -> Backbone:
    """The backbone ``name`` with its ``weights``.

    Raises UserError where they cannot be had; it never falls back to a random start.
    """
    backbone = Backbone(options.name)
    if options.weights is None:
        logger.info("backbone: %s, random start (model.backbone.weights is null)", options.name)
        return backbone
    path = Path(options.weights)
    published = _published(options.name)
    if options.weights in published:
        state: Any = _downloaded(options.name, published[options.weights])
        remedy = "delete the file, and it is downloaded again"
    else:
        remedy = (
            f"name a file of torchvision's {options.name} by model.backbone.weights, or set it to "
            f"one of {', '.join(published)} to download them, or to null for a random start"
        )
        state = read_weights(path, remedy)
    put_backbone_weights(backbone, state, path, remedy)
    logger.info("backbone: %s, weights %s", options.name, options.weights)
    return backbone


def put_backbone_weights(backbone: Backbone, state: Any, place: Path, remedy: str) -> None:  # noqa: ANN401
    """Puts a state dict of torchvision's, with its classifier or without, into ``backbone``."""
    state = named_tensors(state, place, remedy)
    counters = {
        # files from before PyTorch 0.4.1 lack these; a pretrained backbone never reads them
        name: torch.zeros((), dtype=torch.int64)
        for name in backbone.state_dict()
        if name.endswith(".num_batches_tracked")
    }
    state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    put_weights(backbone, counters | state, place, remedy)


def _published(name: str) -> dict[str, Any]:
    """torchvision's weights of ``name``; `imagenet` are the first, as released with the paper."""
    weights = get_model_weights(name).__members__
    return {"imagenet": weights["IMAGENET1K_V1"], **weights}


def _downloaded(name: str, weights: Any) -> Any:  # noqa: ANN401 - torchvision's WeightsEnum
    """The state dict in torch's cache (TORCH_HOME), where torchvision puts it once."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where it says what it downloads
            return weights.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
            )
    except Exception as error:  # noqa: BLE001 - no network, no space, a wrong digest, a damaged file
        raise UserError(
            f"model.backbone.weights: {name}, {weights.name}",
            f"{weights.url} could not be downloaded to {torch.hub.get_dir()}/checkpoints, or the "
            f"file there is damaged ({error})",
            "connect once to let it be downloaded, name a local file by "
            "model.backbone.weights=FILE, or start at random by model.backbone.weights=null",
        ) from None
