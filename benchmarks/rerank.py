#!/usr/bin/env python
"""Times rerank of both directions beside a plain loop over the formula and one numpy.sort.

  python benchmarks/rerank.py                                  RSICD's test size, about a minute
  python benchmarks/rerank.py --images 500 --out rerank.json
  python benchmarks/rerank.py --scaling docs/images/rerank_scaling.png --out scaling.json

--scaling times several sizes (the loop up to --images) and draws them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import machine, side_by_side
from galr.common import cli
from galr.common.atomic import write_json
from postprocessing.rerank import Reranked, rerank

Floats = NDArray[np.floating]
SCALING_IMAGES = (50, 100, 200, 500, 1093, 2000, 4000)


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures, prints a line a size and writes JSON."""
    arguments = _parse(argv)
    torch.set_num_threads(arguments.threads)
    sizes = SCALING_IMAGES if arguments.scaling else (arguments.images,)
    measured = []
    for images in sizes:
        measured.append(_measure(images, arguments, with_loop=images <= arguments.images))
        print(_line(measured[-1]), flush=True)
    if arguments.scaling:
        _draw(measured, Path(arguments.scaling))
    if arguments.out:
        write_json(arguments.out, {"machine": machine(), "measured": measured})


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.ArgumentParser(__doc__ or "")
    for name, default in (
        ("images", 1093), ("captions-per-image", 5), ("k", 30), ("repeat", 5),
        ("threads", torch.get_num_threads()),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", type=cli.at_least_1, default=default, metavar="N",
            help="(default: %(default)s)",
        )  # fmt: skip
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--scaling", metavar="PNG", help="time several sizes and draw them")
    parser.add_argument("--out", metavar="FILE", help="write the numbers there as JSON")
    return parser.parse_args(argv)


def _measure(images: int, arguments: argparse.Namespace, with_loop: bool) -> dict[str, Any]:
    """Seconds of the sides, both directions; checks that loop and rerank agree."""
    similarity = _similarity(images, arguments.captions_per_image).astype(arguments.dtype)
    directions, k = (similarity, similarity.T), arguments.k
    by_loop: list[Floats] = []
    sides: dict[str, Callable[[], object]] = {
        "rerank": lambda: [rerank(s, k=k) for s in directions],
        "sort": lambda: np.sort(similarity, axis=1),
    }
    times = side_by_side(sides, arguments.repeat, warm_up=2)
    measured: dict[str, Any] = {"shape": list(similarity.shape), "k": k, "dtype": arguments.dtype}
    if with_loop:
        # seconds long: one call is enough
        loop = {"loop": lambda: by_loop.extend(_loop(s, k) for s in directions)}
        times |= side_by_side(loop, repeats=1, warm_up=0)
        for s, scores in zip(directions, by_loop, strict=True):
            _check(rerank(s, k=k), scores)
        for what in ("seconds", "processor_seconds"):
            measured[f"ratio_of_{what}"] = times["loop"][what] / times["rerank"][what]
    return measured | {"times": times}


def _similarity(images: int, captions_per_image: int) -> Floats:
    """Cosines of images and captions drawn around them; above 0 in the main, as a model's are."""
    random = np.random.default_rng(0)
    image = 0.5 + random.standard_normal((images, 64), dtype=np.float32)
    caption = np.repeat(image, captions_per_image, axis=0)
    caption += 2 * random.standard_normal(caption.shape, dtype=np.float32)
    for features in (image, caption):
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    similarity: Floats = image @ caption.T
    return similarity


def _loop(s: Floats, k: int) -> Floats:
    """The scores (Q, C), 0 beyond the k best, one pair after another as the formula reads."""
    by_query = np.argsort(-s, axis=1, kind="stable")
    by_candidate = np.argsort(-s, axis=0, kind="stable")
    scores = np.zeros(s.shape)
    for q in range(len(s)):
        best = by_query[q, :k]
        reverse_ranks = np.array([np.where(by_candidate[:, c] == q)[0][0] for c in best])
        places = np.argsort(np.argsort(reverse_ranks))
        for rank, c in enumerate(best):
            saliency = s[q, c] / np.sum(s[:, c], dtype=np.float64)
            reverse = np.exp(-0.05 * (places[rank] + 1))
            scores[q, c] = 0.3 * saliency + np.exp(-0.05 * (rank + 1)) + 1.1 * reverse
    return scores


def _check(found: Reranked, scores: Floats) -> None:
    chosen = np.take_along_axis(scores, np.asarray(found.candidates), axis=1)
    np.testing.assert_allclose(np.asarray(found.scores), chosen, rtol=1e-5)


def _line(measured: dict[str, Any]) -> str:
    times = measured["times"]
    fast, sort = times["rerank"], times["sort"]
    queries, candidates = measured["shape"]
    parts = [
        f"rerank {queries} x {candidates} both ways, k {measured['k']}, {measured['dtype']}:",
        f"ours {fast['seconds']:.4f} s (spread {100 * fast['spread']:.0f} %),",
        f"one numpy.sort {sort['seconds']:.4f} s",
    ]
    if "loop" in times:
        parts.append(
            f"plain loop {times['loop']['seconds']:.2f} s -> {measured['ratio_of_seconds']:.0f} x; "
            f"by processor time {measured['ratio_of_processor_seconds']:.0f} x"
        )
    return " ".join(parts)


def _draw(measured: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    for name, label in (
        ("loop", "plain loop"),
        ("rerank", "rerank"),
        ("sort", "one numpy.sort of the matrix"),
    ):
        rows = [row for row in measured if name in row["times"]]
        sizes = [row["shape"][0] * row["shape"][1] for row in rows]
        axes.loglog(sizes, [row["times"][name]["seconds"] for row in rows], marker="o", label=label)
    axes.set_xlabel("similarities (images x captions)")
    axes.set_ylabel("seconds, both directions")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(cli.run(main))
