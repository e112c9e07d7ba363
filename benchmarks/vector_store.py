#!/usr/bin/env python
"""Searches a million embeddings with the vector stores that galr.search could be built on.

Each engine runs in a process of its own: it writes the vectors with two columns (a class that 1 in
100 rows has, a month), builds its index, and answers 100 queries: alone, 100 at once from as many
threads (exact search: in one call), and under a condition that admits 1 % of the rows. Prints
recall@10 against numpy, seconds, megabytes on disk and of memory.

  python benchmarks/vector_store.py
  python benchmarks/vector_store.py --vectors 100000 --engines numpy lance-flat lance-ivfpq

clustered  (default) around 1,000 centres and of 32 numbers each, turned into 512 with a little
           noise, as embeddings of images are
random     directions without any order: the worst case of approximate search

Besides requirements.txt it needs faiss-cpu for faiss-*, and pymilvus and milvus-lite for milvus-*.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli
from galr.common.atomic import write_json

Floats = NDArray[np.float32]
Search = Callable[[Floats, bool], Sequence[int]]  # one query, whether filtered -> rows
Together = Callable[[Floats], object]  # queries (Q, D) in one call, for exact search

ROWS, QUERIES, K, CLASSES, CLASS = 1 << 16, 100, 10, 100, 7
CENTRES, LATENT, SPREAD, NOISE = 1000, 32, 0.5, 0.02
ENGINES = (
    "numpy", "faiss-flat", "faiss-ivfpq", "lance-flat", "lance-ivfpq", "lance-hnsw",
    "milvus-flat", "milvus-ivf", "faiss-hnsw", "milvus-hnsw",
)  # fmt: skip
COLUMNS = ("build_s", "build_mb", "disk_mb", "open_s", "one_ms", "hundred_ms", "filter_ms",
           "recall", "filter_recall", "ask_mb")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv``, measures, prints and writes the JSON that is asked for."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--vectors", type=cli.at_least_1, default=1_000_000, metavar="N")
    parser.add_argument("--numbers", type=cli.at_least_1, default=512, metavar="N")
    parser.add_argument("--data", choices=("clustered", "random"), default="clustered")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, metavar="NAME")
    parser.add_argument(
        "--minutes", type=float, default=15.0, metavar="M",
        help="the most that one engine may take to build; it is left out then (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--folder", metavar="DIR", help="for the files: 2 KB a vector and engine")
    parser.add_argument("--out", metavar="FILE", help="write the numbers there as JSON")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        step, engine, folder = arguments.child
        {"build": build, "ask": ask}[step](engine, Path(folder))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        results = measure(Path(folder), arguments)
    if arguments.out:
        write_json(arguments.out, results)


def measure(folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of figures an engine."""
    write_vectors(folder, arguments.data, arguments.vectors, arguments.numbers)
    write_truth(folder)
    print(f"{'engine':<12}" + "".join(f"{name:>14}" for name in COLUMNS), flush=True)
    results = []
    for engine in arguments.engines:
        figures: dict[str, Any] = {"engine": engine}
        for step, limit in (("build", arguments.minutes * 60), ("ask", 600)):
            try:
                done = subprocess.run(
                    [sys.executable, __file__, "--child", step, engine, str(folder)],
                    stdout=subprocess.PIPE, text=True, timeout=limit, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                print(f"{engine:<12}{step}: not within {limit / 60:g} minutes", flush=True)
                break
            if done.returncode:
                print(f"{engine:<12}{step} failed", flush=True)
                break
            figures |= json.loads(done.stdout.splitlines()[-1])
        else:
            print(f"{engine:<12}" + "".join(f"{figures[name]:>14.3f}" for name in COLUMNS),
                  flush=True)  # fmt: skip
            results.append(figures)
        shutil.rmtree(folder / engine, ignore_errors=True)
    return results


def blocks(data: str, count: int, numbers: int) -> Iterator[Floats]:
    """Vectors of length 1, the same in every run."""
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


def write_vectors(folder: Path, data: str, count: int, numbers: int) -> None:
    """vectors.npy, queries.npy (drawn like the vectors), classes.npy and months.npy."""
    shape = (count, numbers)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, shape)
    place = -QUERIES
    for block in blocks(data, count + QUERIES, numbers):
        if place < 0:
            np.save(folder / "queries.npy", block[:QUERIES])
            place, block = 0, block[QUERIES:]
        vectors[place : place + len(block)] = block
        place += len(block)
    rng = np.random.default_rng(1)
    np.save(folder / "classes.npy", rng.integers(0, CLASSES, count).astype(np.int32))
    np.save(folder / "months.npy", rng.integers(1, 13, count).astype(np.int32))


