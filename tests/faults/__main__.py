"""python -m tests.faults: disturbs every command by every fault, and prints what was lost."""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.faults.library import build_shim
from tests.faults.serving import SERVED, disturb_server
from tests.faults.trial import FAULTS, applies, disturb, usual, why_not
from tests.faults.world import COMMANDS, World


def main() -> int:
    """Runs the faults; the status is 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    names = [*(each.name for each in COMMANDS), "search serve"]
    parser.add_argument("--command", nargs="+", choices=names, default=names)
    parser.add_argument("--fault", nargs="+", choices=FAULTS)
    parser.add_argument("--table", metavar="FILE", help="write the table to FILE")
    parser.add_argument("--log", metavar="FILE", help="append each fault to FILE, as JSON")
    arguments = parser.parse_args()
    by_name = {each.name: each for each in COMMANDS}
    pairs = [
        (name, fault)
        for name, fault in itertools.product(arguments.command, arguments.fault or FAULTS)
        if (fault in SERVED if name not in by_name else applies(fault, by_name[name]))
    ]
    random.Random(arguments.seed).shuffle(pairs)
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        world = World(Path(folder, "world"), build_shim(Path(folder)))
        expected = {}
        for number, (name, fault) in enumerate(
            itertools.islice(itertools.cycle(pairs), arguments.faults)
        ):
            if why_not(fault, world):
                continue
            if name in by_name and name not in expected:
                expected[name] = usual(world, by_name[name])
            began, seed = time.monotonic(), arguments.seed * 10_000 + number
            if name in by_name:
                trial = disturb(world, by_name[name], expected[name], fault, seed)
            else:
                trial = disturb_server(world, fault, seed)
            count = counts[name, fault]
            count[0] += 1
            count[1] += bool(trial.losses)
            line = {
                "command": name, "fault": fault, "seed": seed, "losses": trial.losses,
                "seconds": round(time.monotonic() - began, 1),
            }  # fmt: skip
            print(json.dumps(line), flush=True)
            if arguments.log:
                with Path(arguments.log).open("a") as log:
                    log.write(json.dumps(line) + "\n")
        world.close()
    told = table(counts)
    if arguments.table:
        Path(arguments.table).write_text(told)
    print(told)
    return int(any(lost for _, lost in counts.values()))


def table(counts: dict[tuple[str, str], list[int]]) -> str:
    """Runs of each command and fault, and how many of them lost something."""
    commands = list(dict.fromkeys(name for name, _ in counts))
    faults = [fault for fault in FAULTS if any(fault == name for _, name in counts)]
    lines = ["| command | " + " | ".join(faults) + " | all |"]
    lines.append("| --- | " + "---: | " * (len(faults) + 1))
    for command in [*commands, "all"]:
        cells, total = [], [0, 0]
        for fault in faults:
            of = [
                count
                for (name, other), count in counts.items()
                if other == fault and command in (name, "all")
            ]
            runs, lost = (sum(each) for each in zip(*of, strict=True)) if of else (0, 0)
            total = [total[0] + runs, total[1] + lost]
            cells.append(f"{runs}, {lost} lost" if lost else str(runs or ""))
        runs, lost = total
        cells.append(f"{runs}, {lost} lost")
        lines.append(f"| {command} | " + " | ".join(cells) + " |")
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
