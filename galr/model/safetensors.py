"""Files of the safetensors format: named tensors, and nothing that could run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from galr.errors import UserError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}


def read_safetensors(path: Path, remedy: str) -> dict[str, Tensor]:
    """The tensors of a file: a length (8 bytes), a JSON of that length, the numbers.

    The JSON says ``{name: {"dtype", "shape", "data_offsets": [start, end]}}``, offsets counted from
    its end. Raises UserError, ending with ``remedy``, for a file that is damaged or something else.
    """
    try:
        content = bytearray(path.read_bytes())
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        numbers = memoryview(content)[start:]
        return {name: _tensor(numbers, **entry) for name, entry in header.items()}
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError):
        what = "cannot be read (cut short, damaged, or no file of safetensors)"
    raise UserError(path, what, remedy)


def _tensor(
    numbers: memoryview, dtype: str, shape: list[int], data_offsets: tuple[int, int]
) -> Tensor:
    kind = DTYPES[dtype]
    start, end = data_offsets
    count = math.prod(shape)
    if not 0 <= start <= end <= len(numbers) or end - start != count * kind.itemsize:
        raise ValueError("the numbers are not all there")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(numbers[start:end], dtype=kind).reshape(shape)
