"""Scenes of land: storage tanks, houses, farmland, forest, desert, beach."""

from __future__ import annotations

import numpy as np

from galr.demo import places, vehicles
from galr.demo.canvas import (
    Canvas,
    Colour,
    Pose,
    blob,
    bounds,
    ellipse,
    fits,
    rectangle,
    scatter,
    tint,
)
from galr.demo.choice import one_of, two_of
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


def forest(canvas: Canvas) -> Story:
    """Trees close to one another, at times with a path or a pond."""
    rng = canvas.rng
    canvas.ground((58, 80, 44))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    density = float(rng.choice([0.3, 1.0]))
    extra = one_of(rng, ["none", "path", "pond"])
    for x, y in rng.uniform(0, 100, (int(520 * density), 2)):
        places.tree(canvas, float(x), float(y), float(rng.uniform(2, 3.6)))
    beside, remarks = [], ["Green trees cover the ground"]
    if extra == "path":
        bend = [(x, 6 * np.sin(x / 14)) for x in np.linspace(-90, 90, 40)]
        canvas.line(base(bend), 3.2, (178, 156, 118))
        beside.append(Thing(1, ("path", "trail"), ("winding", "narrow")))
        remarks.append("A path winds through the forest")
    elif extra == "pond":
        x, y = rng.uniform(30, 70, 2)
        pond = blob(rng, float(rng.uniform(12, 18)), x, y, corners=28)
        canvas.patch(pond, (52, 84, 88), 5)
        beside.append(Thing(1, ("pond", "lake"), ("small",)))
        remarks.append("A small pond lies between the trees")
    name = "dense" if density == 1.0 else "sparse"
    return Story(
        "forest",
        (f"{name} forest", "forest", "wood"),
        Thing(None, ("many green trees", "green trees", "lots of trees"), plural=True),
        ("growing", "planted"),
        ("in the forest", "on the ground"),
        tuple(beside),
        tuple(remarks),
    )


def desert(canvas: Canvas) -> Story:
    """Dunes of sand, with nothing else but a bush or a rock."""
    rng = canvas.rng
    name, colour = pick(rng, {"yellow": (212, 182, 122), "reddish": (196, 136, 92)})
    canvas.ground(colour, 10)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    pitch, height = float(rng.uniform(7, 16)), float(rng.uniform(1, 4))
    for y in np.arange(-75, 76, pitch):
        phase = rng.uniform(0, 7)
        crest = np.array([(x, y + height * np.sin(x / 9 + phase)) for x in range(-80, 81, 2)])
        for step in range(5):
            canvas.line(base.at(0, step * 0.6)(crest), 0.9, tint(colour, -42), 0.12 + 0.05 * step)
        canvas.line(base.at(0, -0.7)(crest), 0.8, tint(colour, 28), 0.6)
    bushes = scatter(rng, int(rng.integers(0, 6)), 4)
    for x, y in bushes:
        places.tree(canvas, x, y, 1.5)
    return Story(
        "desert",
        (f"{name} desert", "desert"),
        Thing(None, ("sand dunes", f"{name} dunes", "wavy dunes"), plural=True),
        ("spread out", "shaped by the wind"),
        ("in the desert", "under the sun"),
        (Thing(len(bushes), ("bush/bushes", "shrub"), ("green", "small")),),
        (f"The sand of the desert is {name}", "Long waves run through the sand"),
    )


def beach(canvas: Canvas) -> Story:
    """Sea, surf and sand, with parasols or boats."""
    rng = canvas.rng
    name, water = pick(rng, {"blue": (42, 108, 142), "green": (58, 138, 128)})
    canvas.ground(water, 7)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    shore = float(rng.uniform(-14, 4))
    waves = np.array([(x, shore + 1.6 * np.sin(x / 7)) for x in range(-90, 91, 3)])
    land = np.concatenate([waves, [(90, 120), (-90, 120)]])
    for reach, opacity in ((-7, 0.25), (-4, 0.4), (-1.6, 0.9)):
        canvas.line(base.at(0, reach)(waves), 1.6, (232, 240, 240), opacity)
    canvas.patch(base(land), places.SAND, 8)
    canvas.patch(base.at(0, 30)(land), tint(places.GRASS, -4), 12)
    parasols = _parasols(canvas, base, shore) if rng.random() < 0.6 else 0
    if rng.random() < 0.5:
        for x in rng.permutation([-26, -8, 10, 28])[: rng.integers(1, 4)]:
            vehicles.boat(
                canvas, base.at(float(x), shore - 18, float(rng.uniform(0, 360))), 7, places.WHITE
            )
    for x, y in rng.uniform(-70, 70, (30, 2)):
        if y > shore + 34:
            place = base.at(x, y)
            places.tree(canvas, place.x, place.y, 2.4)
    return Story(
        "beach",
        ("beach", "sandy beach"),
        Thing(None, ("yellow sand", "fine sand", "bright sand")),
        ("seen", "located"),
        (f"beside the {name} sea", f"along the {name} water"),
        (
            Thing(None, ("green trees", "green plants")),
            Thing(None, ("white waves",)),
            seen(canvas, "ship", ("boat",), ("white", "small")),
            Thing(parasols, ("parasol", "umbrella"), ("colorful",)),
        ),
        (f"The {name} sea washes the beach", "White waves roll onto the sand"),
    )


def _parasols(canvas: Canvas, base: Pose, shore: float) -> int:
    drawn = 0
    for x in range(-40, 41, 8):
        place = base.at(x, shore + float(canvas.rng.uniform(8, 20)))
        if canvas.rng.random() < 0.5 and fits(ellipse(4, 4, place.x, place.y)):
            shape = ellipse(3.6, 3.6, place.x, place.y)
            canvas.shadow(shape, 1.5)
            canvas.polygon(shape, pick(canvas.rng, ROOFS)[1])
            drawn += 1
    return drawn
