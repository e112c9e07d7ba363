"""The exponential moving average of the weights, which is evaluated in their place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = list[Tensor] | tuple[Tensor, ...]


def weight_average(model: nn.Module, decay: float) -> AveragedModel:
    """average = d average + (1 - d) weights after each step, over parameters and buffers.

    d grows to ``decay`` as min(decay, (1 + steps) / (10 + steps)), so that the start is soon
    forgotten; the first step is taken as it is.
    """

    @torch.no_grad()
    def update(average: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if not average[0].is_floating_point():  # counters of batch normalisation
            torch._foreach_copy_(average, current)
            return
        share = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(average, current, 1 - share)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
