#!/usr/bin/env python
"""Times search among a million embeddings: exact, and by the approximate kinds.

Makes an archive of vectors for each kind, in a process of its own, and asks it for the 10 nearest
of one vector and of 100 at once. Prints recall (against exact search), seconds, memory and size.

random     directions without any order: the worst case, since the 10 nearest are hardly nearer
           than the next thousand. Embeddings of images are never like that.
clustered  around 1,000 centres and of 32 numbers each, turned into 512 with a little noise.

  python benchmarks/search.py --vectors 100000
  python benchmarks/search.py --kinds flat ivfpq --data clustered
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli
from galr.common.atomic import write_json
from galr.common.errors import UserError
from galr.search.storage import (
    Floats,
    ImageFile,
    Kind,
    Manifest,
    read_rows,
    write_manifest,
    write_rows,
)

KINDS = ("flat", "hnsw", "ivfpq")
DATA = ("random", "clustered")
ROWS = 1 << 16
QUERIES, BATCH, K = 200, 100, 10
KEPT = ("RssAnon", "RssFile")  # memory of its own, and what it sees of mapped files
CENTRES, LATENT, SPREAD, NOISE = 1000, 32, 0.5, 0.02


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures, prints and writes the JSON that is asked for."""
    arguments = parse(argv)
    if arguments.child:
        child, folder, kind = arguments.child
        {"build": build, "ask": ask}[child](Path(folder), kind)
        return
    results = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for data in arguments.data:
            results += measure(Path(folder) / data, data, arguments)
    if arguments.out:
        write_json(arguments.out, results)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The checked arguments."""
    parser = cli.ArgumentParser(__doc__ or "")
    for name, default, text in (
        ("vectors", 1_000_000, "in the archive"),
        ("numbers", 512, "a vector"),
        ("threads", os.cpu_count() or 1, "of every process"),
    ):
        parser.add_argument(
            f"--{name}", type=cli.at_least_1, default=default, metavar="N",
            help=f"{text} (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="default: all")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA, help="default: both")
    parser.add_argument(
        "--minutes", type=float, default=30.0, metavar="M",
        help="the most that building one index may take; it is left out then (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--folder", metavar="DIR", help="for the archives: 2 KB a vector and kind")
    parser.add_argument("--out", metavar="FILE", help="write the numbers there as JSON")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def measure(folder: Path, data: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Each kind's figures for one sort of vectors; exact search is always asked, as the truth."""
    folder.mkdir()
    blocks = vectors(data, arguments.vectors + QUERIES, arguments.numbers)
    queries, blocks = first_rows(blocks, QUERIES)
    np.save(folder / "queries.npy", queries)
    files = [ImageFile(f"images/{i:08d}.jpg", i, i) for i in range(arguments.vectors)]
    write_rows(folder / "images-0.h5", files, blocks, arguments.numbers)
    del files
    found: list[dict[str, Any]] = []
    truth: Any = None
    print(HEADING)
    for kind in ("flat", *(kind for kind in arguments.kinds if kind != "flat")):
        row: dict[str, Any] = {"data": data, "vectors": arguments.vectors, "kind": kind}
        try:
            row |= run("build", folder, kind, arguments.threads, arguments.minutes * 60)
        except subprocess.TimeoutExpired:
            print(f"{data:<10}{kind:<6} not built within {arguments.minutes:g} minutes")
            continue
        row |= run("ask", folder, kind, arguments.threads, None)
        rows = np.load(folder / f"{kind}.npy")
        truth = rows if truth is None else truth
        row["recall"] = float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, rows)]))  # noqa: B905
        found.append(row)
        print(LINE.format(**row), flush=True)
    return found


HEADING = (
    "data      kind    recall@10  build, s  peak, MB  file, MB  open, s  one, ms  100, ms"
    "  own, MB  mapped, MB"
)
LINE = (
    "{data:<10}{kind:<6}{recall:>11.3f}{build_seconds:>10.0f}{build_peak_mb:>10.0f}{file_mb:>10.0f}"
    "{open_seconds:>9.2f}{one_ms:>9.1f}{batch_ms:>9.0f}{own_mb:>9.0f}{mapped_mb:>12.0f}"
)