def write_truth(folder: Path) -> None:
    """The K nearest of each query, among all rows and among those of the class."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, classes = np.load(folder / "queries.npy"), np.load(folder / "classes.npy")
    scores = np.empty((QUERIES, len(vectors)), np.float32)
    for start in range(0, len(vectors), ROWS):
        scores[:, start : start + ROWS] = queries @ vectors[start : start + ROWS].T
    np.save(folder / "all.npy", np.argsort(-scores, axis=1)[:, :K])
    admitted = np.flatnonzero(classes == CLASS)
    np.save(folder / "filtered.npy", admitted[np.argsort(-scores[:, admitted], axis=1)[:, :K]])


def build(engine: str, folder: Path) -> None:
    """Prints what writing and indexing took."""
    (folder / engine).mkdir()
    start = time.perf_counter()
    library, kind = split(engine)
    {"numpy": build_numpy, "faiss": build_faiss, "lance": build_lance, "milvus": build_milvus}[
        library
    ](folder, kind)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in (folder / engine).rglob("*") if path.is_file())
    tell({"build_s": seconds, "build_mb": peak_mb(), "disk_mb": size / 1e6})


def ask(engine: str, folder: Path) -> None:
    """Prints what asking took, and the recall of what was found."""
    library, kind = split(engine)
    queries = np.load(folder / "queries.npy")
    start = time.perf_counter()
    openers = {"numpy": open_numpy, "faiss": open_faiss, "lance": open_lance, "milvus": open_milvus}
    search, together = openers[library](folder, kind)
    opened = time.perf_counter() - start
    search(queries[0], False)  # what is read once
    few = queries if together is None else queries[:10]  # exact search needs no recall
    ones, found = timed(search, few, False)
    start = time.perf_counter()
    if together is not None:
        together(queries)
    else:
        with ThreadPoolExecutor(QUERIES) as pool:
            list(pool.map(lambda query: search(query, False), queries))
    hundred = time.perf_counter() - start
    search(queries[0], True)
    filters, filtered = timed(search, few, True)
    tell(
        {
            "open_s": opened, "one_ms": statistics.median(ones), "hundred_ms": hundred * 1e3,
            "filter_ms": statistics.median(filters),
            "recall": recall(found, np.load(folder / "all.npy")),
            "filter_recall": recall(filtered, np.load(folder / "filtered.npy")),
            "ask_mb": peak_mb(),
        }
    )  # fmt: skip


def split(engine: str) -> tuple[str, str]:
    """The library and the kind of its index; numpy has one."""
    library, _, kind = engine.partition("-")
    return library, kind or "flat"


def tell(figures: dict[str, float]) -> None:
    """Prints figures for the process that has started this one."""
    print(json.dumps(figures))


def timed(
    search: Search, queries: Floats, filtered: bool
) -> tuple[list[float], list[Sequence[int]]]:
    """Milliseconds and rows of each query alone."""
    times, found = [], []
    for query in queries:
        start = time.perf_counter()
        found.append(search(query, filtered))
        times.append((time.perf_counter() - start) * 1e3)
    return times, found


def recall(found: Sequence[Sequence[int]], truth: NDArray[np.int64]) -> float:
    """The mean share of each query's true rows that was found."""
    return float(np.mean([np.isin(own, rows).mean() for own, rows in zip(truth, found)]))  # noqa: B905


def peak_mb() -> float:
    """The largest memory that this process and its children have had, mapped files included."""
    total = 0.0
    for pid in (os.getpid(), *children(os.getpid())):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return total


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in told.split()]


def build_numpy(folder: Path, kind: str) -> None:
    """A copy of the vectors."""
    shutil.copy(folder / "vectors.npy", folder / "numpy" / "vectors.npy")


