"""Batch normalisation over the batches of all ranks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from galr.common.distributed import world_size


def share_statistics(buffers: Iterable[Tensor]) -> None:
    """Averages running statistics over all ranks, in place; counters are unchanged."""
    if world_size() == 1:
        return
    for buffer in buffers:
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer.div_(world_size())


def _over_ranks(x: Tensor) -> Tensor:
    """The sum over all ranks, with a gradient."""
    total: Tensor = all_reduce(x)  # type: ignore[no-untyped-call]
    return total


class RankBatchNorm(nn.BatchNorm2d):
    """nn.SyncBatchNorm for CPUs, which torch lacks: statistics over the batches of all ranks."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        count = _over_ranks(x.new_tensor(x.numel() / x.shape[1]))
        mean = _over_ranks(x.sum((0, 2, 3))) / count
        centred = x - mean.view(1, -1, 1, 1)
        variance = _over_ranks(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


def synchronise_batch_norm(model: nn.Module) -> None:
    """Makes every batch normalisation of ``model`` use the batches of all ranks, in place."""
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = RankBatchNorm