def vectors(data: str, count: int, numbers: int) -> Iterator[Floats]:
    """Blocks of vectors of length 1, the same in every run."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CENTRES, LATENT), dtype=np.float32)
    turn = rng.standard_normal((LATENT, numbers), dtype=np.float32) / np.float32(LATENT**0.5)
    for start in range(0, count, ROWS):
        rows = min(ROWS, count - start)
        if data == "random":
            block = rng.standard_normal((rows, numbers), dtype=np.float32)
        else:
            latent = centres[rng.integers(0, CENTRES, rows)]
            latent = latent + SPREAD * rng.standard_normal((rows, LATENT), dtype=np.float32)
            block = latent @ turn
            block += NOISE * rng.standard_normal((rows, numbers), dtype=np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        yield block


def first_rows(blocks: Iterator[Floats], rows: int) -> tuple[Floats, Iterator[Floats]]:
    """The first rows, and what remains."""
    first = next(blocks)

    def rest() -> Iterator[Floats]:
        yield first[rows:]
        yield from blocks

    return first[:rows], rest()


def run(child: str, folder: Path, kind: str, threads: int, limit: float | None) -> dict[str, Any]:
    """The figures that a process of its own prints; memory is of that process alone."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", child, str(folder), kind],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE, text=True, timeout=limit, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{child} {kind}", "did not end well", "see the message above")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def build(folder: Path, kind: Kind) -> None:
    """Prints what making the index of a kind took; a flat archive has none."""
    name = None
    before, start = memory_mb("VmRSS")[0], time.perf_counter()
    if kind != "flat":
        from galr.search.approximate import write_index

        name = f"{kind}-0.faiss"
        write_index(folder / name, kind, read_rows(folder / "images-0.h5").embeddings)
    seconds = time.perf_counter() - start
    manifest = Manifest(
        folder=str(folder), checkpoint="", local=None, kind=kind, images="images-0.h5",
        approximate=name,
    )  # fmt: skip
    write_manifest(folder, manifest)
    size = os.path.getsize(folder / (name or "images-0.h5"))
    peak = memory_mb("VmHWM")[0] - before
    print(json.dumps({"build_seconds": seconds, "build_peak_mb": peak, "file_mb": size / 1e6}))


def ask(folder: Path, kind: Kind) -> None:
    """Prints what opening and asking the archive took, and writes what it found."""
    from galr.search import Archive

    queries = np.load(folder / "queries.npy")
    before = memory_mb(*KEPT)
    opening = time.perf_counter()
    archive = Archive.open(folder)
    opening = time.perf_counter() - opening
    archive.nearest(queries, K)  # what comes from the disk once
    ones = [milliseconds(archive.nearest, queries[i : i + 1]) for i in range(50)]
    batches = [milliseconds(archive.nearest, queries[:BATCH]) for _ in range(3)]
    own, mapped = (now - then for now, then in zip(memory_mb(*KEPT), before, strict=True))
    # one at a time: what a batch found is cut to the query that found the fewest
    found = [archive.nearest(queries[i : i + 1], K).rows[0] for i in range(QUERIES)]
    rows = np.full((QUERIES, K), -1)
    for place, one in zip(rows, found, strict=True):
        place[: len(one)] = one
    np.save(folder / f"{kind}.npy", rows)
    figures = {
        "peak_mb": memory_mb("VmHWM")[0] - sum(before),
        "open_seconds": opening, "one_ms": statistics.median(ones),
        "batch_ms": statistics.median(batches), "own_mb": own, "mapped_mb": mapped,
    }  # fmt: skip
    print(json.dumps(figures))


def milliseconds(function: Callable[[Floats, int], object], queries: Floats) -> float:
    """Of one call for the K nearest."""
    start = time.perf_counter()
    function(queries, K)
    return (time.perf_counter() - start) * 1e3


def memory_mb(*fields: str) -> tuple[float, ...]:
    """Fields of what Linux says about the memory of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return tuple(int(values[field].split()[0]) / 1024 for field in fields)


if __name__ == "__main__":
    sys.exit(cli.run(main))
