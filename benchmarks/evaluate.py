#!/usr/bin/env python
"""The evaluation of a test part against a plain one by pairs of blocks, in turn in one run.

Plain: similarities block by block, a batch of images by a batch of captions, both encoded anew for
each block, as the released code does. Ours: every image and every distinct caption once, one
product, vectorised ranks; measured whole, from images in the cache to the table's numbers. The
plain side is measured on a few blocks and multiplied by their number, which is exact but for the
smaller blocks at the edges.

  python benchmarks/evaluate.py --data_path data/rsicd_precomp
  python benchmarks/evaluate.py --data_path DIR --noise --set dataset.image_size=128 --out e.json

--noise makes images of noise where a data folder has none: the time does not depend on what they
show. The network is that of options/RSITMD_GaLR.yaml with random weights.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from galr.data.annotations import read_annotations
from galr.data.captions import Captions
from galr.data.image_cache import open_images
from galr.data.part import Part
from galr.data.transforms import normalise
from galr.data.vocabulary import build_vocabulary
from galr.evaluation.encode import encode_similarity
from galr.local_features.store import LocalFeatures
from galr.metrics.retrieval import retrieval_metrics
from galr.model.build import build_model
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, load_options

RANDOM = ["model.backbone.weights=null", "model.seq2vec.pretrained=false"]


class NoiseImages:
    """Images that are made when asked for."""

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        generator = np.random.default_rng(index)
        return generator.integers(0, 256, (self.side, self.side, 3), dtype=np.uint8)

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> NoiseImages:
        """So many images."""
        return NoiseImages(len(indices), self.side)


@torch.inference_mode()
def plain_block(model: RetrievalModel, part: Part, captions: Captions, options: Options) -> Tensor:
    """One block of the plain evaluation: both batches encoded for their similarities."""
    size = options.dataset.batch_size_val
    assert part.local is not None
    images = torch.from_numpy(np.stack([part.images[index] for index in range(size)]))
    visual = model.encode_image(
        normalise(images.permute(0, 3, 1, 2).contiguous()),
        torch.from_numpy(part.local.representation[:size]),
        torch.from_numpy(part.local.adjacency[:size]),
    )
    return visual @ model.encode_text(*captions.padded(range(size))).T


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures and prints the times and their ratio."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--data_path", default="data/rsicd_precomp", metavar="DIR")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--noise", action="store_true", help="images of noise")
    parser.add_argument("--repeats", type=cli.at_least_1, default=3, help="default: %(default)s")
    parser.add_argument("--out", metavar="FILE", help="also write the results as JSON")
    arguments = parser.parse_args(argv)
    options = load_options(
        "options/RSITMD_GaLR.yaml",
        [*RANDOM, f"dataset.data_path={arguments.data_path}", *arguments.overrides],
    )
    report = measure(options, arguments)
    print(
        f"{report['images']} images, {report['captions']} captions, "
        f"{report['blocks']} blocks of the plain evaluation\n"
        f"plain: {report['plain_seconds']:.0f} s (scaled from one block), ours: "
        f"{report['seconds']:.1f} s, {report['ratio']:.0f} times as fast\n"
        f"by processor time: {report['ratio_of_processor_time']:.0f} times"
    )
    if arguments.out:
        write_json(arguments.out, report)


def measure(options: Options, arguments: argparse.Namespace) -> dict[str, object]:
    """Both times on the test part of ``options``, and what they were measured on."""
    dataset = options.dataset
    annotations = read_annotations(dataset.data_path, "test")
    vocabulary = build_vocabulary(annotations.captions)
    count, drea = len(annotations.images), dataset.drea
    generator = np.random.default_rng(0)
    part = Part(
        annotations,
        NoiseImages(count, dataset.image_size)
        if arguments.noise
        else open_images(dataset, annotations, side=dataset.image_size),
        LocalFeatures(
            generator.random((count, drea.objects, drea.features), dtype=np.float32),
            generator.random((count, drea.objects, drea.objects), dtype=np.float32),
        ),
    )
    torch.manual_seed(0)
    model = build_model(options, vocabulary.words).eval()
    captions = Captions(annotations, vocabulary, dataset.max_words)

    def ours() -> dict[str, float]:
        similarity = encode_similarity(model, part, vocabulary, dataset)
        return retrieval_metrics(similarity, annotations.caption_to_image)

    times = side_by_side(
        {"plain block": lambda: plain_block(model, part, captions, options), "ours": ours},
        arguments.repeats,
        warm_up=0 if arguments.repeats == 1 else 1,
    )
    size = dataset.batch_size_val
    blocks = math.ceil(count / size) * math.ceil(len(annotations.captions) / size)
    block, whole = times["plain block"], times["ours"]
    return {
        "images": count,
        "captions": len(annotations.captions),
        "blocks": blocks,
        "plain_seconds": block["seconds"] * blocks,
        "seconds": whole["seconds"],
        "ratio": block["seconds"] * blocks / whole["seconds"],
        "ratio_of_processor_time": block["processor_seconds"] * blocks / whole["processor_seconds"],
        "times": times,
        "machine": machine(),
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
