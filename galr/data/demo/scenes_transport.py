"""Scenes of traffic: airport, helipad, harbour, open sea, parking lot, roundabout, bridge."""

from __future__ import annotations

import numpy as np

from galr.data.demo import places, vehicles
from galr.data.demo.canvas import Canvas, Colour, Pose, ellipse, fits, rectangle, scatter, tint
from galr.data.demo.colours import CARS, SHIPS, pick
from galr.data.demo.story import Story, Thing, seen

TREES = ("tree", "green tree")


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
    _scatter_trees(canvas, 14, base, 22)
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


def harbour(canvas: Canvas) -> Story:
    """Boats on both sides of piers, or large ships along a quay."""
    rng = canvas.rng
    canvas.ground(tint(places.SEA, int(rng.integers(-8, 14))), 7)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    return _marina(canvas, base) if rng.random() < 0.5 else _quay(canvas, base)


def _marina(canvas: Canvas, base: Pose) -> Story:
    rng = canvas.rng
    piers = int(rng.integers(1, 4))
    length = float(rng.uniform(8, 11))
    for step in range(piers):
        x = (step - (piers - 1) / 2) * 30
        pier = base.at(x, 0)(rectangle(3, 84))
        canvas.polygon(pier, (196, 186, 168))
        canvas.record("harbor", pier)
        for side in (-1, 1):
            for y in np.arange(-32, 33, length * 0.5):
                pose = base.at(x + side * (2 + length / 2), y, 90.0 * side)
                if rng.random() < 0.75 and fits(pose(rectangle(length, length))):
                    vehicles.boat(
                        canvas, pose, length, tint(places.WHITE, int(rng.integers(-30, 8)))
                    )
    return Story(
        "harbor",
        ("marina", "harbor", "port"),
        seen(canvas, "ship", ("boat", "yacht"), ("white", "small")),
        ("moored", "docked"),
        (
            "on both sides of the pier" if piers == 1 else "on both sides of the piers",
            "in the dark blue water",
        ),
        (seen(canvas, "harbor", ("pier", "jetty/jetties"), ("long", "straight")),),
        (f"Boats are packed closely along {Thing(piers, ('pier',)).phrase(rng)}",),
    )


def _quay(canvas: Canvas, base: Pose) -> Story:
    rng = canvas.rng
    quay = base(rectangle(200, 60, 0, -42))
    canvas.patch(quay, tint(places.CONCRETE, -8), 7)
    canvas.record("harbor", quay)
    _container_stacks(canvas, base)
    name, colour = pick(rng, SHIPS)
    cargo = bool(rng.random() < 0.5)
    wanted = int(rng.integers(1, 4))
    length = float(rng.uniform(30, 42)) if wanted < 3 else float(rng.uniform(24, 27))
    for step in range(wanted):
        pose = base.at((step - (wanted - 1) / 2) * (length + 3), -12 + length * 0.14, 90)
        if fits(pose(rectangle(length * 0.2, length)), 0):
            vehicles.ship(canvas, pose, length, colour, cargo)
    if not canvas.count("ship"):
        vehicles.ship(canvas, base.at(0, length * 0.14 - 12, 90), length, colour, cargo)
    kind = ("cargo ship", "container ship") if cargo else ("ship", "vessel")
    return Story(
        "harbor",
        ("port", "harbor", "dock"),
        seen(canvas, "ship", kind, (name, "large") if length > 28 else (name,)),
        ("moored", "docked"),
        ("at the quay", "along the quay", "beside the gray quay"),
        (Thing(None, ("stacks of containers", "colorful containers")),),
        ("Containers in several colors are stacked on the quay",),
    )


def _container_stacks(canvas: Canvas, base: Pose) -> None:
    colours: list[Colour] = [(168, 62, 48), (52, 92, 142), (190, 148, 60), (92, 120, 92)]
    for x in range(-66, 67, 9):
        for y in (-22, -28, -34, -46, -52):
            if canvas.rng.random() < 0.75:
                box = base.at(x, y)(rectangle(7.6, 3.4))
                canvas.shadow(box, 0.8)
                canvas.polygon(box, colours[canvas.rng.integers(4)])


def sea(canvas: Canvas) -> Story:
    """Ships under way on open water."""
    rng = canvas.rng
    canvas.ground(tint(places.SEA, int(rng.integers(-12, 22))), 6)
    name, colour = pick(rng, SHIPS)
    heading = float(rng.uniform(0, 360))
    length = float(rng.uniform(16, 34))
    spots = scatter(rng, int(rng.integers(1, 5)), length)
    poses = [Pose(x, y, heading + float(rng.normal(0, 8))) for x, y in spots]
    for pose in poses:
        vehicles.wake(canvas, pose, length)
    for pose in poses:
        vehicles.ship(canvas, pose, length, colour)
    size = "large" if length > 27 else "small" if length < 20 else name
    count = canvas.count("ship")
    return Story(
        "sea",
        ("calm sea", "blue sea"),
        seen(canvas, "ship", ("ship", "vessel"), (name, size)),
        ("sailing", "moving"),
        ("on the open sea", "on the dark blue water"),
        (Thing(None, ("white waves", "white foam")),),
        (
            "White foam follows the ship through the blue water"
            if count == 1
            else "White foam follows the ships through the blue water",
        ),
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


def bridge(canvas: Canvas) -> Story:
    """A river and a bridge across it, with traffic and at times a boat."""
    rng = canvas.rng
    bank, land = pick(rng, {"green": places.GRASS, "brown": places.SOIL})
    canvas.ground(land)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    width = float(rng.uniform(26, 52))
    water = tint((58, 92, 92), int(rng.integers(-14, 14)))
    bend = float(rng.uniform(-8, 8))
    shore = [(x, bend * np.sin(x / 30)) for x in np.linspace(-100, 100, 30)]
    canvas.line(base(shore), width + 3, tint(land, 28))
    canvas.line(base(shore), width, water)
    deck = base(rectangle(10, width + 10))
    canvas.shadow(deck, 3)
    places.road(canvas, base([(0, -100), (0, 100)]), 8, tint(places.ASPHALT, 20))
    canvas.record("bridge", deck)
    for y in rng.permutation(np.arange(-36, 37, 9))[: rng.integers(0, 5)]:
        side = float(rng.choice([-1, 1]))
        vehicles.car(canvas, base.at(2 * side, y, 90 + 90 * side), pick(rng, CARS)[1], 4.4)
    if rng.random() < 0.4:
        vehicles.ship(canvas, base.at(24, 0, 90), 15, places.WHITE)
    _scatter_trees(canvas, 18, base, width / 2 + 9)
    size = "wide" if width > 38 else "narrow"
    return Story(
        "bridge",
        ("river landscape", "riverside area"),
        seen(canvas, "bridge", ("bridge", "road bridge")),
        ("built", "seen"),
        (f"across the {size} river", "over the green water"),
        (
            Thing(None, ("trees",), ("green",)),
            seen(canvas, "small-vehicle", ("car",)),
            seen(canvas, "ship", ("boat", "ship"), ("white",)),
        ),
        (
            f"The bridge connects the two {bank} banks of the river",
            f"A {size} river flows under the bridge",
        ),
    )


def _scatter_trees(canvas: Canvas, count: int, base: Pose, clear: float) -> None:
    """Trees at least ``clear`` from the x axis of ``base``, and off the road across it."""
    for x, y in canvas.rng.uniform(-70, 70, (count, 2)):
        if abs(y) > clear and abs(x) > 8:
            place = base.at(x, y)
            places.tree(canvas, place.x, place.y, float(canvas.rng.uniform(1.6, 3.2)))
