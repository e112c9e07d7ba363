#!/usr/bin/env python
"""The training step against a plain one, in turn in one run, and against the machine's arithmetic.

Plain: the same network and loss, with the text encoder as a cell in a loop over time (that of
benchmarks/text.py), images as floats in NCHW memory, and an optimiser that goes from tensor to
tensor. Ours: the package's step, in float32 and in bfloat16, and with --compiled in float32 with
optim.compile as well. The last lines are the arithmetic of
the step per second over that of a large product of matrices on the same machine.

  python benchmarks/step.py
  python benchmarks/step.py --set dataset.image_size=128 --set dataset.batch_size=32 --out step.json
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.plain_gru import PlainBayesianGRU
from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from galr.data.batches import Batch
from galr.data.transforms import normalise
from galr.model.build import build_model
from galr.model.mvsa import ImageEncoder
from galr.model.skipthoughts import SentenceEncoder
from galr.options import Options, load_options
from galr.training.backbone import compile_backbone, set_trainable
from galr.training.loss import Criterion, triplet_loss
from galr.training.step import TrainingStep

RANDOM = ["model.backbone.weights=null", "model.seq2vec.pretrained=false"]
WORDS = (*(f"word{number}" for number in range(1300)), "<unk>")


def make_batch(options: Options) -> Batch:
    """A batch with captions of 5 to 20 tokens, as RSITMD's are."""
    dataset, generator = options.dataset, torch.Generator().manual_seed(0)
    size, side, drea = dataset.batch_size, dataset.image_size, dataset.drea
    lengths = torch.randint(5, 21, (size,), generator=generator)
    tokens = torch.randint(1, len(WORDS) + 1, (size, 20), generator=generator)
    pixels = torch.randint(0, 256, (size, side, side, 3), generator=generator)
    return Batch(
        pixels.to(torch.uint8).permute(0, 3, 1, 2),
        torch.rand(size, drea.objects, drea.features, generator=generator),
        torch.rand(size, drea.objects, drea.objects, generator=generator),
        tokens * (torch.arange(20) < lengths[:, None]),
        lengths,
        torch.arange(size),
        torch.arange(size),
    )


def our_step(options: Options, batch: Batch) -> Callable[[], Tensor]:
    """The package's step."""
    torch.manual_seed(0)
    model, criterion = build_model(options, WORDS), Criterion(options.optim)
    step = TrainingStep(model, criterion, options.optim)
    set_trainable(model, options.model.backbone, 1.0)
    if options.optim.compile:
        assert isinstance(model.image_encoder, ImageEncoder)
        compile_backbone(model.image_encoder)
    return lambda: step.step(batch, options.optim.lr, 0)


def plain_step(options: Options, batch: Batch) -> Callable[[], Tensor]:
    """The same arithmetic as most code writes it."""
    torch.manual_seed(0)
    model = build_model(options, WORDS).train()
    sentences = model.text_encoder.sentence_encoder
    assert isinstance(sentences, SentenceEncoder)
    # of the sizes in benchmarks/text.py, which are the official ones
    encoder = PlainBayesianGRU(sentences, options.model.seq2vec.dropout)
    projection = model.text_encoder.projection
    del model.text_encoder
    weights = [
        weight
        for module in (model, encoder, projection)
        for weight in module.parameters()
        if weight.requires_grad
    ]
    optimizer = torch.optim.Adam(weights, lr=options.optim.lr, foreach=False)

    def step() -> Tensor:
        images = normalise(batch.images.contiguous())
        visual = model.encode_image(images, batch.representation, batch.adjacency)
        text = torch.relu(projection(encoder(batch.tokens, batch.lengths)))
        loss = triplet_loss(visual @ nn.functional.normalize(text).T, options.optim.margin)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss

    return step


def product_rate(kind: torch.dtype, size: int = 2048) -> float:
    """GFLOP/s of a product of two matrices, the best of five."""
    left, right = torch.randn(2, size, size).to(kind).unbind(0)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e9


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures and prints a line for each side."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--repeats", type=cli.at_least_1, default=3, help="default: %(default)s")
    parser.add_argument("--compiled", action="store_true", help="also measure optim.compile")
    parser.add_argument("--out", metavar="FILE", help="also write the results as JSON")
    arguments = parser.parse_args(argv)
    overrides = [*RANDOM, "dataset.local_path=none.h5", *arguments.overrides]
    options = load_options("options/RSITMD_GaLR.yaml", overrides)
    mixed = load_options("options/RSITMD_GaLR.yaml", [*overrides, "optim.amp=bf16"])
    batch = make_batch(options)
    steps = {
        "plain": plain_step(options, batch),
        "float32": our_step(options, batch),
        "bfloat16": our_step(mixed, batch),
    }
    if arguments.compiled:
        compiled = load_options("options/RSITMD_GaLR.yaml", [*overrides, "optim.compile=true"])
        steps["compiled"] = our_step(compiled, batch)
    counter = FlopCounterMode(display=False)
    with counter:
        steps["float32"]()
    operations = counter.get_total_flops() / 1e9
    times = side_by_side(steps, arguments.repeats)
    products = {"float32": product_rate(torch.float32), "bfloat16": product_rate(torch.bfloat16)}
    print(f"{len(batch.tokens)} pairs, images of {options.dataset.image_size} pixels")
    for name, found in times.items():
        ratio = times["plain"]["seconds"] / found["seconds"]
        print(
            f"{name:9} {found['seconds']:7.2f} s a step, {ratio:.2f} times the plain one, "
            f"processor {found['processor_seconds']:.2f} s"
        )
    for name, product in products.items():
        rate = operations / times[name]["seconds"]
        print(f"{name:9} {rate:7.0f} GFLOP/s of {product:.0f} of a product: {rate / product:.0%}")
    if arguments.out:
        content = {
            "times": times, "gigaflop": operations, "products": products, "machine": machine(),
        }  # fmt: skip
        write_json(arguments.out, content)


if __name__ == "__main__":
    sys.exit(cli.run(main))
