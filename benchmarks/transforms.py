"""Training views by the fused look-up beside the same views by torchvision's transforms.

  python benchmarks/transforms.py
  python benchmarks/transforms.py --images 500 --side 96 --resized 144

Rotation by 0 to 90 degrees and a crop, the released settings, and a crop of another size, each of
the same images by the same numbers, in turn in one process with one thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as v2

from galr.data.transforms import Placement, place, rotate_and_crop
from galr.options import AugmentOptions

Pixels = NDArray[np.uint8]


def by_torchvision(image: Pixels, placement: Placement, side: int) -> Pixels:
    """The view by torchvision's rotation, crop and resize."""
    turned = v2.rotate(Image.fromarray(image), placement.angle)
    box = [round(value) for value in (placement.top, placement.left, placement.window)]
    return np.asarray(v2.resized_crop(turned, box[0], box[1], box[2], box[2], [side, side]))


def fused(image: Pixels, placement: Placement, side: int) -> Pixels:
    """The view as training makes it."""
    out = np.empty((side, side, 3), np.uint8)
    rotate_and_crop(image, placement, out)
    return out


def seconds(
    make: Callable[[Pixels, Placement, int], Pixels],
    images: Pixels,
    placements: list[Placement],
    side: int,
) -> float:
    """Seconds of all views."""
    started = time.perf_counter()
    for image, placement in zip(images, placements, strict=True):
        make(image, placement, side)
    return time.perf_counter() - started


def main() -> None:
    """Prints milliseconds a view and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--resized", type=int, default=278)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    shape = (arguments.images, arguments.resized, arguments.resized, 3)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    draws = rng.random((arguments.images, 5))
    cases = {
        "rotation and crop": (90.0, AugmentOptions()),
        "crop": (0.0, AugmentOptions()),
        "crop of another size": (0.0, AugmentOptions(crop_scale=0.5)),
    }
    print(f"{'milliseconds a view':24}{'fused':>8}{'torchvision':>13}{'ratio':>7}")
    for name, (degrees, augment) in cases.items():
        placements = [
            place(draw, arguments.resized, arguments.side, degrees, augment) for draw in draws
        ]
        best = [float("inf"), float("inf")]
        for _ in range(arguments.rounds):
            for number, make in enumerate((fused, by_torchvision)):
                best[number] = min(best[number], seconds(make, images, placements, arguments.side))
        own, other = (1000 * each / arguments.images for each in best)
        print(f"{name:24}{own:8.3f}{other:13.3f}{other / own:7.1f}")


if __name__ == "__main__":
    main()
