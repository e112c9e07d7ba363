"""numpy or torch at the door, torch inside."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.generic] | Tensor


def as_tensor(values: Array) -> Tensor:
    """``values`` as a tensor on its device, sharing memory where the layout allows.

    Read-only arrays (np.load with mmap_mode) are shared too: nothing here writes into an input.
    """
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    if not array.dtype.isnative or any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
