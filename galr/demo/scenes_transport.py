"""Scenes of traffic on land: airport, helipad, parking lot, roundabout."""

from __future__ import annotations

import numpy as np

from galr.demo import places, vehicles
from galr.demo.canvas import Canvas, Pose, ellipse, fits, rectangle, tint
from galr.demo.colours import CARS, pick
from galr.demo.story import Story, Thing, seen


def airport(canvas: Canvas) -> Story:
    """Planes in a row before a terminal, or on a runway between meadows."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-10, 20))))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    return _runway(canvas, base) if rng.random() < 0.35 else _apron(canvas, base)


def _apron(canvas: Canvas, base: Pose) -> Story:
    rng = canvas.rng
    canvas.patch(base(rectangle(170, 86)), places.CONCRETE, 7)
    for x in range(-80, 81, 10):
        canvas.line(base([(x, -43), (x, 43)]), 0.3, tint(places.CONCRETE, -22))
    places.building(canvas, base.at(0, -32), 96, 15, (196, 198, 202))
    name, colour = pick(rng, {"white": (238, 240, 242), "silver": (190, 196, 204)})
    length = float(rng.uniform(15, 25))
    canvas.line(base([(-80, 30), (80, 30)]), 0.7, (214, 178, 70))
    wanted, start = int(rng.integers(1, 6)), rng.uniform(-34, -14)
    for step in range(wanted):
        pose = base.at(start + step * (length + 2), -10, float(rng.normal(0, 3)))
        if fits(pose(rectangle(length, length)), 1):
            vehicles.plane(canvas, pose, length, colour)
    if not canvas.boxes:
        vehicles.plane(canvas, base, length, colour)
    size = "large" if length > 21 else "small" if length < 18 else name
    return Story(
        "airport",
        ("airport", "airport with a terminal"),
        seen(canvas, "plane", ("plane", "airplane", "aircraft/aircraft"), (name, size)),
        ("parked", "standing"),
        ("on the apron", "in front of the terminal", "on the gray concrete"),
        (Thing(1, ("terminal", "terminal building"), ("long", "gray")),),
        ("The terminal building casts a shadow on the apron",),
    )


def _runway(canvas: Canvas, base: Pose) -> Story:
    rng = canvas.rng
    canvas.patch(base(rectangle(200, 20)), places.ASPHALT, 7)
    for x in range(-90, 91, 9):
        canvas.line(base([(x, 0), (x + 5, 0)]), 0.7, places.WHITE)
    for y in (-9, 9):
        canvas.line(base([(-100, y), (100, y)]), 0.5, places.WHITE)
    name, colour = pick(rng, {"white": (240, 240, 240), "silver": (190, 196, 204)})
    length = float(rng.uniform(15, 19))
    for step in range(int(rng.integers(1, 3))):
        vehicles.plane(canvas, base.at(-24 + 44 * step, 0, 90), length, colour)
    return Story(
        "airport",
        ("airport", "airfield"),
        seen(canvas, "plane", ("plane", "airplane", "aircraft/aircraft"), (name,)),
        ("moving", "waiting"),
        ("on the runway", "on a long straight runway"),
        (Thing(None, ("grass", "lawn"), ("green",)),),
        ("The runway runs straight through the green grass",),
    )


def helipad(canvas: Canvas) -> Story:
    """Helicopters, each on its marked circle."""
    rng = canvas.rng
    canvas.ground(places.GRASS)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    count = int(rng.integers(1, 4))
    canvas.patch(base(rectangle(28 * count + 10, 40)), tint(places.ASPHALT, 20), 6)
    name, colour = pick(
        rng, {"red": (190, 52, 44), "white": (236, 236, 236), "blue": (52, 84, 150)}
    )
    for step in range(count):
        place = base.at((step - (count - 1) / 2) * 28, 0, float(rng.normal(0, 20)))
        canvas.outline(ellipse(23, 23, place.x, place.y), 1.0, (226, 190, 60))
        vehicles.helicopter(canvas, place, float(rng.uniform(18, 22)), colour)
    places.trees_beside(canvas, 14, base, 22)
    return Story(
        "helipad",
        ("helipad", "heliport"),
        seen(canvas, "helicopter", ("helicopter",), (name,)),
        ("standing", "parked"),
        ("on the helipad", "on marked circles" if count > 1 else "on a marked circle"),
        (Thing(None, ("green meadows",)), Thing(None, ("scattered trees",))),
        (f"Yellow circles mark where the {name} helicopters land",)
        if count > 1
        else (f"A yellow circle marks where the {name} helicopter has landed",),
    )


def parking_lot(canvas: Canvas) -> Story:
    """Rows of marked places, some of them free; sometimes lorries."""
    rng = canvas.rng
    canvas.ground(tint(places.ASPHALT, int(rng.integers(-4, 30))), 6)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    trucks = bool(rng.random() < 0.3)
    pitch, depth, length = (6, 15, 12.0) if trucks else (3.6, 7, 5.2)
    share = float(rng.choice([0.12, 0.5, 0.95]))
    name, colour = pick(rng, CARS)
    for y in range(-56, 57, 24 if trucks else 15):
        for x in np.arange(-70, 70, pitch):
            place = base.at(x, y)
            canvas.line(
                place([(-pitch / 2, -depth / 2), (-pitch / 2, depth / 2)]), 0.4, places.WHITE
            )
            if y > -35 and rng.random() < share and fits(place(rectangle(pitch, length)), 2):
                turned = base.at(x, y, float(rng.choice([0, 180])))
                paint = colour if trucks else pick(rng, CARS)[1]
                draw = vehicles.truck if trucks else vehicles.car
                draw(canvas, turned, paint, length)
    if not canvas.boxes:
        vehicles.car(canvas, base, colour, 5.2)
    places.trees_along(canvas, base.at(0, -46), 120, 2.5)
    count = len(canvas.boxes)
    fill = {0.12: "nearly empty", 0.5: "half full", 0.95: "crowded"}[share]
    main = (
        seen(canvas, "large-vehicle", ("truck", "lorry/lorries"), (name,))
        if canvas.count("large-vehicle")
        else seen(canvas, "small-vehicle", ("car", "vehicle"), ("colorful",) if count > 10 else ())
    )
    return Story(
        "parkinglot",
        ("parking lot", f"{fill} parking lot"),
        main,
        ("parked", "standing"),
        ("in the parking lot", "between white lines", "in rows"),
        (Thing(None, ("a row of trees", "a line of green trees")),),
        (f"The parking lot is {fill}", "White lines divide the parking lot"),
    )


def roundabout(canvas: Canvas) -> Story:
    """A ring of road with three to five arms and cars on them."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-6, 20))))
    x, y = (float(value) for value in rng.uniform(42, 58, 2))
    arms = int(rng.integers(3, 6))
    start = float(rng.uniform(0, 360))
    turns = [start + 360 * arm / arms + float(rng.normal(0, 5)) for arm in range(arms)]
    for turn in turns:
        places.road(canvas, Pose(x, y, turn)([(0, 0), (0, -120)]), 8)
    diameter = float(rng.uniform(32, 46))
    name, island = pick(rng, {"green": (92, 128, 62), "brown": (158, 126, 90)})
    places.roundabout(canvas, x, y, diameter, island)
    for turn in turns:
        place = Pose(x, y, turn).at(1.9, -diameter / 2 - float(rng.uniform(5, 9)))
        if rng.random() < 0.6 and fits(place(rectangle(3, 6))):
            vehicles.car(canvas, place, pick(rng, CARS)[1], 5.0)
    roads = Thing(arms, ("road", "street"))
    return Story(
        "roundabout",
        ("road junction", "intersection"),
        seen(canvas, "roundabout", ("roundabout", "traffic circle")),
        ("located", "built"),
        (f"where {roads.phrase(rng)} meet", f"around a {name} island"),
        (roads, seen(canvas, "small-vehicle", ("car", "vehicle"))),
        (
            f"The island in the middle of the roundabout is {name}",
            f"{roads.phrase(rng)} lead to the roundabout",
        ),
    )
