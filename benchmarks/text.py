#!/usr/bin/env python
"""The Bayesian text encoder against a plain cell, run step by step, written from its equations.

Both have the official sizes (620 numbers a word, 2400 a sentence) and the same random weights.
Encodes the captions of a split and makes training steps, both sides in turn in one run, and
checks that they agree; then encodes in bfloat16 and with int8 weights. Prints a line each.

  python benchmarks/text.py                          RSICD's test captions; ten minutes on two cores
  python benchmarks/text.py --images 60 --repeats 1 --steps 2 --out text.json
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.plain_gru import SENTENCE_DIM, WORD_DIM, PlainBayesianGRU
from galr.common import cli
from galr.common.atomic import write_json
from galr.data.annotations import Annotations, read_annotations
from galr.data.captions import Captions, caption_loader
from galr.data.vocabulary import Vocabulary, build_vocabulary
from galr.encoders.reduced_precision import Precision, in_precision
from galr.model.skipthoughts import BayesianUniSkip, SentenceEncoder
from galr.options import DatasetOptions

DROPOUT = 0.25
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures, prints a line each and writes the JSON that is asked for."""
    arguments = parse(argv)
    annotations = read_annotations(arguments.data, arguments.split)
    annotations = annotations.select(np.arange(len(annotations.images))[: arguments.images])
    vocabulary = build_vocabulary(annotations.captions, threshold=1, stop_words=True)
    torch.manual_seed(0)
    encoder = BayesianUniSkip(len(vocabulary) - 1, WORD_DIM, SENTENCE_DIM, DROPOUT)
    nn.init.normal_(encoder.embedding.weight[1:], std=0.5)
    results = {
        "encoding": encoding(encoder, annotations, vocabulary, arguments),
        "training": training(encoder, annotations, vocabulary, arguments),
        "precision": precisions(encoder, annotations, vocabulary, arguments),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "threads": torch.get_num_threads(),
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, Python "
          f"{platform.python_version()}")  # fmt: skip
    if arguments.out:
        write_json(arguments.out, results)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The checked arguments."""
    parser = cli.ArgumentParser(__doc__ or "")
    count = cli.at_least_1
    parser.add_argument("--data", metavar="DIR", default="data/rsicd_precomp", help="data folder")
    parser.add_argument("--split", default="test", help="part whose captions are encoded")
    parser.add_argument("--images", metavar="N", type=count, default=10**9,
                        help="captions of the first N images alone (default: all)")  # fmt: skip
    parser.add_argument("--batch-size", metavar="N", type=count, default=100,
                        help="captions a training step and a plain batch (100)")  # fmt: skip
    parser.add_argument("--steps", metavar="N", type=count, default=10, help="training steps")
    parser.add_argument("--repeats", metavar="N", type=count, default=3, help="default: 3")
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON")
    return parser.parse_args(argv)


@torch.inference_mode()
def encoding(
    encoder: SentenceEncoder,
    annotations: Annotations,
    vocabulary: Vocabulary,
    arguments: argparse.Namespace,
) -> dict[str, float]:
    """All captions of the part: plain in batches as they come, ours as evaluation does."""
    options = DatasetOptions()
    captions = Captions(annotations, vocabulary, options.max_words)
    starts = range(0, len(captions.tokens), arguments.batch_size)
    batches = [range(len(captions.tokens))[i : i + arguments.batch_size] for i in starts]
    plain = PlainBayesianGRU(encoder, DROPOUT).eval()
    encoder.eval()
    for module in (plain, encoder):  # warm-up
        module(*captions.padded(batches[0][:10]))
    vectors = {}

    def step_by_step() -> None:
        vectors["plain"] = torch.cat([plain(*captions.padded(batch)) for batch in batches])

    def ours() -> None:
        vectors["ours"] = encode(encoder, annotations, vocabulary, options)

    title = f"encoding {len(captions.tokens)} captions"
    results = compared(title, step_by_step, ours, arguments.repeats)
    difference = float((vectors["plain"] - vectors["ours"]).abs().max())
    if difference > 1e-5:
        raise SystemExit(f"the vectors of the two sides differ by {difference}")
    return results | {"captions": len(captions.tokens), "largest_difference": difference}


def encode(
    encoder: nn.Module, annotations: Annotations, vocabulary: Vocabulary, options: DatasetOptions
) -> Tensor:
    """What ``evaluation.encode`` does for the sentence vectors alone: (C, SENTENCE_DIM)."""
    vectors = torch.empty(len(annotations.captions), SENTENCE_DIM)
    for batch in caption_loader(annotations, vocabulary, options):
        vectors[batch.caption_index] = encoder(batch.tokens, batch.lengths)[batch.rows].float()
    return vectors


def training(
    encoder: SentenceEncoder,
    annotations: Annotations,
    vocabulary: Vocabulary,
    arguments: argparse.Namespace,
) -> dict[str, float]:
    """Forward and backward of batches drawn at random, with dropout."""
    captions = Captions(annotations, vocabulary, DatasetOptions().max_words)
    plain = PlainBayesianGRU(encoder, DROPOUT).train()
    encoder.train()
    order = torch.randperm(len(captions.tokens), generator=torch.Generator().manual_seed(0))
    size = min(arguments.batch_size, len(order))
    batches = [
        captions.padded(order.roll(-i * size)[:size].tolist()) for i in range(arguments.steps)
    ]

    def steps(module: nn.Module) -> None:
        for tokens, lengths in batches:
            module.zero_grad(set_to_none=True)
            module(tokens, lengths).square().sum().backward()

    difference = gradient_difference(encoder, plain, *captions.padded(order[:10].tolist()))
    if difference > 1e-4:
        raise SystemExit(f"the gradients of the two sides differ by {difference}")
    title = f"{len(batches)} training steps of {size} captions"
    results = compared(title, lambda: steps(plain), lambda: steps(encoder), arguments.repeats)
    return results | {
        "steps": len(batches),
        "batch_size": size,
        "largest_relative_gradient_difference": difference,
    }


def gradient_difference(
    encoder: SentenceEncoder, plain: PlainBayesianGRU, tokens: Tensor, lengths: Tensor
) -> float:
    """Of the recurrent weights, with dropout 0, relative to the largest gradient."""
    dropout, encoder.dropout, plain.dropout = encoder.dropout, 1e-9, 0.0  # our training's own path
    for module in (encoder, plain):
        module.zero_grad(set_to_none=True)
        module(tokens, lengths).square().sum().backward()
    encoder.dropout = plain.dropout = dropout
    ours, theirs = (
        torch.cat([weight.grad for name, weight in module.named_parameters()
                   if "recurrent" in name and weight.grad is not None])
        for module in (encoder, plain)
    )  # fmt: skip
    return float((ours - theirs).abs().max() / theirs.abs().max())


@torch.inference_mode()
def precisions(
    encoder: SentenceEncoder,
    annotations: Annotations,
    vocabulary: Vocabulary,
    arguments: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    """Time of encoding and cosine with the float32 vectors, by precision."""
    options = DatasetOptions()
    vectors: dict[str, Tensor] = {}
    results: dict[str, dict[str, float]] = {}
    for precision in PRECISIONS:
        small = in_precision(encoder, precision)
        seconds = []
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            vectors[precision] = encode(small, annotations, vocabulary, options)
            seconds.append(time.perf_counter() - start)
        cosine = torch.cosine_similarity(vectors["float32"], vectors[precision])
        results[precision] = {
            "seconds": statistics.median(seconds),
            "cosine_mean": float(cosine.mean()),
            "cosine_min": float(cosine.min()),
        }
        print(
            f"{precision}: {statistics.median(seconds):.2f} s, cosine with float32 "
            f"{cosine.mean():.6f} on average, {cosine.min():.6f} at least",
            flush=True,
        )
    return results


def compared(
    title: str, plain: Callable[[], None], ours: Callable[[], None], repeats: int
) -> dict[str, float]:
    """Times both in turn, by the clock and by the processor; prints medians, spread and ratio.

    On a machine that others use too, the processor's seconds tell more than the clock's.
    """
    clock: list[list[float]] = [[], []]
    processor: list[list[float]] = [[], []]
    for _ in range(repeats):
        for side, call in enumerate((plain, ours)):
            start, start_processor = time.perf_counter(), time.process_time()
            call()
            clock[side].append(time.perf_counter() - start)
            processor[side].append(time.process_time() - start_processor)
    slow, fast = (statistics.median(times) for times in clock)
    slow_cpu, fast_cpu = (statistics.median(times) for times in processor)
    spread = max((max(times) - min(times)) / statistics.median(times) for times in clock)
    print(
        f"{title}: plain {slow:.2f} s, ours {fast:.2f} s, {slow / fast:.1f} x "
        f"(median of {repeats}, spread {spread:.0%}); "
        f"processor {slow_cpu:.2f} s, {fast_cpu:.2f} s, {slow_cpu / fast_cpu:.1f} x",
        flush=True,
    )
    return {
        "plain_s": slow,
        "ours_s": fast,
        "ratio": slow / fast,
        "plain_processor_s": slow_cpu,
        "ours_processor_s": fast_cpu,
        "ratio_processor": slow_cpu / fast_cpu,
        "repeats": repeats,
        "spread": spread,
    }


if __name__ == "__main__":
    sys.exit(cli.run(main))
