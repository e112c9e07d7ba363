"""Any classifier of torchvision that has maps of four levels, by torchvision's feature extraction.

Where its maps are is seen from the shapes of one image: of the modules that give a map of a stride,
the outermost, and of these the last.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import get_model, list_models
from torchvision.models.feature_extraction import create_feature_extractor

from galr.common.errors import UserError
from galr.model.trunk import LEVELS, Trunk

STRIDES = (4, 8, 16, 32)
# not square, so that a map tells where its height and width stand
HEIGHT, WIDTH = 128, 160


class Place(NamedTuple):
    """A module that gives a map, and whether its channels come last."""

    module: str
    channels: int
    channels_last: bool


class TorchvisionMaps(Trunk):
    """The network ``name`` of torchvision under its parameter names, with random weights."""

    strides = STRIDES

    def __init__(self, name: str) -> None:
        """Raises UserError for a network without maps of four levels."""
        super().__init__()
        self.name = name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of GoogLeNet's slow start
            net = get_model(name, weights=None)
        places = _places(net, name)
        self.channels = tuple(place.channels for place in places)
        self.stages = tuple(place.module for place in places)
        self.channels_last = tuple(place.channels_last for place in places)
        nodes = {place.module: str(level) for level, place in enumerate(places)}
        self.extractor = create_feature_extractor(net, nodes, suppress_diff_warning=True)
        kept = {child for child, _ in self.extractor.named_children()}
        self.heads = tuple(child for child, _ in net.named_children() if child not in kept)

    def __deepcopy__(self, memo: dict[int, Any]) -> TorchvisionMaps:
        """A copy with graphs of its own: torch.fx would keep the one of the mode at hand."""
        with torch.random.fork_rng(devices=[]):
            twin = type(self)(self.name)
        twin.load_state_dict(
            {name: each.detach().clone() for name, each in self.state_dict().items()}, assign=True
        )
        for weight, copied in zip(self.parameters(), twin.parameters(), strict=True):
            copied.requires_grad_(weight.requires_grad)
        twin.train(self.training)
        for module, other in zip(self.modules(), twin.modules(), strict=True):
            other.training = module.training
        return twin

    @property
    def net(self) -> nn.Module:
        """The module under whose names torchvision keeps weights."""
        extractor: nn.Module = self.extractor
        return extractor

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """image (B, 3, S, S) -> maps (B, channels[i], S / STRIDES[i], S / STRIDES[i])."""
        found = self.extractor(image)
        maps = [found[str(level)] for level in range(LEVELS)]
        return tuple(
            each.permute(0, 3, 1, 2) if last else each
            for each, last in zip(maps, self.channels_last, strict=True)
        )


@torch.no_grad()
def _places(net: nn.Module, name: str) -> list[Place]:
    """The places of the maps of STRIDES, found by one image of zeros."""
    found: dict[int, tuple[int, Place]] = {}

    def look(module: str, output: object) -> None:
        if not isinstance(output, Tensor) or output.dim() != 4:
            return
        for stride in STRIDES:
            sides = (HEIGHT // stride, WIDTH // stride)
            last = output.shape[1:3] == sides
            if last or output.shape[2:] == sides:
                depth = module.count(".")
                if stride not in found or depth <= found[stride][0]:
                    channels = output.shape[3 if last else 1]
                    found[stride] = depth, Place(module, channels, last)

    hooks = [
        module.register_forward_hook(lambda _, __, output, path=path: look(path, output))
        for path, module in net.named_modules()
        if path
    ]
    try:
        net.eval()(torch.zeros(1, 3, HEIGHT, WIDTH, device=next(net.parameters()).device))
    except (RuntimeError, AssertionError, ValueError):
        found.clear()  # it takes images of one size alone
    finally:
        for hook in hooks:
            hook.remove()
        net.train()
    if len(found) < LEVELS:
        raise UserError(
            f"model.backbone.name: {name}",
            f"has no maps of the strides {', '.join(map(str, STRIDES))} in torchvision",
            "name another, such as efficientnet_b0, or one of timm's as timm:NAME",
        )
    return [found[stride][1] for stride in STRIDES]


def check_torchvision_name(name: str) -> None:
    """Raises UserError where torchvision has no classifier ``name``."""
    import torchvision.models

    known = list_models(module=torchvision.models)
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"model.backbone.name: {name}",
            "is no classifier of torchvision" + (f"; the nearest is {near[0]}" if near else ""),
            "correct it, or name one of timm's as timm:NAME",
        )
