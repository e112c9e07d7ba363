"""Thousands of mutated files for every reader, watched: time, memory, processes, other files.

    python benchmarks/fuzz.py                             10,000 of each kind by seed 0
    python benchmarks/fuzz.py --mutations 500 --seed 7 --only "image" --only npy
    python benchmarks/fuzz.py --atheris --only vocabulary   led by coverage (pip install atheris)

Each kind of file (tests/fuzz_readers.py) is read in a process of its own. A finding is anything but
a right result or one line with a remedy: another exception, over ten seconds of CPU time or sixty
of the clock, more than 2 GiB, a crash, a program started, a connection, a pickle's import, a file
touched outside the folder. The mutated file of each finding is kept in --keep.
"""

import argparse
import gc
import json
import logging
import mmap
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple, NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from galr.images.libtiff import silence_libtiff  # noqa: E402
from tests.fuzz_readers import make_files, mutated, outcome, put  # noqa: E402

SECONDS, BYTES = 10, 2 << 30
PATIENCE = 6 * SECONDS  # of the clock, which a busy machine slows
# what reading needs of the system and of Python's packages, all of it read only
READABLE = (
    sys.prefix,
    sys.base_prefix,
    str(ROOT),
    "/usr/lib",
    "/lib",
    "/proc/self",
    "/sys/fs/cgroup",
)
FORBIDDEN = re.compile(
    r"subprocess\.|os\.(system|exec|fork|forkpty|posix_spawn|spawn)|pty\.|socket\.(connect|bind)"
    r"|pickle\.find_class|ctypes\.dlopen"
)
CHANGES = re.compile(r"os\.(remove|rename|rmdir|mkdir|link|symlink|truncate|chmod|chown)|shutil\.")
# whose branches lead atheris
LED_BY = ("galr.", "postprocessing.", "PIL.", "tifffile.", "yaml.", "json.", "numpy.lib", "tarfile")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Kind(NamedTuple):
    """A kind of file below ``root``: the file that is mutated, and the reader."""

    root: Path
    name: str
    path: Path
    read: Callable[[Path], None]
    mutations: int
    seed: int

    def mutation(self, original: bytes, number: int) -> bytes:
        """The same for the same seed and number."""
        changed: bytes = mutated(original, random.Random(f"{self.seed} {self.name} {number}"))
        return changed


class Watch:
    """Notes what a reader does beyond its folder; an audit hook cannot be taken off again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_on = f"{folder}{os.sep}", False
        self.seen: list[str] = []
        silence_libtiff()  # opens Pillow's own library, once
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python calls for each event."""
        if not self.is_on:
            return
        if FORBIDDEN.match(event):
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(path, str | bytes | os.PathLike):
                self._touched(event, path, bool(flags & WRITES))
        elif CHANGES.match(event):
            for path in arguments:
                if isinstance(path, str | bytes | os.PathLike):
                    self._touched(event, path, True)

    def _touched(self, event: str, path: Any, writes: bool) -> None:  # noqa: ANN401 - of any kind
        place = os.path.abspath(os.fsdecode(path)) + os.sep
        if not place.startswith(self.folder) and (writes or not place.startswith(READABLE)):
            self.seen.append(f"{event} {place}")


def child(kind: Kind, first: int, progress: mmap.mmap, out: TextIO) -> None:
    """Reads the mutations from ``first`` on; a line of ``out`` for the outcome of each."""
    root, path = kind.root, kind.path
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, size + BYTES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    original, watch = path.read_bytes(), Watch(root)
    for number in range(first, kind.mutations):
        struct.pack_into("<q", progress, 0, number)
        put(path, kind.mutation(original, number))
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(PATIENCE)
        watch.is_on = True
        try:
            said = outcome(kind.read, root)
        except TooLong:
            said = f"! longer than {SECONDS} s of CPU time, or {PATIENCE} s"
        watch.is_on = False
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        if watch.seen:
            said = f"! {watch.seen[0]}"
            watch.seen.clear()
        if "\n" in said and not said.startswith("!"):
            said = f"! several lines: {said}"
        seconds = time.process_time() - started
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
        result = {"number": number, "said": said, "seconds": seconds, "mib": peak}
        if not said.startswith("!"):
            result["said"] = "line" if said else "right"
        out.write(json.dumps(result) + "\n")
        out.flush()
    put(path, original)


class TooLong(BaseException):
    """What no reader catches."""


def timed_out(*_: object) -> NoReturn:
    """What an alarm does."""
    raise TooLong