def by_blocks(queries: Floats, blocks: Iterator[Floats]) -> object:
    """The K best of each query, with one product a block."""
    found: NDArray[Any] = np.empty((len(queries), 0))
    rows: NDArray[Any] = np.empty((len(queries), 0), np.int64)
    start = 0
    for block in blocks:
        found = np.concatenate([found, queries @ block.T], axis=1)
        own = np.broadcast_to(np.arange(start, start + len(block)), (len(queries), len(block)))
        rows, start = np.concatenate([rows, own], axis=1), start + len(block)
        best = np.argpartition(-found, K, axis=1)[:, :K]
        found, rows = (np.take_along_axis(part, best, 1) for part in (found, rows))
    return rows


def open_numpy(folder: Path, kind: str) -> tuple[Search, Together | None]:
    """Exact: one product with the mapped file a query."""
    vectors = np.load(folder / "numpy" / "vectors.npy", mmap_mode="r")
    classes = np.load(folder / "classes.npy")

    def search(query: Floats, filtered: bool) -> Sequence[int]:
        rows = np.flatnonzero(classes == CLASS) if filtered else None
        scores = (vectors if rows is None else vectors[rows]) @ query
        best = np.argpartition(-scores, K)[:K]
        return list(best if rows is None else rows[best])

    def together(queries: Floats) -> object:
        starts = range(0, len(vectors), ROWS)
        return by_blocks(queries, (vectors[start : start + ROWS] for start in starts))

    return search, together


def build_faiss(folder: Path, kind: str) -> None:
    """Writes faiss's index; IVF-PQ is trained on 64 vectors a cell and code."""
    import faiss

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    dim = vectors.shape[1]
    if kind == "ivfpq":
        cells = 1 << round(np.log2(2 * np.sqrt(len(vectors))))
        index = faiss.index_factory(dim, f"IVF{cells},PQ64", faiss.METRIC_INNER_PRODUCT)
        index.do_polysemous_training = False
        index.pq.cp.niter, index.pq.cp.max_points_per_centroid = 10, 64
        chosen = np.random.default_rng(0).permutation(len(vectors))[: max(cells * 64, 16_384)]
        index.train(np.ascontiguousarray(vectors[np.sort(chosen)]))
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dim, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 64
    else:
        index = faiss.IndexFlatIP(dim)
    for start in range(0, len(vectors), ROWS):
        index.add(np.ascontiguousarray(vectors[start : start + ROWS]))
    faiss.write_index(index, str(folder / f"faiss-{kind}" / "index.faiss"))


