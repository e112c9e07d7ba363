"""The backbone: a torchvision or timm network, its maps at four levels, its initial weights."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import get_model, get_model_weights

from galr.common.errors import UserError
from galr.common.packages import is_packaged, packaged
from galr.encoders.timm_maps import PREFIX as TIMM
from galr.encoders.timm_maps import TimmBackbone
from galr.encoders.torchvision_maps import STRIDES, TorchvisionMaps, check_torchvision_name
from galr.encoders.trunk import Trunk
from galr.encoders.weight_layouts import put_backbone_weights
from galr.options import BackboneOptions
from galr.weights.files import read_weights

logger = logging.getLogger(__name__)

__all__ = ["STRIDES", "Backbone", "build_backbone", "empty_backbone", "put_backbone_weights"]

_RESNETS = ("resnet", "resnext", "wide_resnet")
_WEIGHT_FILES = ("*.pth", "*.pt", "*.safetensors")


class Backbone(Trunk):
    """A ResNet of torchvision, under its parameter names, without the classifier."""

    strides = STRIDES
    heads = ("fc",)

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


def empty_backbone(options: BackboneOptions, side: int) -> Trunk:
    """The backbone ``name`` for images of ``side`` pixels, with random weights.

    Raises UserError for a name unknown to its library, and for a network without feature maps.
    """
    if options.name.startswith(TIMM):
        return TimmBackbone(options.name.removeprefix(TIMM), side, options.head)
    check_torchvision_name(options.name)
    kind = Backbone if options.name.startswith(_RESNETS) else TorchvisionMaps
    return kind(options.name)


def build_backbone(options: BackboneOptions, side: int = 256) -> Trunk:
    """The backbone ``name`` for images of ``side`` pixels, with its ``weights``.

    Raises UserError if they are unavailable; never falls back to random weights.
    """
    of_timm = options.name.startswith(TIMM)
    if of_timm and options.weights == "imagenet":
        name = options.name.removeprefix(TIMM)
        return TimmBackbone(name, side, options.head, pretrained=True)
    backbone = empty_backbone(options, side)
    if options.weights is None:
        logger.info("backbone: %s, random weights (model.backbone.weights is null)", options.name)
        return backbone
    path = Path(options.weights)
    published = {} if of_timm else _published(options.name)
    if options.weights in published:
        state: Any = _downloaded(options.name, published[options.weights])
        remedy = "delete the file to download it again"
    else:
        remedy = (
            f"set model.backbone.weights to a weight file of {options.name}, to "
            f"{', '.join(published) or 'imagenet'} to download one, or to null for random weights"
        )
        if is_packaged(options.weights):
            path = packaged(options.weights, "model.backbone.weights", _WEIGHT_FILES)
        state = read_weights(path, remedy)
    put_backbone_weights(backbone, state, path, remedy, options.name)
    logger.info("backbone: %s, weights %s", options.name, options.weights)
    return backbone


def _published(name: str) -> dict[str, Any]:
    """torchvision's weights for ``name``; `imagenet` is the first version, as in the paper."""
    weights = get_model_weights(name).__members__
    return {"imagenet": weights["IMAGENET1K_V1"], **weights}


def _downloaded(name: str, weights: Any) -> Any:  # noqa: ANN401 - torchvision's WeightsEnum
    """The state dict, downloaded once to torch's cache (TORCH_HOME)."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # for its progress messages
            return weights.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, map_location="cpu", weights_only=True
            )
    except Exception as error:  # noqa: BLE001 - no network, no space, a wrong digest, a damaged file
        raise UserError(
            f"model.backbone.weights: {name}, {weights.name}",
            f"{weights.url} could not be downloaded to {torch.hub.get_dir()}/checkpoints, or the "
            f"file there is damaged ({error})",
            "connect to the internet once, or set model.backbone.weights=FILE (a local file) or, "
            "for random weights, model.backbone.weights=null",
        ) from None
