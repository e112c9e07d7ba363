"""One seed drives every random choice: each use derives its own from the seed and its name."""

from __future__ import annotations

import random
import zlib

import numpy as np
import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that is a function of ``seed`` and what it is for."""
    keys = [zlib.crc32(str(name).encode()) for name in names]
    high, low = np.random.SeedSequence([seed, *keys]).generate_state(2, np.uint32)
    return (int(high) << 31) ^ int(low)


def seed_everything(seed: int, *names: str | int) -> None:
    """Seeds torch (all devices), numpy's and Python's global generators by ``derive_seed``."""
    derived = derive_seed(seed, *names)
    torch.manual_seed(derived)
    np.random.seed(derived % 2**32)  # noqa: NPY002 - libraries that draw from the global state
    random.seed(derived)
