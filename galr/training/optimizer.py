"""Adam or AdamW with mixed precision and gradient clipping, and the average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from galr.common.errors import UserError
from galr.options import OptimOptions

Tensors = list[Tensor] | tuple[Tensor, ...]

# as Linux names them: the first two on x86, the third on ARM
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


class MixedPrecisionOptimizer:
    """Updates ``modules`` under ``optim.optimizer``, ``optim.amp`` and ``optim.grad_clip``.

        optimizer.zero_grad()
        with optimizer.autocast():
            features = model(batch)
        optimizer.backward(loss_of(features))
        optimizer.step(lr)

    Raises UserError for float16 on a CPU.
    """

    def __init__(
        self,
        modules: Iterable[nn.Module],
        options: OptimOptions,
        device: torch.device,
        rates: Sequence[tuple[nn.Module, float]] = (),
    ) -> None:
        """``rates``: parts of ``modules`` with a learning rate of their own."""
        self.optimizer = build_optimizer(modules, options, rates)
        self.device, self.dtype = device, autocast_dtype(options.amp, device)
        # small gradients underflow in float16; the other types need no loss scaling
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.grad_clip = options.grad_clip

    def autocast(self) -> torch.autocast:
        """The context of the forward pass; the loss is computed outside of it, in float32."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None)

    def zero_grad(self) -> None:
        """Clears the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of ``loss``, which is scaled in float16."""
        torch.autograd.backward(self.scaler.scale(loss))

    def step(self, lr: float) -> None:
        """Clips the gradients and updates the weights with the learning rate ``lr``.

        That of parts with one of their own is changed in proportion.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("share", 1.0)
        self.scaler.unscale_(self.optimizer)
        if self.grad_clip > 0:
            nn.utils.clip_grad_norm_(self.parameters(), self.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def parameters(self) -> list[Tensor]:
        """All parameters that are updated."""
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]


def build_optimizer(
    modules: Iterable[nn.Module],
    options: OptimOptions,
    rates: Sequence[tuple[nn.Module, float]] = (),
) -> Optimizer:
    """The optimiser of all parameters of ``modules`` that require gradients.

    ``weight_decay`` applies to matrices and kernels, not to norms, biases and other vectors.
    ``rates``: parts of ``modules`` with a learning rate of their own; ``share`` of their group is
    this over ``lr``.
    """
    shares = {id(weight): rate / options.lr for part, rate in rates for weight in part.parameters()}
    kept: dict[tuple[float, bool], list[Tensor]] = {}
    for module in modules:
        for weight in module.parameters():
            if weight.requires_grad:
                key = shares.get(id(weight), 1.0), weight.dim() <= 1
                kept.setdefault(key, []).append(weight)
    groups: list[dict[str, Any]] = []
    for (share, is_vector), weights in sorted(kept.items(), key=lambda item: item[0]):
        decay = 0.0 if is_vector else options.weight_decay
        groups.append({"params": weights, "weight_decay": decay})
        if share != 1:
            groups[-1] |= {"share": share, "lr": options.lr * share}
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    # one kernel for all weights instead of several per tensor
    return kind(groups, lr=options.lr, fused=True)


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


def autocast_dtype(
    amp: Literal["auto", "off", "bf16", "fp16"], device: torch.device
) -> torch.dtype | None:
    """The dtype of ``torch.autocast`` on ``device``; None for float32 without autocast.

    Raises UserError for float16 on a CPU, where it is slower than float32.
    """
    if amp == "auto":
        return torch.bfloat16 if supports_bfloat16(device) else None
    if amp == "fp16" and device.type == "cpu":
        raise UserError("optim.amp", "fp16 is for CUDA devices", "set it to auto or off")
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


@lru_cache
def supports_bfloat16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether ``device`` has bfloat16 instructions; False where the system does not report it.

    CPUs without them emulate bfloat16, some many times slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        words = cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(words)
