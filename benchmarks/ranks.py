#!/usr/bin/env python
"""A training step on two ranks: gradients summed in buckets during the backward pass, or after it.

  torchrun --nproc_per_node 2 benchmarks/ranks.py
  torchrun --nproc_per_node 2 benchmarks/ranks.py --side 128 --batch 32 --out ranks.json

Both kinds train the same model on the same batch in turn; rank 0 prints the median seconds
of a step.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli, distributed
from galr.common.atomic import write_json
from galr.data.batches import Batch
from galr.model.build import build_model
from galr.options import options_from_dict
from galr.training.backbone import set_trainable
from galr.training.loss import Criterion
from galr.training.step import TrainingStep

WORDS = [f"word{number}" for number in range(3000)] + ["<unk>"]


class AfterwardsStep(TrainingStep):
    """Gradients of all weights copied together and summed at once, after the backward pass."""

    def _wrap_trainable_weights(self) -> None:
        pass

    def accumulate(self, batch: Batch, seed: int) -> Tensor:
        """As the step's, with one sum over the ranks."""
        loss = super().accumulate(batch, seed)
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return loss


def make_batch(size: int, side: int, seed: int) -> Batch:
    """Random images and captions, without objects."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(6, 13, (size,), generator=generator)
    tokens = torch.randint(1, 3000, (size, 12), generator=generator)
    images = torch.randint(0, 256, (size, side, side, 3), generator=generator, dtype=torch.uint8)
    index = torch.arange(size)
    tokens *= torch.arange(12) < lengths[:, None]
    return Batch(images.permute(0, 3, 1, 2), None, None, tokens, lengths, index, index)


def make_step(kind: type[TrainingStep], side: int) -> TrainingStep:
    """A step of the whole network without the local branch, with random weights."""
    tree: dict[str, Any] = {
        "model": {"local": False, "backbone": {"weights": None}, "seq2vec": {"pretrained": False}},
        "dataset": {"image_size": side, "resize_size": side},
    }
    options = options_from_dict(tree, "benchmark")
    torch.manual_seed(0)
    model = build_model(options, WORDS)
    step = kind(model, Criterion(options.optim), options.optim)
    set_trainable(model, options.model.backbone, 0.0)
    return step


def seconds(step: TrainingStep, batch: Batch, seed: int) -> float:
    """Of one step of all ranks."""
    dist.barrier()
    started = time.perf_counter()
    step.step(batch, 1e-4, seed)
    dist.barrier()
    return time.perf_counter() - started


def main() -> None:
    """Prints the medians and their ratio."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16, help="pairs a rank")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with distributed.process_group(torch.device("cpu")):
        batch = make_batch(arguments.batch, arguments.side, distributed.rank())
        kinds = {"in buckets": TrainingStep, "afterwards": AfterwardsStep}
        steps = {name: make_step(kind, arguments.side) for name, kind in kinds.items()}
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(arguments.rounds + 1):
            for name, step in steps.items():
                times[name].append(seconds(step, batch, number))
        medians = {name: statistics.median(each[1:]) for name, each in times.items()}
        if distributed.is_main():
            for name, value in medians.items():
                print(f"{name:12}{value:8.3f} s a step")
            print(f"ratio       {medians['afterwards'] / medians['in buckets']:8.2f}")
            if arguments.out:
                write_json(arguments.out, {"medians": medians, "all": times})


if __name__ == "__main__":
    main()
