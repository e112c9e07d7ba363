"""A scene of any size, read window by window: 8-bit RGB pixels, and which of them hold data."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from galr.common.errors import RunError, UserError
from galr.common.quiet import without_warnings

INSTALL = "pip install -r requirements-scenes.txt"
PERCENTILES = (2.0, 98.0)
CACHE_MEGABYTES = 256
OVERVIEW_SIDE = 2048  # pixels of the overview that percentiles are taken from

Pixels = NDArray[np.uint8]
Valid = NDArray[np.bool_]


class Window(NamedTuple):
    """A rectangle of a scene, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Scene:
    """An open scene; a context manager.

    ``bands``: three band numbers from 1 for red, green and blue, or one for grey. Default: the
    first three, or the first of a scene with fewer. ``stretch``: the values (low, high) that become
    0 and 255. By default 8-bit bands stay as they are, and all others are stretched between the
    2nd and the 98th percentile of the whole scene, the same for all bands and windows. Pixels
    without data (no-data value, mask, or an opacity of 0) are not valid.

    Raises UserError for a file that is missing or damaged, for bands that it does not have, and
    for a scene without data.
    """

    def __init__(
        self,
        path: str | Path,
        bands: Sequence[int] | None = None,
        stretch: tuple[float, float] | None = None,
    ) -> None:
        self.path = Path(path)
        self._rasterio = import_rasterio()
        self._overviews: dict[int, tuple[Pixels, Valid]] = {}
        self._file = self._opened()
        try:
            self.width: int = self._file.width
            self.height: int = self._file.height
            self.bands = self._chosen(bands)
            self.stretch = stretch or self._default_stretch()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @property
    def crs(self) -> Any:  # noqa: ANN401 - rasterio has no types
        """Its coordinate reference system (rasterio.crs.CRS), None for a scene without one."""
        return self._file.crs

    @property
    def transform(self) -> Any:  # noqa: ANN401 - rasterio has no types
        """The affine transform from (column, row) in pixels to coordinates of ``crs``."""
        return self._file.transform

    def read(self, window: Window) -> tuple[Pixels, Valid]:
        """Pixels (h, w, 3) of a window and which of them hold data (h, w); the others are 0."""
        return self._read(window, (window.height, window.width))

    def overview(self, longest: int) -> tuple[Pixels, Valid]:
        """The whole scene, as ``read``, its longer side reduced to at most ``longest`` pixels."""
        if longest not in self._overviews:  # the whole file is read for it
            scale = min(1.0, longest / max(self.width, self.height))
            shape = max(1, round(self.height * scale)), max(1, round(self.width * scale))
            window = Window(0, 0, self.width, self.height)
            self._overviews[longest] = self._read(window, shape)
        return self._overviews[longest]

    def _read(self, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        values, valid = self._values(window, shape)
        pixels: Pixels = self._shown(values)
        if not valid.all():
            pixels = np.where(valid, pixels, np.uint8(0))
        colours = pixels if len(pixels) == 3 else np.repeat(pixels, 3, axis=0)
        return np.stack(list(colours), axis=-1), valid

    def _shown(self, values: NDArray[Any]) -> Pixels:
        if values.dtype == np.uint8 and self.stretch == (0.0, 255.0):
            return values
        if values.dtype in (np.uint8, np.uint16):
            shades: Pixels = self._shades[values]
            return shades
        return self._stretched(values)

    @cached_property
    def _shades(self) -> Pixels:
        """The shade of every value of 16 bits without sign: quicker to look up than to compute."""
        return self._stretched(np.arange(1 << 16))

    def _stretched(self, values: NDArray[Any]) -> Pixels:
        low, high = self.stretch
        scaled = (values.astype(np.float32) - low) * (255 / (high - low))
        stretched: Pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
        return stretched

    def _values(self, window: Window, shape: tuple[int, int]) -> tuple[NDArray[Any], Valid]:
        """Values (bands, h, w) as the file has them, and which pixels hold data (h, w)."""
        view = self._rasterio.windows.Window(*window)
        try:
            values = self._file.read(self.bands, window=view, out_shape=(len(self.bands), *shape))
            valid = self._valid(view, shape)
        except self._rasterio.errors.RasterioError as error:
            raise UserError(
                self.path, f"cannot be read at {tuple(window)} ({error})",
                "the file is damaged: get it again",
            ) from None  # fmt: skip
        if np.issubdtype(values.dtype, np.floating):
            finite = np.isfinite(values).all(axis=0)
            values, valid = np.where(finite, values, 0), valid & finite
        return values, valid

    def _valid(self, view: Any, shape: tuple[int, int]) -> Valid:  # noqa: ANN401 - no types
        flags = (self._file.mask_flag_enums[band - 1] for band in self.bands)
        if all(flag == [self._rasterio.enums.MaskFlags.all_valid] for flag in flags):
            return np.ones(shape, dtype=bool)
        masks = self._file.read_masks(self.bands, window=view, out_shape=(len(self.bands), *shape))
        valid: Valid = (masks > 0).all(axis=0)
        return valid

    def _opened(self) -> Any:  # noqa: ANN401 - rasterio has no types
        if not self.path.is_file():
            raise UserError(self.path, "there is no such scene", "correct --image")
        try:
            # a scene without coordinates is welcome
            with without_warnings(self._rasterio.errors.NotGeoreferencedWarning):
                file = self._rasterio.open(self.path)
        except self._rasterio.errors.RasterioError as error:
            raise UserError(
                self.path, f"is not a raster image ({error})", "give a GeoTIFF, PNG or JPEG file"
            ) from None
        if file.count == 0:
            file.close()
            raise UserError(self.path, "holds no bands", "name the subdataset, or convert it")
        return file

    def _chosen(self, bands: Sequence[int] | None) -> list[int]:
        count = self._file.count
        if bands is None:
            return [1, 2, 3] if count >= 3 else [1]
        if len(bands) not in (1, 3) or not all(1 <= band <= count for band in bands):
            wanted = ",".join(map(str, bands))
            raise UserError(
                f"--bands {wanted}",
                f"{self.path} has {count} bands",
                f"name three of 1 to {count} for red, green and blue, or one for grey",
            )
        return list(bands)

    def _default_stretch(self) -> tuple[float, float]:
        if all(self._file.dtypes[band - 1] == "uint8" for band in self.bands):
            return 0.0, 255.0
        scale = min(1.0, OVERVIEW_SIDE / max(self.width, self.height))
        shape = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        values, valid = self._values(Window(0, 0, self.width, self.height), shape)
        if not valid.any():
            raise UserError(self.path, "holds no data", "check its no-data value and its mask")
        low, high = np.percentile(values[:, valid].astype(np.float64), PERCENTILES)
        if high <= low:
            raise UserError(
                self.path, f"is {low:g} nearly everywhere", "name the range by --stretch LOW,HIGH"
            )
        return float(low), float(high)


def import_rasterio() -> Any:  # noqa: ANN401 - rasterio has no types
    """The package rasterio; raises RunError with the command that installs it."""
    # GDAL keeps decoded blocks in up to 5 % of the machine's memory, unless it is told
    os.environ.setdefault("GDAL_CACHEMAX", str(CACHE_MEGABYTES))
    try:
        import rasterio
        import rasterio.enums
        import rasterio.errors
        import rasterio.features
        import rasterio.warp
        import rasterio.windows
    except ImportError:
        raise RunError("scenes", "rasterio is not installed", INSTALL) from None
    # it logs what it raises as well
    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    return rasterio
