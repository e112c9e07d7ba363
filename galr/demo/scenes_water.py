"""Scenes of water: harbor, open sea, river with a bridge."""

from __future__ import annotations

import numpy as np

from galr.demo import places, vehicles
from galr.demo.canvas import Canvas, Colour, Pose, fits, rectangle, scatter, tint
from galr.demo.colours import CARS, SHIPS, pick
from galr.demo.story import Story, Thing, seen


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
    places.trees_beside(canvas, 18, base, width / 2 + 9)
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
