"""``optim.amp``: the type that the network computes in."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from galr.common.errors import UserError

# as Linux names them: of x86 processors the first two, of ARM ones the third
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def autocast_type(
    amp: Literal["auto", "off", "bf16", "fp16"], device: torch.device
) -> torch.dtype | None:
    """The type of ``torch.autocast`` on ``device``; None where there is none, for float32.

    Raises UserError for float16 on a processor, which is slower there than float32.
    """
    if amp == "auto":
        return torch.bfloat16 if multiplies_bfloat16(device) else None
    if amp == "fp16" and device.type == "cpu":
        raise UserError("optim.amp", "fp16 is for CUDA devices", "set it to auto, or to off")
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


def described(kind: torch.dtype | None) -> str:
    """For a line of the log."""
    return "float32" if kind is None else f"{str(kind).removeprefix('torch.')}, the loss in float32"


@lru_cache
def multiplies_bfloat16(device: torch.device, processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether ``device`` has instructions for it.

    A processor without them imitates bfloat16, some many times slower than float32. Where the
    system does not tell, the answer is no.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        words = processor.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not _BFLOAT16_FLAGS.isdisjoint(words)
