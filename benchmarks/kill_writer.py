#!/usr/bin/env python
"""Kills a process that writes to an archive, at random moments, and checks the archive.

The writer adds 50 images a commit, replaces 50, deletes 25 and names the version to readers. After
each kill the archive is opened, every row is checked, and the next writer goes on with it.

  python benchmarks/kill_writer.py --kills 100
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from galr.common import cli
from galr.search.schema import Manifest, table_of, vectors_of
from galr.search.store import Store

DIM, ROWS = 16, 50


def main(argv: Sequence[str] | None = None) -> None:
    """Parses ``argv`` and prints a line when all is whole."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--kills", type=cli.at_least_1, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    os.environ["PYTHONWARNINGS"] = "ignore"  # of forks
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/a.index"
        begin(archive)
        started = time.monotonic()
        write_round(Store(archive), "before", 1)
        latest = 4 * (time.monotonic() - started)
        done = [kill(archive, f"w{number}", rng.random() * latest)
                for number in range(arguments.kills)]  # fmt: skip
        commits = Store(archive).table("images").version
    print(f"{arguments.kills} kills, {sum(done)} rounds, {commits} commits: whole each time")


def begin(archive: str) -> None:
    """An archive of 100 images."""
    store = Store(archive, create=True)
    store.put("images", rows([f"first_{n}" for n in range(2 * ROWS)], 1))
    store.begin(Manifest(folder=archive, encoder="none", checkpoint="", local=None))
    store.publish()


def rows(names: list[str], value: int) -> pa.Table:
    """Images whose columns all tell of one number."""
    columns = [{"name": name, "size": value} for name in names]
    return table_of(columns, np.full((len(names), DIM), value, np.float32), tiles=False)


def write(archive: str, name: str, rounds: Connection) -> None:
    """Adds, replaces, deletes and publishes until it is killed; sends the number of each round."""
    store = Store(archive)
    rounds.send(0)
    for step in range(1, 1_000_000):
        write_round(store, name, step)
        rounds.send(step)


def write_round(store: Store, name: str, step: int) -> None:
    """What a writer does over and over."""
    own = [f"{name}_{step}_{n}" for n in range(ROWS)]
    store.put("images", rows(own, step))
    store.put("images", rows(own, 2 * step))
    store.remove(own[: ROWS // 2])
    if step % 2 == 0:
        store.tidy()
    store.publish()


def kill(archive: str, name: str, seconds: float) -> int:
    """Starts a writer, kills it then, checks the archive; returns the rounds that it had done."""
    # forks of a process that has imported the store, and not used it
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["lancedb", "galr.search.store"])
    receiver, sender = processes.Pipe(duplex=False)
    writer = processes.Process(target=write, args=(archive, name, sender))
    writer.start()
    sender.close()
    done = receiver.recv()
    time.sleep(seconds)
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, "the writer failed by itself"
    while receiver.poll():
        try:
            done = receiver.recv()
        except EOFError:
            break
    check(archive, name, done)
    return int(done)


def check(archive: str, name: str, done: int) -> None:
    """Raises AssertionError where the archive is not as the last whole commit left it."""
    store = Store(archive)
    named = store.manifest().versions["images"]
    for version in (named, None):  # what readers see, and where the next writer begins
        table = store.table("images", version).search().to_arrow()
        names, sizes = table["name"].to_pylist(), np.array(table["size"].to_pylist())
        assert len(set(names)) == len(names), "an image twice"
        assert (vectors_of(table["vector"]) == sizes[:, None]).all(), "half a row"
        steps: dict[str, list[int]] = {}
        for one, size in zip(names, sizes.tolist(), strict=True):
            steps.setdefault(one.rpartition("_")[0], []).append(size)
        for step in range(1, done + 1):
            assert steps[f"{name}_{step}"] == [2 * step] * (ROWS // 2), f"round {step} is not whole"
        assert len(steps["first"]) == 2 * ROWS, "images of before are gone"
    table = store.table("images", named)
    found = table.search(np.ones(DIM, np.float32)).limit(3).to_arrow()
    assert len(found) == 3, "no answer"


if __name__ == "__main__":
    sys.exit(cli.run(main))
