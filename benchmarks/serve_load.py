"""Asks a server at a steady rate and prints latencies, errors and what was lost; may end it.

    python benchmarks/serve_load.py --index archive.index --seconds 300 --rate 50 --workers 2
    python benchmarks/serve_load.py --index archive.index --seconds 60 --end worker

Requests begin by the clock, whether or not earlier ones are answered, so that a slow server is not
asked less (no coordinated omission): a latency counts from the moment that its request was due.
``--end worker`` sends SIGTERM to one worker half way, which the server replaces; ``--end server``
to the whole server, after which the script starts it again. A refused connection reached no server
and is tried again, as a proxy would; it is counted. Lost is a request that was sent, and whose
connection ended without an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np

PAUSE = 0.05  # seconds before a refused connection is tried again


class Served:
    """The server under load, in processes of its own."""

    def __init__(self, index: Path, workers: int, more: list[str]) -> None:
        self.command = [sys.executable, "-m", "galr.search", "serve", "--index", str(index),
                        "--workers", str(workers), *more]  # fmt: skip
        self.port = 0
        self.start()

    def start(self) -> None:
        """Starts it, at the earlier port if it had one, and waits until it takes requests."""
        command = [*self.command, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr)
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        self.port = int(line.split()[3].rstrip("/").rpartition(":")[2])

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        found = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "spawn_main"],
                               stdout=subprocess.PIPE, check=False)  # fmt: skip
        return [int(word) for word in found.stdout.split()]

    def end(self) -> float:
        """Sends SIGTERM; the seconds that it took to end."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait()
        return time.monotonic() - started


class Load:
    """Requests at a rate, and what became of them."""

    def __init__(self, port: int, sentences: list[str]) -> None:
        self.address = f"http://127.0.0.1:{port}/api/search"
        self.sentences = sentences
        self.statuses: Counter[str] = Counter()
        self.latencies: list[float] = []

    async def run(self, rate: float, seconds: float, *, keep_alive: bool) -> None:
        """Asks ``rate`` times a second."""
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None if keep_alive else 0
        )
        async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
            started = time.monotonic()
            tasks = []
            for number in range(int(rate * seconds)):
                due = started + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tasks.append(asyncio.create_task(self._ask(client, number, due)))
            await asyncio.gather(*tasks)

    async def _ask(self, client: httpx.AsyncClient, number: int, due: float) -> None:
        question = {"text": self.sentences[number % len(self.sentences)], "k": 20}
        while True:
            try:
                answer = await client.post(self.address, json=question)
            except httpx.ConnectError:
                self.statuses["refused, asked again"] += 1
                await asyncio.sleep(PAUSE)
                continue
            except httpx.HTTPError as error:
                self.statuses[f"lost: {type(error).__name__}"] += 1
                return
            self.statuses[str(answer.status_code)] += 1
            self.latencies.append(time.monotonic() - due)
            return


async def measure(load: Load, served: Served, arguments: argparse.Namespace) -> dict[str, Any]:
    """The whole run, with what ends in the middle."""
    told: dict[str, Any] = {}

    async def interrupt() -> None:
        await asyncio.sleep(arguments.seconds / 2)
        if arguments.end == "worker":
            os.kill(served.workers()[0], signal.SIGTERM)
        else:
            loop = asyncio.get_running_loop()
            told["seconds to end"] = round(await loop.run_in_executor(None, served.end), 2)
            await loop.run_in_executor(None, served.start)

    asking = load.run(arguments.rate, arguments.seconds, keep_alive=not arguments.new_connections)
    await asyncio.gather(asking, *([interrupt()] if arguments.end else []))
    return told


def main() -> None:
    """Starts a server, asks it, ends it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True, help="archive to serve")
    parser.add_argument("--sentences", type=Path, help="one per line (default: three of the demo)")
    parser.add_argument("--rate", type=float, default=50, help="requests a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--end", choices=("worker", "server"), help="SIGTERM half way")
    parser.add_argument("--new-connections", action="store_true", help="one for each request")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments, more = parser.parse_known_args()
    sentences = ["several planes in an airport", "many white boats", "a path through a forest"]
    if arguments.sentences is not None:
        sentences = arguments.sentences.read_text(encoding="utf-8").splitlines()
    served = Served(arguments.index, arguments.workers, more)
    load = Load(served.port, sentences)
    try:
        told = asyncio.run(measure(load, served, arguments))
    finally:
        served.end()
    p50, p99, worst = (1e3 * float(np.quantile(load.latencies, q)) for q in (0.5, 0.99, 1))
    told |= {
        "requests": int(arguments.rate * arguments.seconds),
        "answers": dict(load.statuses),
        "p50 ms": round(p50, 1),
        "p99 ms": round(p99, 1),
        "worst ms": round(worst, 1),
        "load": [round(one, 1) for one in os.getloadavg()],
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(told, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
