"""From the numbers of a sensor to 8-bit RGB, in the same way for all images of a data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from galr.common.errors import UserError
from galr.data.raster import Raster
from galr.options import DatasetOptions


class Scaling(NamedTuple):
    """How numbers become pixels; 8-bit images stay as they are.

    ``pixel_range``: the numbers that become 0 and 255, linearly in between; None: those of the
    format, of PNG and PPM, whose white is defined. ``bands``: one, for
    grey, or those of red, green and blue, from 1 on. ``no_data``: the number of pixels without
    data, which become black as not-a-number does; None: what each file states.
    """

    pixel_range: tuple[float, float] | None = None
    bands: tuple[int, ...] | None = None
    no_data: float | None = None

    @classmethod
    def of(cls, options: DatasetOptions) -> Scaling:
        """That of ``dataset.pixel_range``, ``bands`` and ``no_data``."""
        return cls(options.pixel_range, options.bands, options.no_data)

    def rgb(self, raster: Raster, place: str | Path) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 of the numbers of ``place``.

        Raises UserError where it is not known which bands are red, green and blue, or of which
        range their numbers are.
        """
        values, missing = self.chosen(raster, place)
        if values.dtype != np.uint8:
            known = self.pixel_range or (raster.white and (0.0, raster.white))
            if not known:
                raise UserError(
                    place,
                    f"has {raster}, and which numbers are black and white is not known",
                    "name them by dataset.pixel_range, such as [0, 3000]",
                )
            low, high = known
            scaled = (values.astype(np.float64) - low) * 255 / (high - low)
            values = np.rint(np.clip(np.nan_to_num(scaled), 0, 255)).astype(np.uint8)
        values[missing] = 0
        return np.array(np.broadcast_to(values, (*values.shape[:2], 3)))

    def chosen(self, raster: Raster, place: str | Path) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The bands (H, W, 1 or 3) that are looked at, and the pixels (H, W) without data."""
        total = raster.values.shape[2]
        bands = self.bands or tuple(range(1, raster.colours + 1))
        if raster.values.dtype.kind not in "uif":
            raise UserError(place, f"has {raster}", "convert it to real numbers")
        if not bands:
            raise UserError(
                place,
                f"has {raster}, and which are red, green and blue is not known",
                "name three of them, or one, by dataset.bands",
            )
        if max(bands) > total:
            raise UserError(
                place,
                f"has {raster}, and dataset.bands names band {max(bands)}",
                "correct dataset.bands",
            )
        values = raster.values[..., [band - 1 for band in bands]]
        no_data = raster.no_data if self.no_data is None else self.no_data
        missing = ~np.isfinite(values)
        if no_data is not None:
            missing |= values == no_data
        return values, np.any(missing, axis=2)


def add_scaling_arguments(parser: argparse.ArgumentParser) -> None:
    """``--pixel-range``, ``--bands`` and ``--no-data``, as the options of those names."""
    group = parser.add_argument_group("images with more than 8 bits, or many bands")
    group.add_argument(
        "--pixel-range", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="the numbers that become black and white (default: percentiles 1 and 99 of all)",
    )  # fmt: skip
    group.add_argument(
        "--bands", nargs="+", type=int, metavar="N", help="red, green and blue, or grey, from 1 on"
    )
    group.add_argument("--no-data", type=float, metavar="X", help="the number of missing pixels")


def scaling_from(arguments: argparse.Namespace) -> Scaling:
    """What ``add_scaling_arguments`` has added; raises UserError for values that cannot be."""
    values = {name: getattr(arguments, name) for name in ("pixel_range", "bands", "no_data")}
    try:
        return Scaling.of(DatasetOptions(**values))
    except ValidationError as error:
        what = error.errors()[0]
        place = "--pixel-range, --bands or --no-data"
        raise UserError(place, what["msg"].removeprefix("Value error, "), "correct it") from None
