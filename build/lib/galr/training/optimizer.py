"""Adam or AdamW over the weights that are trained."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from galr.options import OptimOptions


def build_optimizer(modules: Iterable[nn.Module], options: OptimOptions) -> Optimizer:
    """The optimiser of all parameters of ``modules`` that need a gradient.

    ``weight_decay`` pulls at matrices and kernels alone, never at norms, biases and other vectors:
    these have few numbers and a meaning at their size.
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
