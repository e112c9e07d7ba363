"""Similarities as a matrix, or as a product of features that is made block by block.

numpy and torch are both welcome at the door; inside, everything is a tensor.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.generic] | Tensor
Compare = Callable[[Tensor, Tensor], Tensor]
SMALL_PRODUCT = 1 << 20  # multiplications; BLAS has kernels of its own for products below it


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


def as_floats(values: Array) -> Tensor:
    """``values`` as a float32 or float64 tensor: half precision is widened, integers too."""
    tensor = as_tensor(values)
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    return tensor.float() if tensor.is_floating_point() else tensor.double()


class FeatureProduct:
    """The similarities of queries (Q, D) and candidates (C, D), made a block of rows at a time.

    Indexed and transposed like the matrix (Q, C) that it stands for. Arrays are multiplied by
    numpy and tensors by torch, as their owner would have done (``by_numpy``): the two differ in
    the last bit.
    ``compare`` gives the similarities (q, C) of some queries (q, D) with the candidates where these
    are no product. Raises ValueError where the two do not fit together.
    """

    def __init__(self, queries: Array, candidates: Array, compare: Compare | None = None) -> None:
        self.compare = compare
        self.by_numpy = not isinstance(queries, Tensor) and not isinstance(candidates, Tensor)
        self._queries, self._candidates = as_floats(queries), as_floats(candidates)
        shapes = tuple(self._queries.shape), tuple(self._candidates.shape)
        if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
            raise ValueError(f"features must be (Q, D) and (C, D), got {shapes[0]} and {shapes[1]}")
        kinds = [(part.dtype, part.device) for part in (self._queries, self._candidates)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"features must share type and device, got {kinds[0]} and {kinds[1]}")

    @property
    def shape(self) -> tuple[int, int]:
        """(Q, C)."""
        return len(self._queries), len(self._candidates)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the similarities."""
        return self._queries.dtype

    @property
    def device(self) -> torch.device:
        """Where the blocks are made."""
        return self._queries.device

    @property
    def T(self) -> FeatureProduct:
        """The other direction (C, Q)."""
        other = object.__new__(FeatureProduct)
        other.by_numpy, compare = self.by_numpy, self.compare
        other.compare = compare and (lambda queries, candidates: compare(candidates, queries).T)
        other._queries, other._candidates = self._candidates, self._queries
        return other

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        """The block (rows, C)."""
        queries = self._queries[rows]
        missing = min(self._fewest_rows(), len(self._queries)) - len(queries)
        if missing > 0:
            queries = torch.nn.functional.pad(queries, (0, 0, 0, missing))
            return self._product(queries)[:-missing]
        return self._product(queries)

    def _product(self, queries: Tensor) -> Tensor:
        if self.compare is not None:
            with torch.no_grad():
                return self.compare(queries, self._candidates)
        if self.by_numpy:
            return torch.from_numpy(queries.numpy() @ self._candidates.numpy().T)
        return queries @ self._candidates.T

    def _fewest_rows(self) -> int:
        """Rows that are multiplied as the whole would be: fewer go to kernels that round anew."""
        return max(32, SMALL_PRODUCT // max(1, self._candidates.numel()) + 1)


Similarities = Tensor | FeatureProduct


def even_blocks(total: int, most: int) -> list[slice]:
    """0..total in slices of at most ``most`` (at least 1), whose lengths differ by one at most.

    A short last block would be multiplied by other kernels than the rest, and its similarities
    would differ in the last bit from those of the whole product. Longer blocks come first, so that
    the memory of each fits into that of the one before.
    """
    count = -(-total // max(1, most))
    if count == 0:
        return []
    length, longer = divmod(total, count)
    edges = [block * length + min(block, longer) for block in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
