"""What the networks under ``model.backbone.name`` have in common: maps of four levels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from galr.common.errors import UserError

LEVELS = 4


class Trunk(nn.Module):
    """A network without its classifier: image (B, 3, S, S) -> maps of LEVELS levels.

    Map i is (B, channels[i], S / strides[i], S / strides[i]), and the output of the module
    ``stages[i]`` of ``net``, whose weights have their library's names. ``heads`` begin the names of
    weights that files hold and the trunk lacks: those of the classifier.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    stages: tuple[str, ...]
    heads: tuple[str, ...]
    may_leave_weights_unused = False

    @property
    def net(self) -> nn.Module:
        """The module under whose names the library keeps weights."""
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """As the class says."""
        raise NotImplementedError

    @torch.no_grad()
    def maps_of_zeros(self, side: int, place: str, remedy: str) -> tuple[Tensor, ...]:
        """The maps of an image of zeros of ``side``.

        Raises UserError, which begins with ``place``, for a side that the network does not take.
        """
        training, device = self.training, next(self.parameters()).device
        try:
            return self.eval().forward(torch.zeros(1, 3, side, side, device=device))
        except (RuntimeError, AssertionError, ValueError) as error:
            line = str(error).strip().partition("\n")[0]
            what = f"gives no maps of images of {side} pixels ({line})"
            raise UserError(place, what, remedy) from None
        finally:
            self.train(training)

    def modules_from(self, level: int) -> Iterator[nn.Module]:
        """The modules that only the maps from ``level`` (1 to LEVELS) on depend on, in order.

        Raises UserError for a network whose levels are not known.
        """
        if not self.stages:
            raise UserError(
                "model.backbone.train",
                f"layer{level} is no part of this network that is known",
                "set it to all or none",
            )
        named = list(self.net.named_modules())
        start = 0
        if level > 1:
            before = self.stages[level - 2]
            start = 1 + max(
                i for i, (name, _) in enumerate(named) if f"{name}.".startswith(f"{before}.")
            )
        for _, module in named[start:]:
            yield module
