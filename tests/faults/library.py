"""The library that is loaded before libc, built where there is a C compiler."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")


def build_shim(folder: Path) -> Path | None:
    """The library in ``folder``; None where it cannot be built."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    path = folder / "shim.so"
    done = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ldl"],
        capture_output=True, check=False,
    )  # fmt: skip
    return path if done.returncode == 0 else None
