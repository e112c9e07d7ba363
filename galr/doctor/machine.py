"""The machine: versions, device, threads, memory and shared memory."""

from __future__ import annotations

import contextlib
import importlib
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from galr import __version__
from galr.common.device import choose_device
from galr.common.errors import UserError
from galr.common.processes import cores
from galr.doctor.finding import Finding, finding
from galr.training.optimizer import supports_bfloat16

PACKAGES = ("torch", "torchvision", "numpy", "h5py", "pydantic", "pillow", "scikit-learn")
SHARED_MEMORY = Path("/dev/shm")
# memory limit of a container, cgroups version 2 and 1
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# Python with torch and the other packages takes half of this before the first image
LEAST_MEMORY = 2**30


def machine(device: str) -> Iterator[Finding]:
    """The checks that need no options except ``device``."""
    system = f"galr {__version__}, python {platform.python_version()}, {platform.platform()}"
    yield Finding("system", system)
    yield finding("packages", _packages)
    yield finding("device", lambda: _device(device))
    yield threads(torch.get_num_threads(), cores())
    yield memory(available_memory(), LEAST_MEMORY, "starting")


def _packages() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            raise UserError(
                package, "is not installed", "install requirements.txt (docs/usage.md)"
            ) from None
    try:  # fails if torchvision was built for another torch
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        what = f"does not fit the installed torch ({error})"
        raise UserError("torchvision", what, "install both with one command") from None
    return ", ".join(found)


def _device(wanted: str) -> str:
    device = choose_device(wanted)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"{name}, {'with' if supports_bfloat16(device) else 'without'} bfloat16"


def threads(count: int, usable: int) -> Finding:
    """A problem if there are more threads than ``usable`` cores."""
    found = f"{count} threads on {usable} usable cores"
    problem = f"more threads than cores: set OMP_NUM_THREADS={usable}" if count > usable else ""
    return Finding("threads", found, problem)


def memory(available: int | None, needed: int, what: str) -> Finding:
    """Both in bytes; ``available`` is None if unknown."""
    if available is None:
        return Finding("memory", "not reported by this system")
    found = f"{available / 1e9:.1f} GB available, {what} takes at least {needed / 1e9:.1f} GB"
    problem = "stop other programs, or use a larger machine" if available < needed else ""
    return Finding("memory", found, problem)


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that are free or can be freed, within a container's limit; None if unknown."""
    known = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        known.append(1024 * int(meminfo.read_text().split("MemAvailable:")[1].split()[0]))
    for limit in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            known.append(int(Path(limit).read_text()))
    return min(known, default=None)


def shared_memory(needed: int, folder: Path = SHARED_MEMORY) -> Finding:
    """Checks the shared memory that data-loading processes pass batches through."""
    if not folder.is_dir():
        return Finding("shared memory", "not reported by this system")
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.2f} GB free in {folder}, the batches need {needed / 1e9:.2f} GB"
    problem = "give more (Docker: --shm-size), or set dataset.workers to 0"
    return Finding("shared memory", found, problem if free < needed else "")
