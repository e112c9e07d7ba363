"""Freed memory that stays, seen in a process of its own."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CODE = """
import resource, sys
import numpy as np
from galr.common.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
size = 50_000_000
np.ones(size, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(size, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_used_again_without_new_pages():
    def new_pages(mode):
        command = [sys.executable, "-c", CODE, mode]
        shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        return int(shown.stdout)

    assert new_pages("keep") < 100
    # without it each of the pages (of 4 KiB to 2 MiB) is mapped again
    assert new_pages("leave") > new_pages("keep")
