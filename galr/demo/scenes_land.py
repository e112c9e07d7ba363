"""Scenes of land in use: storage tanks, houses, farmland."""

from __future__ import annotations

import numpy as np

from galr.demo import places, vehicles
from galr.demo.canvas import (
    Canvas,
    Colour,
    Pose,
    bounds,
    ellipse,
    fits,
    rectangle,
    tint,
)
from galr.demo.choice import two_of
from galr.demo.colours import CARS, ROOFS, pick
from galr.demo.story import Story, Thing, seen

CROPS: dict[str, Colour] = {
    "green": (112, 142, 70),
    "yellow": (196, 178, 92),
    "brown": (150, 116, 80),
    "dark green": (74, 106, 60),
}


def storage_tanks(canvas: Canvas) -> Story:
    """Tanks in a grid or at random on bare ground, with a road."""
    rng = canvas.rng
    floor, ground = pick(
        rng, {"gray": places.CONCRETE, "brown": places.SOIL, "green": places.GRASS}
    )
    canvas.ground(ground, 10)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    places.road(canvas, base([(-100, 44), (100, 44)]), 6)
    name, colour = pick(rng, {"white": (236, 236, 232), "gray": (168, 172, 176)})
    size = float(rng.uniform(9, 24))
    columns = int(np.clip(rng.integers(1, 5), 1, 62 // (size * 1.4)))
    rows = int(np.clip(rng.integers(1, 4), 1, 62 // (size * 1.4)))
    canvas.patch(
        base(rectangle(columns * size * 1.4 + 4, rows * size * 1.4 + 4)), tint(ground, -16), 8
    )
    for column in range(columns):
        for row in range(rows):
            spot = base.at(
                *(size * 1.4 * np.array((column - (columns - 1) / 2, row - (rows - 1) / 2)))
            )
            if fits(ellipse(size, size, spot.x, spot.y)):
                places.tank(canvas, spot.x, spot.y, size, colour)
    count = canvas.count("storage-tank")
    big = "large" if size > 18 else "small" if size < 12 else name
    return Story(
        "storagetanks",
        ("oil depot", "factory", "storage area"),
        seen(canvas, "storage-tank", ("storage tank", "oil tank"), (name, big)),
        ("standing", "arranged neatly") if count > 1 else ("standing",),
        (f"on the {floor} ground", "near a straight road"),
        (Thing(1, ("road", "street"), ("straight",)),),
        (f"The ground around the {name} storage tank{'s' * (count > 1)} is {floor}",),
    )


def houses(canvas: Canvas) -> Story:
    """Houses along streets with gardens, cars and at times swimming pools."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-6, 22))))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    dense = bool(rng.random() < 0.5)
    pitch, name = (13.0, "dense") if dense else (24.0, "sparse")
    roofs, roof = pick(rng, ROOFS)
    streets = (-30, 30) if dense else (0,)
    for y in streets:
        places.road(canvas, base([(-100, y), (100, y)]), 5)
        _gardens(canvas, base.at(0, y), pitch, roof)
    for x, y in rng.uniform(-60, 60, (10, 2)):
        place = base.at(x, y)
        box = bounds("", rectangle(5, 5, place.x, place.y))
        clear = all(abs(y - street) > 24 for street in streets)
        if clear and not any(box.overlaps(other) for other in canvas.boxes):
            places.tree(canvas, place.x, place.y, 2.4)
    pools = seen(canvas, "swimming-pool", ("swimming pool", "pool"), ("blue",))
    remarks = [f"The houses have {roofs} roofs"]
    if pools.count:
        where = "a house" if pools.count == 1 else "the houses"
        remarks.append(f"{pools.phrase(rng)} can be seen beside {where}")
    return Story(
        "residential",
        (f"{name} residential area", "residential area", "village"),
        Thing(None, (f"houses with {roofs} roofs", "many houses"), plural=True),
        ("arranged neatly", "built"),
        ("along the road", "on both sides of the road")
        if len(streets) == 1
        else ("along the roads", "beside two straight roads"),
        (
            Thing(len(streets), ("road", "street"), ("straight",)),
            pools,
            seen(canvas, "small-vehicle", ("car",)),
        ),
        tuple(remarks),
    )


def _gardens(canvas: Canvas, street: Pose, pitch: float, roof: Colour) -> None:
    rng = canvas.rng
    for x in np.arange(-66, 67, pitch):
        for side in (-1, 1):
            spot = street.at(x + rng.uniform(-1, 1), side * 11, float(rng.normal(0, 4)))
            places.house(
                canvas,
                spot,
                rng.uniform(8, 10.5),
                rng.uniform(7, 9),
                tint(roof, float(rng.uniform(-14, 14))),
            )
            garden = street.at(x, side * 20)
            chance = rng.random()
            if pitch > 20 and chance < 0.35 and fits(garden(rectangle(9, 6))):
                places.pool(canvas, garden, 6.5, 3.6)
            else:
                places.tree(canvas, garden.x, garden.y, float(rng.uniform(1.6, 2.6)))
            kerb = street.at(x + pitch / 2, side * 1.4, 90)
            if rng.random() < 0.2 and fits(kerb(rectangle(4, 5))):
                vehicles.car(canvas, kerb, pick(rng, CARS)[1], 4.4)


def farmland(canvas: Canvas) -> Story:
    """Fields of two crops, ploughed in stripes; circles where they are watered from the middle."""
    rng = canvas.rng
    canvas.ground(places.SOIL)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    first, second = two_of(rng, CROPS)
    round_fields = bool(rng.random() < 0.35)
    size = 36.0 if round_fields else float(rng.uniform(24, 40))
    for column in range(-3, 4):
        for row in range(-3, 4):
            crop = CROPS[first if (column + row) % 2 else second]
            spot = base.at(column * size, row * size, 90.0 * (row % 2))
            _field(canvas, spot, size - 1.5, tint(crop, int(rng.integers(-10, 10))), round_fields)
    shape = "circular" if round_fields else "rectangular"
    return Story(
        "farmland",
        ("farmland", "piece of farmland"),
        Thing(None, (f"{shape} fields", f"{first} and {second} fields"), plural=True),
        ("arranged neatly", "divided clearly"),
        ("on the flat land", "next to each other"),
        (Thing(None, ("bare soil", "brown soil")),),
        (
            f"The fields are {first} and {second}",
            f"{shape} fields of {first} and {second} cover the land",
        ),
    )


def _field(canvas: Canvas, pose: Pose, size: float, colour: Colour, circular: bool) -> None:
    shape = ellipse(size, size) if circular else rectangle(size, size)
    canvas.patch(pose(shape), colour, 9)
    for x in np.arange(-size / 2 + 1.5, size / 2 - 1, 2.4):
        reach = np.sqrt(max(size**2 / 4 - x**2, 0)) if circular else size / 2
        canvas.line(pose([(x, -reach), (x, reach)]), 0.5, tint(colour, -26), 0.5)
