"""A large scene composed of the demo's places, with the polygons of those that are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from galr.common.atomic import atomic_path, write_json
from galr.demo import scenes_land as land
from galr.demo import scenes_nature as nature
from galr.demo import scenes_sport as sport
from galr.demo import scenes_transport as transport
from galr.demo import scenes_water as water
from galr.demo.canvas import Canvas
from galr.demo.story import Story

CELL = 500  # pixels a place is wide
COLUMNS, ROWS = 8, 6
NAME = "scene.jpg"
ANNOTATIONS = "anno.json"

# what is asked for, and how many of them there are
PLACES = (
    (transport.airport, "several planes in an airport", 2),
    (water.harbour, "several ships in a harbor", 2),
    (land.storage_tanks, "storage tanks on the ground", 2),
    (sport.tennis, "several tennis courts side by side", 1),
    (water.bridge, "a bridge over the water", 2),
    (land.houses, "many houses in a residential area", 2),
    (sport.stadium, "a red track around a football field", 1),
    (transport.parking_lot, "a parking lot with many cars", 2),
    (sport.basketball, "a basketball court", 1),
    (transport.roundabout, "a roundabout where several roads meet", 1),
    (sport.baseball, "a baseball field in a park", 1),
    (transport.helipad, "a helicopter on a helipad", 1),
)
LAND = (nature.forest, land.farmland, nature.desert)


def make_large_scene(folder: str | Path, seed: int = 0, cell: int = CELL) -> tuple[int, int]:
    """Draws ``scene.jpg`` of 4,000 x 3,000 pixels and ``anno.json`` in the published layout.

    Squares of a place each, ``cell`` pixels wide; the same seed gives the same scene. Returns width
    and height.
    """
    rng = np.random.default_rng([seed, COLUMNS, ROWS])
    order = rng.permutation(COLUMNS * ROWS).tolist()
    scene = Image.new("RGB", (COLUMNS * cell, ROWS * cell))
    entries = []
    for draw, caption, count in PLACES:
        corners = [_corner(order.pop(), cell) for _ in range(count)]
        for corner in corners:
            scene.paste(_drawn(draw, rng, cell), corner)
        points = [_square(*corner, cell) for corner in corners]
        entries.append({"jpg_name": NAME, "caption": caption, "points": points})
    for place in order:
        scene.paste(_drawn(LAND[place % len(LAND)], rng, cell), _corner(place, cell))
    folder = Path(folder)
    with atomic_path(folder / NAME) as temporary:
        scene.save(temporary, format="JPEG", quality=92)
    write_json(folder / ANNOTATIONS, entries)
    return scene.size


def _drawn(draw: Callable[[Canvas], Story], rng: np.random.Generator, side: int) -> Image.Image:
    canvas = Canvas(rng, side)
    draw(canvas)
    return canvas.picture()


def _corner(place: int, cell: int) -> tuple[int, int]:
    return place % COLUMNS * cell, place // COLUMNS * cell


def _square(left: int, top: int, side: int) -> list[list[int]]:
    right, bottom = left + side, top + side
    return [[left, top], [right, top], [right, bottom], [left, bottom]]
