"""Images a second of reading, of encoding, and the bytes of a row: the factors of docs/scale.md.

    python benchmarks/encoding_rate.py --checkpoint best.pth --images data/rsicd_precomp/images
    python benchmarks/encoding_rate.py --checkpoint best.pth --images DIR --device cuda

Decoding and encoding are timed apart. On a CPU the processor's seconds of one thread count, which
other work on the machine changes little; on a GPU the clock's, after a warm-up and synchronised.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import galr
from galr.image_input import square_pixels
from galr.images.folder import list_images


def main() -> None:
    """Times both on up to ``--most`` images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", required=True, help="best.pth, or an exported folder")
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--most", type=int, default=256, help="images (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = galr.load(arguments.checkpoint, arguments.device)
    names = list_images(arguments.images, "name one by --images").names[: arguments.most]
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter

    started = time.process_time()
    pixels = np.stack(
        [square_pixels(arguments.images / name, model.side, name, model.scaling) for name in names]
    )
    reading = len(names) / (time.process_time() - started)
    size = sum((arguments.images / name).stat().st_size for name in names) / len(names)

    size_of_batch = arguments.batch_size
    embeddings = model.encode_pixels(pixels[:size_of_batch])  # a warm-up
    started = clock()
    for start in range(0, len(names), size_of_batch):  # each result is copied to the CPU
        model.encode_pixels(pixels[start : start + size_of_batch])
    encoding = len(names) / (clock() - started)
    unit = "processor second" if arguments.device == "cpu" else "second"
    print(
        f"{len(names)} images of {size / 1e3:.0f} kB, {model.side} pixels, D {embeddings.shape[1]}"
    )
    print(f"reading and decoding: {reading:.0f} images a processor second")
    print(f"encoding on {arguments.device}: {encoding:.1f} images a {unit}")
    print(f"vector: {4 * embeddings.shape[1]} bytes an image")


if __name__ == "__main__":
    main()
