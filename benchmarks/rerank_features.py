#!/usr/bin/env python
"""Times rerank from features, both directions, beside one product of the same features in blocks.

Nothing holds the whole matrix. Prints seconds, their ratio, and the memory at its peak beyond the
features and what Python takes without them. --extrapolate multiplies the seconds by the ratio of
the numbers of pairs, and says so.

  python benchmarks/rerank_features.py --queries 4000 --candidates 20000 --memory-mib 256
  python benchmarks/rerank_features.py --extrapolate 100000 500000
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli
from galr.common.atomic import write_json
from galr.metrics.similarities import FeatureProduct, even_blocks
from postprocessing.banks import Bank
from postprocessing.methods import METHODS, MethodSettings, rerank_by

ROWS_A_BLOCK = 512


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures, prints and writes the JSON that is asked for."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    queries, candidates = (
        normal_features(count, arguments.numbers, generator)
        for count in (arguments.queries, arguments.candidates)
    )
    options = {"k": arguments.k, "memory_mib": arguments.memory_mib}
    settings = MethodSettings(arguments.method, k=arguments.k)
    others = None
    if arguments.bank:
        others = normal_features(arguments.bank, arguments.numbers, generator)

    def rerank_one_way(asking: Tensor, asked: Tensor) -> None:
        bank = None if others is None else Bank(*2 * [FeatureProduct(others, asked)])
        rerank_by(FeatureProduct(asking, asked), settings, bank, memory_mib=arguments.memory_mib)

    rerank_one_way(queries[:50], candidates[:50])  # what is loaded once
    before = peak_mib()
    # the product first: its memory is among that of the rerank
    product = seconds(lambda: multiply_in_blocks(queries, candidates))
    rerank = seconds(lambda: rerank_one_way(queries, candidates))
    rerank += seconds(lambda: rerank_one_way(candidates, queries))
    results: dict[str, Any] = {
        "queries": arguments.queries,
        "candidates": arguments.candidates,
        "numbers": arguments.numbers,
        "threads": arguments.threads,
        "method": arguments.method,
        "bank": arguments.bank,
        **options,
        "product_seconds": product,
        "rerank_both_seconds": rerank,
        "ratio": rerank / product,
        "peak_beyond_features_mib": peak_mib() - before,
    }
    print(
        f"{arguments.queries} x {arguments.candidates} x {arguments.numbers}, "
        f"{arguments.method}, k {arguments.k}: "
        f"product {product:.1f} s, rerank both ways {rerank:.1f} s, {rerank / product:.1f} x; "
        f"{results['peak_beyond_features_mib']:.0f} MiB beyond the features"
    )
    if arguments.extrapolate:
        wanted = arguments.extrapolate[0] * arguments.extrapolate[1]
        times = wanted / (arguments.queries * arguments.candidates)
        results["extrapolated"] = {
            "to": arguments.extrapolate,
            "product_seconds": product * times,
            "rerank_both_seconds": rerank * times,
        }
        print(
            f"{arguments.extrapolate[0]} x {arguments.extrapolate[1]}, not run but {times:.0f} "
            f"times that: product {product * times / 60:.0f} min, "
            f"rerank both ways {rerank * times / 60:.0f} min"
        )
    if arguments.out:
        write_json(arguments.out, results)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The checked arguments."""
    parser = cli.ArgumentParser(__doc__ or "")
    for name, default in (
        ("queries", 4000), ("candidates", 20000), ("numbers", 512), ("k", 30),
        ("memory-mib", 256), ("threads", torch.get_num_threads()),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", type=cli.at_least_1, default=default, metavar="N",
            help="(default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--method", choices=list(METHODS), default="multivariate", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--bank", type=int, default=0, metavar="N",
        help="queries of a bank; 0: the other queries (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--extrapolate", type=cli.at_least_1, nargs=2, metavar=("Q", "C"),
        help="also say what this size would take",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="write the numbers there as JSON")
    return parser.parse_args(argv)


def normal_features(count: int, numbers: int, generator: torch.Generator) -> Tensor:
    """Random directions (count, numbers)."""
    return torch.nn.functional.normalize(torch.randn(count, numbers, generator=generator))


def multiply_in_blocks(queries: Tensor, candidates: Tensor) -> None:
    """All similarities, a block of rows at a time."""
    for rows in even_blocks(len(queries), ROWS_A_BLOCK):
        queries[rows] @ candidates.T


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_mib() -> float:
    """Most memory that this process ever held (on Linux, in KiB there)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(cli.run(main))
