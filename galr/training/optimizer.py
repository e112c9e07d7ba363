"""Adam or AdamW over the trainable weights, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from galr.options import OptimOptions

Tensors = list[Tensor] | tuple[Tensor, ...]


def build_optimizer(modules: Iterable[nn.Module], options: OptimOptions) -> Optimizer:
    """The optimiser of all parameters of ``modules`` that need a gradient.

    ``weight_decay`` applies to matrices and kernels, not to norms, biases and other vectors.
    """
    weights = [
        weight for module in modules for weight in module.parameters() if weight.requires_grad
    ]
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    matrices = [weight for weight in weights if weight.dim() > 1]
    vectors = [weight for weight in weights if weight.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    # one kernel for all weights instead of several a tensor
    return kind([group for group in groups if group["params"]], lr=options.lr, fused=True)


def weight_average(model: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of parameters and buffers: d average + (1 - d) weights.

    d grows to ``decay`` as min(decay, (1 + steps) / (10 + steps)), so that the initial weights
    are soon forgotten; the first step is copied.
    """

    @torch.no_grad()
    def update(average: Tensors, current: Tensors, steps: Tensor | int) -> None:
        if not average[0].is_floating_point():  # counters of batch normalisation
            torch._foreach_copy_(average, current)
            return
        share = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(average, current, 1 - share)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