def fuzz(kind: Kind, keep: Path) -> dict[str, Any]:
    """Counts of the outcomes of one kind of file; children that die are replaced."""
    path, name = kind.path, kind.name
    progress, original = mmap.mmap(-1, 8), path.read_bytes()
    log, first = keep / "outcomes.jsonl", 0
    deaths: list[dict[str, Any]] = []
    log.unlink(missing_ok=True)
    while first < kind.mutations:
        process = os.fork()
        if process == 0:
            for number in (signal.SIGALRM, signal.SIGPROF):
                signal.signal(number, timed_out)
            with log.open("a") as out:
                child(kind, first, progress, out)
            os._exit(0)
        last, since = -1, time.monotonic()
        while True:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                break
            now = struct.unpack_from("<q", progress)[0]
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 2 * PATIENCE:
                os.kill(process, signal.SIGKILL)
            time.sleep(0.2)
        if status == 0:
            break
        at = struct.unpack_from("<q", progress)[0]
        deaths.append({"number": at, "said": f"! the process died of {status}"})
        first = at + 1
        put(path, original)
    put(path, original)
    results = [json.loads(line) for line in log.read_text().splitlines()] + deaths
    findings = [result for result in results if result["said"].startswith("!")]
    for finding in findings[:20]:
        place = keep / f"{re.sub(r'[^a-z0-9]+', '_', name.lower())}_{finding['number']}"
        place.write_bytes(kind.mutation(original, finding["number"]))
        place.with_name(f"{place.name}.said").write_text(finding["said"])
    return {
        "kind": name,
        "mutations": len(results),
        "right": sum(result["said"] == "right" for result in results),
        "one line": sum(result["said"] == "line" for result in results),
        "findings": len(findings),
        "slowest s": round(max((r.get("seconds", 0) for r in results), default=0), 2),
        "MiB": max((r.get("mib", 0) for r in results), default=0),
    }


def led_by_coverage(kind: Kind) -> None:
    """As many runs by atheris, in this process, from the real file on; it stops at a finding."""
    root, path = kind.root, kind.path
    import atheris

    for function in gc.get_objects():
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith(LED_BY):
            atheris.instrument_func(function)
    original, watch = path.read_bytes(), Watch(root)
    corpus = Path(tempfile.mkdtemp(dir=root.parent))
    (corpus / "real").write_bytes(original)

    def one(content: bytes) -> None:
        put(path, content)
        watch.is_on = True
        said = outcome(kind.read, root)
        watch.is_on = False
        if said.startswith("!") or watch.seen:
            raise RuntimeError(f"{kind.name}: {watch.seen} {said}")

    options = [
        f"-runs={kind.mutations}",
        f"-seed={kind.seed + 1}",
        f"-timeout={SECONDS}",
        "-rss_limit_mb=4096",
    ]
    largest = f"-max_len={2 * len(original)}"
    artifacts = f"-artifact_prefix={root.parent}/"
    atheris.Setup(["fuzz", *options, largest, artifacts, "-verbosity=0", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    """Parses the command line and prints a line for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", action="append", default=[], help="kinds that begin so, in this order"
    )
    parser.add_argument("--keep", default="fuzz_findings", help="folder for findings")
    parser.add_argument("--out", help="also write the table as JSON, a line a kind")
    parser.add_argument("--atheris", action="store_true", help="mutations led by coverage")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    keep = Path(arguments.keep)
    keep.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)) / "files"
    root.mkdir()
    try:
        files = make_files(root)
        formats = Counter(name.split()[1] for name in files if name.startswith("image "))
        chosen = [name for start in arguments.only for name in files if name.startswith(start)]
        for name in dict.fromkeys(chosen) if arguments.only else files:
            place, read = files[name]
            path = root / place if isinstance(place, str) else place(root)
            # the variants of a format share its mutations
            share = formats[name.split()[1]] if name.startswith("image ") else 1
            count = arguments.mutations // max(share, 1)
            kind = Kind(root, name, path, read, count, arguments.seed)
            if arguments.atheris:
                led(kind)
                continue
            row = fuzz(kind, keep)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            if arguments.out:
                with open(arguments.out, "a") as file:
                    file.write(json.dumps(row) + "\n")
    finally:
        shutil.rmtree(root.parent)


def led(kind: Kind) -> None:
    """Coverage belongs to a process: one for each kind."""
    process = os.fork()
    if process == 0:
        led_by_coverage(kind)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    print(
        f"{kind.name}: {'no finding' if status == 0 else f'FINDING (status {status})'}", flush=True
    )


if __name__ == "__main__":
    main()