def open_faiss(folder: Path, kind: str) -> tuple[Search, Together | None]:
    """1 in 32 cells is probed; 100 candidates are scored anew, from the mapped vectors."""
    import faiss

    index = faiss.read_index(str(folder / f"faiss-{kind}" / "index.faiss"))
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    admitted = faiss.IDSelectorBatch(np.flatnonzero(np.load(folder / "classes.npy") == CLASS))

    def search(query: Floats, filtered: bool) -> Sequence[int]:
        chosen = {"sel": admitted} if filtered else {}
        parameters = faiss.SearchParameters(**chosen)
        if kind == "ivfpq":
            parameters = faiss.SearchParametersIVF(nprobe=max(8, index.nlist // 32), **chosen)
        elif kind == "hnsw":
            parameters = faiss.SearchParametersHNSW(efSearch=256, **chosen)
        rows = index.search(query[None], 10 * K, params=parameters)[1][0]
        rows = rows[rows >= 0]
        return list(rows[np.argsort(-(vectors[rows] @ query))][:K])

    return search, (lambda queries: index.search(queries, K)) if kind == "flat" else None


def build_lance(folder: Path, kind: str) -> None:
    """Writes LanceDB's table in blocks, one version each, and its index."""
    import lancedb
    import pyarrow as pa

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    columns = {name: np.load(folder / f"{name}.npy") for name in ("classes", "months")}
    dim = vectors.shape[1]

    def batches() -> Iterator[Any]:
        for start in range(0, len(vectors), ROWS):
            part = slice(start, start + ROWS)
            own = pa.FixedSizeListArray.from_arrays(pa.array(vectors[part].ravel()), dim)
            rest = {name: pa.array(values[part]) for name, values in columns.items()}
            number = pa.array(np.arange(start, start + len(own)))
            yield pa.RecordBatch.from_pydict({"number": number, "vector": own, **rest})

    first = next(batches())
    store = lancedb.connect(str(folder / f"lance-{kind}"))
    table = store.create_table("images", schema=first.schema)
    for batch in batches():
        table.add(pa.Table.from_batches([batch]))
    if kind == "ivfpq":
        config: Any = lancedb.index.IvfPq(
            distance_type="cosine", num_sub_vectors=64, num_partitions=int(len(vectors) ** 0.5),
            max_iterations=15, sample_rate=64,
        )  # fmt: skip
    elif kind == "hnsw":
        config = lancedb.index.HnswSq(distance_type="cosine", m=16, ef_construction=64)
    if kind != "flat":
        table.create_index("vector", config=config)
    table.create_index("classes", config=lancedb.index.Bitmap())


def open_lance(folder: Path, kind: str) -> tuple[Search, Together | None]:
    """Conditions that admit few rows are searched exactly, as ``galr.search`` does."""
    import lancedb

    table = lancedb.connect(str(folder / f"lance-{kind}")).open_table("images")

    def search(query: Floats, filtered: bool) -> Sequence[int]:
        found: Any = table.search(query)
        found = found.distance_type("cosine").limit(K).select(["number", "_distance"])
        if filtered:
            found = found.where(f"classes = {CLASS}", prefilter=True).bypass_vector_index()
        elif kind == "ivfpq":
            found = found.nprobes(32).refine_factor(10)
        elif kind == "hnsw":
            found = found.ef(256).refine_factor(10)
        rows: list[int] = found.to_arrow()["number"].to_pylist()
        return rows

    def together(queries: Floats) -> object:
        read = table.search().select(["vector"]).to_batches(1 << 14)
        vectors = (np.asarray(batch["vector"].flatten()) for batch in read)
        return by_blocks(queries, (part.reshape(-1, queries.shape[1]) for part in vectors))

    return search, together if kind == "flat" else None


def build_milvus(folder: Path, kind: str) -> None:
    """Writes Milvus Lite's collection and its index."""
    from pymilvus import DataType, MilvusClient

    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    columns = {name: np.load(folder / f"{name}.npy") for name in ("classes", "months")}
    client = MilvusClient(str(folder / f"milvus-{kind}" / "store.db"))
    schema = client.create_schema(auto_id=False)
    schema.add_field("number", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    for name in columns:
        schema.add_field(name, DataType.INT64)
    index = client.prepare_index_params()
    name, settings = {
        "flat": ("FLAT", {}),
        "ivf": ("IVF_FLAT", {"nlist": 1024}),
        "hnsw": ("HNSW", {"M": 16, "efConstruction": 64}),
    }[kind]
    index.add_index("vector", index_type=name, metric_type="COSINE", params=settings)
    client.create_collection("images", schema=schema, index_params=index)
    for start in range(0, len(vectors), 10_000):
        part = range(start, min(start + 10_000, len(vectors)))
        block = np.ascontiguousarray(vectors[part.start : part.stop])
        rows = [
            {"number": number, "vector": vector}
            | {name: int(values[number]) for name, values in columns.items()}
            for number, vector in zip(part, block, strict=True)
        ]
        client.insert("images", rows)
    client.flush("images")
    client.load_collection("images")
    client.close()


def open_milvus(folder: Path, kind: str) -> tuple[Search, Together | None]:
    """The collection, loaded."""
    from pymilvus import MilvusClient

    client = MilvusClient(str(folder / f"milvus-{kind}" / "store.db"))
    client.load_collection("images")
    settings = {"ivf": {"nprobe": 32}, "hnsw": {"ef": 256}}.get(kind, {})

    def search(query: Floats, filtered: bool) -> Sequence[int]:
        (found,) = client.search(
            "images", [query], limit=K, filter=f"classes == {CLASS}" if filtered else "",
            search_params={"metric_type": "COSINE", "params": settings}, output_fields=["number"],
        )  # fmt: skip
        return [hit["number"] for hit in found]

    def together(queries: Floats) -> object:
        return client.search("images", list(queries), limit=K)

    return search, together if kind == "flat" else None


if __name__ == "__main__":
    sys.exit(cli.run(main))
