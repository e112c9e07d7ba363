#!/usr/bin/env python
"""The training loader against a plain pipeline with Pillow, in turn in one run.

Plain: for each caption its image is decoded, resized to 278 x 278, rotated, cropped to 256 x 256
and normalised to floats, item by item. Ours: the package's loader (decoded images in the cache,
torchvision's rotation and crop, bytes to the end), then its normalisation of the batch. Both give
the same number of batches of float images, with the same number of worker processes, which live
on from one epoch to the next, and one thread a process.

  python benchmarks/loader.py --path_opt options/RSICD_GaLR.yaml
  python benchmarks/loader.py --data_path DIR --images 200 --workers 0 2 --out loader.json

Prints images/s and their ratio for each number of workers; before, what the cache took to build.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from galr.data.annotations import Annotations, read_annotations
from galr.data.image_cache import open_images
from galr.data.loaders import training_loader
from galr.data.transforms import IMAGENET_MEAN, IMAGENET_STD, normalise
from galr.data.vocabulary import build_vocabulary
from galr.options import DatasetOptions, load_options


class PlainPairs(Dataset[tuple[Tensor, int]]):
    """An image of a caption, made as most training code makes it."""

    def __init__(self, annotations: Annotations, options: DatasetOptions) -> None:
        folder = options.image_folder
        self.paths = [folder / annotations.images[i] for i in annotations.caption_to_image]
        self.resized, self.side = options.resize_size, options.image_size
        self.degrees = options.rotation_degrees
        self.mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
        self.std = torch.tensor(IMAGENET_STD).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        image = image.resize((self.resized, self.resized), Image.Resampling.BILINEAR)
        image = image.rotate(float(torch.rand(())) * self.degrees)
        left, top = torch.randint(self.resized - self.side + 1, (2,)).tolist()
        image = image.crop((left, top, left + self.side, top + self.side))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.float().div(255).sub(self.mean).div(self.std), index


def main(argv: Sequence[str] | None = None) -> None:
    """Parses the arguments, measures, prints a line for each number of workers."""
    arguments = _arguments(argv)
    options = load_options(arguments.path_opt, arguments.overrides).dataset
    if arguments.data_path:
        options = options.model_copy(update={"data_path": arguments.data_path, "image_path": None})
    torch.set_num_threads(1)
    folder = options.image_folder
    annotations = read_annotations(options.data_path, "train", folder)
    annotations = annotations.select(np.arange(min(arguments.images, len(annotations.images))))
    with tempfile.TemporaryDirectory() as cache:
        options = options.model_copy(update={"image_cache": cache})
        start = time.perf_counter()
        open_images(options, annotations, options.resize_size)
        built = time.perf_counter() - start
        images, pairs = len(annotations.images), len(annotations.captions)
        print(f"cache: {images} images in {built:.2f} s, {images / built:.0f} images/s")
        results = [
            measure(annotations, options.model_copy(update={"workers": workers}), arguments.repeats)
            for workers in arguments.workers
        ]
    if arguments.out:
        write_json(
            arguments.out,
            {
                "machine": machine(),
                "images": images,
                "pairs": pairs,
                "repeats": arguments.repeats,
                "cache_build_s": built,
                "results": results,
            },
        )


def measure(
    annotations: Annotations, options: DatasetOptions, repeats: int
) -> dict[str, float | int]:
    """Images/s of both sides with ``options.workers`` worker processes; prints a line."""
    vocabulary = build_vocabulary(annotations.captions)
    images = open_images(options, annotations, options.resize_size)
    pairs = len(annotations.captions)

    plain_loader = DataLoader(
        PlainPairs(annotations, options),
        options.batch_size,
        shuffle=True,
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
    )
    loader = training_loader(annotations, vocabulary, images, None, options, seed=0)

    def plain() -> None:
        _consume(batch for batch, _ in plain_loader)

    def ours() -> None:
        _consume(normalise(batch.images) for batch in loader)

    times = side_by_side({"plain": plain, "ours": ours}, repeats)
    speed = {name: pairs / side["seconds"] for name, side in times.items()}
    ratio = speed["ours"] / speed["plain"]
    spread = max(side["spread"] for side in times.values())
    result = {
        "workers": options.workers,
        "plain_images_per_s": speed["plain"],
        "ours_images_per_s": speed["ours"],
        "ratio": ratio,
        "spread": spread,
    }
    line = (
        f"loader {pairs} pairs, {options.workers} workers: plain {speed['plain']:.0f} images/s, "
        f"ours {speed['ours']:.0f} images/s, {ratio:.1f} x (median of {repeats}, "
        f"spread {spread:.0%})"
    )
    if options.workers == 0:  # what living workers have used is not known
        slow, fast = (times[name]["processor_seconds"] for name in ("plain", "ours"))
        result["processor_ratio"] = slow / fast
        line += (
            f"; processor {1000 * slow / pairs:.2f} ms and {1000 * fast / pairs:.2f} ms an image, "
            f"{slow / fast:.1f} x"
        )
    print(line, flush=True)
    return result


def _consume(batches: Iterable[Tensor]) -> None:
    """Looks at each batch once, so that nothing is left undone."""
    for batch in batches:
        assert batch.dtype == torch.float32
        batch[0, 0, 0, 0].item()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.ArgumentParser(__doc__ or "")
    cli.add_options_arguments(parser)
    parser.add_argument("--data_path", help="a data folder, in place of that of the options")
    parser.add_argument("--images", type=cli.at_least_1, default=200, help="default: 200")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 2], help="worker processes (default: 0 2)"
    )
    parser.add_argument("--repeats", type=cli.at_least_1, default=5, help="default: 5")
    parser.add_argument("--out", metavar="FILE", help="also write the numbers to a JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(cli.run(main))
