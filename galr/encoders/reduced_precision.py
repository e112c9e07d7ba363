"""Smaller numbers for evaluation: a text encoder in bfloat16 or with int8 weights."""

from __future__ import annotations

import copy
import warnings
from typing import Literal

import torch
from torch import nn

Precision = Literal["float32", "bfloat16", "int8"]


def in_precision(encoder: nn.Module, precision: Precision) -> nn.Module:
    """A copy of ``encoder`` for evaluation, with its weights in ``precision``.

    `bfloat16` holds all weights and vectors in 16 bits. `int8` (CPU alone) holds the matrices in 8
    bits and turns what they multiply into 8 bits by the range of each batch ("dynamic
    quantisation"); word vectors, sums and gates stay in float32.
    """
    small = copy.deepcopy(encoder).eval().requires_grad_(False)
    if precision == "bfloat16":
        return small.to(torch.bfloat16)
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch means to move this into torchao one day
            quantised: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
                small, {nn.Linear}, dtype=torch.qint8
            )
        return quantised
    if precision != "float32":
        raise ValueError(f"precision must be float32, bfloat16 or int8, got {precision!r}")
    return small
