"""Windows of several sizes that cover a scene, and what covers a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError

Windows = NDArray[np.int64]


def cover(width: int, height: int, sides: Sequence[int], overlap: float = 0.5) -> Windows:
    """Square windows (W, 4) left, top, right, bottom that cover a scene at every scale.

    Neighbours overlap by the share ``overlap`` of their side; the last of a row or column is moved
    back to end with the scene. Sides that do not fit into the scene are left out. Raises UserError
    where none fits.
    """
    fitting = sorted({side for side in sides if side <= min(width, height)})
    if not fitting:
        raise UserError(
            f"--windows {','.join(map(str, sides))}",
            f"none fits into the scene of {width} x {height} pixels",
            f"name sides of at most {min(width, height)} pixels",
        )
    found = []
    for side in fitting:
        step = max(1, round(side * (1 - overlap)))
        left, top = (_starts(length, side, step) for length in (width, height))
        corners = np.stack(np.meshgrid(left, top), axis=-1).reshape(-1, 2)
        found.append(np.concatenate([corners, corners + side], axis=1))
    return np.concatenate(found)


def _starts(length: int, side: int, step: int) -> NDArray[np.int64]:
    return np.append(np.arange(0, length - side, step), length - side)


def step_of(windows: Windows) -> int:
    """The distance of neighbours among windows of one side; 0 where there is one window."""
    starts = np.unique(windows[:, :2])
    return int(starts[1] - starts[0]) if len(starts) > 1 else 0


def blocks_of(windows: Windows, side: int, most: int) -> list[NDArray[np.int64]]:
    """The numbers of windows (W, 4) that form blocks of at most ``most`` in a row and in a column.

    Windows of one block have one side and lie row by row, a step apart that is a whole number of
    pixels when the windows are resized to ``side``. Others, such as those that end with the scene
    off the grid of their side, are left out.
    """
    blocks = []
    sides = windows[:, 2] - windows[:, 0]
    for own_side in np.unique(sides).tolist():
        own = np.flatnonzero(sides == own_side)
        step = step_of(windows[own])
        if step == 0 or step * side % own_side:
            continue
        aligned = own[(windows[own][:, :2] % step == 0).all(axis=1)]
        aligned = aligned[np.lexsort(windows[aligned][:, :2].T)]
        _, block = np.unique(windows[aligned][:, :2] // (step * most), axis=0, return_inverse=True)
        blocks += [aligned[block.ravel() == number] for number in range(block.max() + 1)]
    return [block for block in blocks if _is_full(windows[block])]


def _is_full(block: Windows) -> bool:
    columns, rows = (len(np.unique(block[:, axis])) for axis in (0, 1))
    return columns * rows == len(block)


def average_over_cover(
    windows: Windows, values: NDArray[np.float32], width: int, height: int, cell: int
) -> NDArray[np.float32]:
    """The mean of the values of the windows that cover each cell of ``cell`` pixels.

    windows (W, 4), values (Q, W) -> (Q, ceil(height / cell), ceil(width / cell)), NaN where no
    window covers the centre of a cell.
    """
    columns, rows = -(-width // cell), -(-height // cell)
    # a window covers the cells whose centre it covers
    edges = np.floor(windows / cell + 0.5).astype(np.int64)
    left, right = (np.clip(edges[:, side], 0, columns) for side in (0, 2))
    top, bottom = (np.clip(edges[:, side], 0, rows) for side in (1, 3))
    right = np.where(windows[:, 2] >= width, columns, right)
    bottom = np.where(windows[:, 3] >= height, rows, bottom)

    def summed(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        # each window adds a step at two corners and takes it back at the other two
        grid = np.zeros((rows + 1, columns + 1))
        for y, x, sign in (
            (top, left, 1),
            (top, right, -1),
            (bottom, left, -1),
            (bottom, right, 1),
        ):
            np.add.at(grid, (y, x), sign * weights)
        total: NDArray[np.float64] = grid.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
        return total

    count = np.rint(summed(np.ones(len(windows))))
    means = np.full((len(values), rows, columns), np.nan, dtype=np.float32)
    for mean, own in zip(means, values, strict=True):
        total = summed(own.astype(np.float64))
        mean[count > 0] = (total / np.maximum(count, 1))[count > 0]
    return means
