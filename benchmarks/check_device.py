#!/usr/bin/env python
"""What the project claims for CUDA, checked on one device in a few minutes; a row a claim.

  bash exec/check_gpu.sh
  python benchmarks/check_device.py --device cpu --out check.json

Without a CUDA device it says so and checks on the CPU what a CPU can do, on smaller images. A row
that fails ends the run with status 1 after the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.device_checks import CHECKS, Row, check_one_rank
from benchmarks.side_by_side import machine
from galr.common import cli
from galr.common.atomic import write_json


def main() -> int:
    """Prints the table; the exit status is 1 where a claim does not hold."""
    parser = cli.ArgumentParser(__doc__ or "")
    parser.add_argument("--device", help="default: CUDA where there is one")
    parser.add_argument("--out", metavar="FILE", help="also write the rows as JSON")
    parser.add_argument("--nccl", action="store_true", help="the part that torchrun starts")
    arguments = parser.parse_args()
    if arguments.nccl:
        return check_one_rank()
    found = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(arguments.device or found)
    if device.type == "cpu":
        print("no CUDA device: checking on the CPU what a CPU can do\n")
    rows = []
    for check in CHECKS:
        started = time.perf_counter()
        row = _guarded(check, device)
        if row is not None:
            rows.append(row)
            verdict, seconds = "ok" if row.holds else "FAILED", time.perf_counter() - started
            print(f"{verdict:7}{row.claim:44}{row.measured}  ({seconds:.0f} s)")
    about = {**machine(), "device": _name(device), "torch": torch.__version__}
    print("\n" + ", ".join(f"{name} {value}" for name, value in about.items()))
    if arguments.out:
        write_json(arguments.out, {"machine": about, "rows": [row._asdict() for row in rows]})
    return 0 if all(row.holds for row in rows) else 1


def _guarded(check: Callable[[torch.device], Row | None], device: torch.device) -> Row | None:
    try:
        return check(device)
    except Exception as error:  # noqa: BLE001 - the other claims are checked all the same
        text = str(error).strip().partition("\n")[0]
        return Row(check.__name__, f"{type(error).__name__}: {text}", False)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    sys.exit(main())
