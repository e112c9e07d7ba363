"""Maps sensor values to 8-bit RGB, in the same way for all images of a data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import UserError
from galr.images.raster import Raster

NUMBERS_A_BLOCK = 4_000_000  # pixels of an image scaled at a time


class Scaling(NamedTuple):
    """How values become pixels; 8-bit images are unchanged.

    ``pixel_range``: the values mapped to 0 and 255, linearly; None: those of the format, for PNG
    and PPM, which define white. ``bands``: one for grey, or three for red, green and blue, counted
    from 1. ``no_data``: the nodata value, mapped to black like NaN; None: as stated by each file.
    """

    pixel_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    no_data: float | None = None

    @classmethod
    def of(cls, options: Any) -> Scaling:  # noqa: ANN401 - dataset options, or arguments
        """From ``pixel_range``, ``bands`` and ``no_data``; raises UserError if invalid."""
        low, high = options.pixel_range or (0, 1)
        if low >= high:
            raise UserError("pixel range", f"{low:g} is not below {high:g}", "swap them")
        bands = options.bands and tuple(options.bands)
        if bands and (len(bands) not in (1, 3) or min(bands) < 1):
            raise UserError("bands", f"are {bands}", "give one or three, counted from 1")
        return cls(options.pixel_range and (float(low), float(high)), bands, options.no_data)

    def rgb(self, raster: Raster, place: str | Path) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 from the values of ``place``.

        Raises UserError if it is unknown which bands are red, green and blue, or what the range of
        their values is.
        """
        low, high = self.pixel_range or (0.0, raster.white or 0.0)
        if raster.values.dtype != np.uint8 and high <= low:
            self.chosen(raster._replace(values=raster.values[:0]), place)  # other faults first
            raise UserError(
                place,
                f"has {raster}, but the values of black and white are unknown",
                "set dataset.pixel_range, such as [0, 3000]",
            )
        result = np.zeros((*raster.values.shape[:2], 3), np.uint8)
        rows = max(1, NUMBERS_A_BLOCK // math.prod(raster.values.shape[1:]))
        for start in range(0, len(result), rows):
            block = raster._replace(values=raster.values[start : start + rows])
            values, missing = self.chosen(block, place)
            if values.dtype != np.uint8:
                values = _to_bytes(values, low, high)
            if missing.any():
                values[missing] = 0
            result[start : start + rows] = values
        return result

    def chosen(self, raster: Raster, place: str | Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The selected bands (H, W, 1 or 3), and the nodata pixels (H, W)."""
        total = raster.values.shape[2]
        bands = self.bands or tuple(range(1, raster.colours + 1))
        if raster.values.dtype.kind not in "uif":
            raise UserError(place, f"has {raster}", "convert it to real values")
        if not bands:
            raise UserError(
                place,
                f"has {raster}, but which are red, green and blue is unknown",
                "set dataset.bands to three of them, or to one",
            )
        if max(bands) > total:
            raise UserError(
                place,
                f"has {raster}, but dataset.bands names band {max(bands)}",
                "correct dataset.bands",
            )
        values = raster.values[..., [band - 1 for band in bands]]
        no_data = raster.no_data if self.no_data is None else self.no_data
        missing = np.zeros(values.shape, bool)
        if values.dtype.kind == "f":
            missing = ~np.isfinite(values)
        if no_data is not None:
            missing |= values == no_data
        return values, np.any(missing, axis=2)


def _to_bytes(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Maps ``low`` to 0 and ``high`` to 255, linearly; NaN to 0."""
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:  # few enough values for a table
        bits = np.dtype(f"u{values.dtype.itemsize}")
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        every = np.arange(np.iinfo(bits).max + 1).astype(bits).view(values.dtype)
        table = _scaled(every, low, high)
        return np.take(table, values.view(bits))
    return _scaled(values, low, high)


def _scaled(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (values.astype(np.float64) - low) * 255 / (high - low)
    numbers: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)
    return numbers
