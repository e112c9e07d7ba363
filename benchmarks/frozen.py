#!/usr/bin/env python
"""An epoch of training with the backbone frozen: on images, and on cached features of them.

Both sides in turn in one run, with the same captions in the same order. That of images is as fast
as it gets: they come from the image cache, and the frozen backbone keeps nothing for gradients. The
time to compute the features, once, is given beside.

  python benchmarks/frozen.py --data_path data/rsicd_mini_precomp
  python benchmarks/frozen.py --data_path data/rsicd_mini_precomp --set dataset.image_size=64
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from galr.data.feature_cache import CachedFeatures
from galr.data.loaders import training_loader
from galr.data.part import Part, Split, read_split
from galr.data.vocabulary import Vocabulary, build_vocabulary
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import Options, load_options
from galr.training.backbone import set_trainable, with_cached_features
from galr.training.loss import Criterion
from galr.training.step import TrainingStep

SETTINGS = (
    "model.backbone.weights=null", "model.backbone.train=none", "model.backbone.batch_norm=frozen",
    "model.seq2vec.type=BiGRU", "model.seq2vec.pretrained=false", "model.seq2vec.word_dim=300",
    "model.seq2vec.hidden_dim=512", "dataset.local_path=zeros", "dataset.image_size=128",
    "dataset.resize_size=144", "dataset.batch_size=32", "dataset.workers=0",
)  # fmt: skip


def one_epoch(
    options: Options, part: Part, vocabulary: Vocabulary, model: RetrievalModel
) -> Callable[[], float]:
    """Trains on ``part`` for an epoch, the same each time; returns its loss."""
    step = TrainingStep(model, Criterion(options.optim), options.optim)
    images = part.images
    loader = training_loader(
        part.annotations, vocabulary, images, part.local, options.dataset, seed=0
    )

    def epoch() -> float:
        set_trainable(model, options.model.backbone, 0.0)
        losses = [step.step(batch, options.optim.lr, number) for number, batch in enumerate(loader)]
        return float(torch.stack(losses).sum())

    return epoch


def cached(options: Options, split: Split, model: RetrievalModel) -> tuple[Part, float, int]:
    """The whole split with features in place of images, seconds to make these, and their bytes."""
    assert isinstance(model.image_encoder, ImageEncoder)
    part, start = Part(split.annotations, split.files(), split.local), time.perf_counter()
    part = with_cached_features(part, model.image_encoder, options.dataset)
    seconds = time.perf_counter() - start
    assert isinstance(part.images, CachedFeatures)
    return part, seconds, part.images.array.nbytes


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures and prints a line for each side."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--data_path", metavar="FOLDER", required=True, help="with images/")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=cli.at_least_1, default=3, help="default: %(default)s")
    parser.add_argument("--out", metavar="FILE", help="also write the results as JSON")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        options = load_options(
            "options/RSITMD_GaLR.yaml",
            [
                *SETTINGS,
                f"dataset.data_path={arguments.data_path}",
                f"dataset.image_cache={folder}",
                *arguments.overrides,
            ],
        )
        split = read_split(options, "train")
        vocabulary = build_vocabulary(split.annotations.captions, threshold=1)
        models = []
        for _ in range(2):
            torch.manual_seed(0)
            models.append(build_model(options, vocabulary.words))
        images = split.at(options.dataset.resize_size)
        features, seconds, size = cached(options, split, models[1])
        sides = {
            "images": one_epoch(options, images, vocabulary, models[0]),
            "features": one_epoch(options, features, vocabulary, models[1]),
        }
        times = side_by_side(sides, arguments.repeats)
    print(
        f"{len(images.images)} images of {options.dataset.image_size} pixels, "
        f"{len(split.annotations.captions)} captions, an epoch of {options.dataset.sampling}"
    )
    for name, found in times.items():
        ratio = times["images"]["processor_seconds"] / found["processor_seconds"]
        print(
            f"{name:8} {found['seconds']:7.2f} s an epoch (spread {found['spread']:.0%}), "
            f"processor {found['processor_seconds']:7.2f} s: {ratio:.1f} times"
        )
    print(f"once: {size / 1e6:.0f} MB of features, computed in {seconds:.2f} s")
    if arguments.out:
        once = {"seconds": seconds, "bytes": size}
        write_json(arguments.out, {"times": times, "features": once, "machine": machine()})


if __name__ == "__main__":
    sys.exit(cli.run(main))
