"""A scene whose right place is known, and GeoTIFF files of scenes."""

import numpy as np
import rasterio
from PIL import Image

SIDE = 40
PLACE = (3, 1)  # column and row of the tile that the query describes


def scene_pixels(learned):
    """A scene of 5 x 4 tiles of one picture, but for the one that a caption describes."""
    caption, name = learned.pairs[0]
    other = learned.pairs[3][1]
    tiles = {
        key: np.asarray(Image.open(learned.images / key).convert("RGB")) for key in (name, other)
    }
    scene = np.tile(tiles[other], (4, 5, 1))
    left, top = PLACE[0] * SIDE, PLACE[1] * SIDE
    scene[top : top + SIDE, left : left + SIDE] = tiles[name]
    return caption, scene


def write_tiff(path, scene, **profile):
    bands = scene.transpose(2, 0, 1)
    with rasterio.open(
        path, "w", driver="GTiff", width=scene.shape[1], height=scene.shape[0], count=len(bands),
        dtype=scene.dtype, **profile,
    ) as file:  # fmt: skip
        file.write(bands)
