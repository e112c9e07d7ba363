"""python -m tests.faults: disturbs every command by every fault, and prints what was lost."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.library import build_shim
from tests.faults.serving import SERVED, disturb_server
from tests.faults.trial import FAULTS, applies, disturb, usual, why_not
from tests.faults.world import COMMANDS, World

Key = tuple[str, str, int]  # command, fault, seed


def main() -> int:
    """Runs the faults; the status is 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    names = [*(each.name for each in COMMANDS), "search serve"]
    parser.add_argument("--command", nargs="+", choices=names, default=names)
    parser.add_argument("--fault", nargs="+", choices=FAULTS)
    parser.add_argument("--part", default="1/1", help="the part that is run, such as 1/3")
    parser.add_argument("--again", nargs="+", metavar="LOG", help="run what lost in these alone")
    parser.add_argument("--tell", nargs="+", metavar="LOG", help="run nothing: count these logs")
    parser.add_argument("--table", metavar="FILE", help="write the table to FILE")
    parser.add_argument("--log", metavar="FILE", help="append each fault to FILE, as JSON")
    arguments = parser.parse_args()
    losses = read_logs(arguments.tell or [])
    if not arguments.tell:
        chosen = drawn(arguments.command, arguments.fault, arguments.faults, arguments.seed)
        part, parts = map(int, arguments.part.split("/"))
        chosen = chosen[part - 1 :: parts]
        if arguments.again:
            before = read_logs(arguments.again)
            chosen = [key for key in chosen if before.get(key)]
        losses = run(chosen, arguments.log)
    told = table(losses)
    if arguments.table:
        Path(arguments.table).write_text(told)
    print(told)
    return int(any(losses.values()))


def drawn(commands: list[str], faults: list[str] | None, count: int, seed: int) -> list[Key]:
    """``count`` faults in an order drawn from ``seed``, each kind as often as the others."""
    by_name = {each.name: each for each in COMMANDS}
    pairs = [
        (name, fault)
        for name, fault in itertools.product(commands, faults or FAULTS)
        if (fault in SERVED if name not in by_name else applies(fault, by_name[name]))
    ]
    random.Random(seed).shuffle(pairs)
    endless = enumerate(itertools.cycle(pairs))
    return [(*pair, seed * 10_000 + n) for n, pair in itertools.islice(endless, count)]


def run(chosen: list[Key], log: str | None) -> dict[Key, list[str]]:
    """What was lost by each of the faults; those that cannot be made here are left out."""
    by_name = {each.name: each for each in COMMANDS}
    losses: dict[Key, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        world = World(Path(folder, "world"), build_shim(Path(folder)))
        expected = {}
        for name, fault, seed in chosen:
            if why_not(fault, world):
                continue
            if name in by_name and name not in expected:
                expected[name] = usual(world, by_name[name])
            began = time.monotonic()
            if name in by_name:
                trial = disturb(world, by_name[name], expected[name], fault, seed)
            else:
                trial = disturb_server(world, fault, seed)
            losses[name, fault, seed] = trial.losses
            line = {
                "command": name, "fault": fault, "seed": seed, "losses": trial.losses,
                "seconds": round(time.monotonic() - began, 1),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
            if log:
                with Path(log).open("a") as opened:
                    opened.write(json.dumps(line) + "\n")
        world.close()
    return losses


def read_logs(paths: list[str]) -> dict[Key, list[str]]:
    """As ``run`` returns; of a fault that was run again the last time."""
    lines = [json.loads(line) for path in paths for line in Path(path).read_text().splitlines()]
    return {(line["command"], line["fault"], line["seed"]): line["losses"] for line in lines}


def table(losses: dict[Key, list[str]]) -> str:
    """Runs of each command and fault, and how many of them lost something."""
    commands = list(dict.fromkeys(name for name, _, _ in losses))
    faults = [fault for fault in FAULTS if any(fault == other for _, other, _ in losses)]
    lines = ["| command | " + " | ".join(faults) + " | all |"]
    lines.append("| --- | " + "---: | " * (len(faults) + 1))
    for command in [*commands, "all"]:
        cells = []
        for fault in [*faults, "all"]:
            found = [
                bool(each)
                for (name, other, _), each in losses.items()
                if command in (name, "all") and fault in (other, "all")
            ]
            lost = f", {sum(found)} lost" if any(found) or fault == "all" else ""
            cells.append(f"{len(found)}{lost}" if found else "")
        lines.append(f"| {command} | " + " | ".join(cells) + " |")
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
