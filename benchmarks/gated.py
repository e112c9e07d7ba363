"""AMFMN's soft_att as two products of matrices, beside the gated text feature of every pair.

python benchmarks/gated.py                          1,093 images, 5,465 captions, 512 numbers
python benchmarks/gated.py --images 200 --captions 1000
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.metrics.similarities import even_blocks
from galr.model.comparison import SMALLEST_NORM, SoftAttention


def pairwise(module: SoftAttention, images: Tensor, captions: Tensor) -> Tensor:
    """(I, C) from u = gate * t of every pair, some images at a time."""
    gates = torch.sigmoid(module.gate(images))
    found = torch.empty(len(images), len(captions))
    for rows in even_blocks(len(images), max(1, (1 << 24) // captions.numel())):
        text = gates[rows, None] * captions  # (b, C, D)
        product = torch.einsum("id,icd->ic", images[rows], text)
        norms = images[rows].norm(dim=1, keepdim=True) * text.norm(dim=2)
        found[rows] = product / norms.clamp(min=SMALLEST_NORM)
    return found


def seconds(call: Callable[[], Tensor]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Prints the largest difference, both times, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1093)
    parser.add_argument("--captions", type=int, default=5465)
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest count")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    module = SoftAttention(512)
    images, captions = torch.randn(arguments.images, 512), torch.randn(arguments.captions, 512)
    captions = captions.relu()
    with torch.inference_mode():
        apart = (module(images, captions) - pairwise(module, images, captions)).abs().max()
        rounds = [
            (seconds(lambda: module(images, captions)),
             seconds(lambda: pairwise(module, images, captions)))
            for _ in range(arguments.rounds)
        ]  # fmt: skip
    ours, pairs = (min(times) for times in zip(*rounds, strict=True))
    print(
        f"{arguments.images} x {arguments.captions}: largest difference {apart:.1e}; "
        f"two products {ours:.4f} s, every pair {pairs:.2f} s, {pairs / ours:.0f} x"
    )


if __name__ == "__main__":
    main()
