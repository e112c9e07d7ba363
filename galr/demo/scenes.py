"""The scenes of the demo data and how one of them becomes an image with captions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from galr.demo import scenes_land as land
from galr.demo import scenes_nature as nature
from galr.demo import scenes_sport as sport
from galr.demo import scenes_transport as transport
from galr.demo import scenes_water as water
from galr.demo.canvas import Box, Canvas
from galr.demo.scenes_small import small_objects
from galr.demo.story import Story, captions

SCENES: tuple[Callable[[Canvas], Story], ...] = (
    transport.airport,
    nature.forest,
    water.harbour,
    land.storage_tanks,
    sport.tennis,
    water.bridge,
    land.houses,
    sport.stadium,
    transport.parking_lot,
    land.farmland,
    sport.basketball,
    transport.roundabout,
    nature.beach,
    sport.baseball,
    water.sea,
    nature.desert,
    sport.football,
    transport.helipad,
)

SMALL_OBJECTS = (small_objects,)


@dataclass(frozen=True)
class Scene:
    """A drawn scene: the picture, the objects in it, what is said of it."""

    kind: str
    picture: Image.Image
    boxes: tuple[Box, ...]
    captions: tuple[str, ...]


def draw_scene(draw: Callable[[Canvas], Story], rng: np.random.Generator) -> Scene:
    """Draws one scene and writes its five captions."""
    canvas = Canvas(rng)
    story = draw(canvas)
    boxes = tuple(canvas.boxes)
    return Scene(story.kind, canvas.picture(), boxes, tuple(captions(story, boxes, rng)))
