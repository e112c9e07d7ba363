"""Things that stay, drawn from above: courts, tanks, houses, trees, roads, bridges."""

from __future__ import annotations

import numpy as np

from galr.demo.canvas import (
    Canvas,
    Colour,
    Points,
    Pose,
    blob,
    ellipse,
    moved,
    rectangle,
    tint,
)

GRASS: Colour = (98, 122, 68)
CONCRETE: Colour = (164, 162, 154)
ASPHALT: Colour = (98, 99, 103)
SEA: Colour = (40, 78, 102)
SAND: Colour = (216, 198, 156)
SOIL: Colour = (158, 126, 90)
WHITE: Colour = (236, 236, 230)
CLAY: Colour = (176, 92, 62)
LEAVES: tuple[Colour, ...] = ((46, 78, 40), (58, 92, 46), (38, 66, 38), (72, 98, 50))


def tree(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A crown of leaves, lit from one side."""
    colour = LEAVES[canvas.rng.integers(len(LEAVES))]
    crown = blob(canvas.rng, radius, x, y)
    canvas.shadow(crown, radius * 0.6)
    canvas.polygon(crown, colour)
    light = blob(canvas.rng, radius * 0.5, x - radius * 0.2, y - radius * 0.2)
    canvas.polygon(light, tint(colour, 16), 0.8)


def trees_along(canvas: Canvas, pose: Pose, length: float, radius: float = 2.0) -> None:
    """A row of trees along the x axis of ``pose``."""
    for step in np.arange(-length / 2, length / 2, radius * 2.1):
        place = pose.at(step, canvas.rng.uniform(-0.3, 0.3) * radius)
        tree(canvas, place.x, place.y, radius * canvas.rng.uniform(0.8, 1.2))


def trees_beside(canvas: Canvas, count: int, base: Pose, clear: float) -> None:
    """Trees at least ``clear`` from the x axis of ``base``, and off the road across it."""
    for x, y in canvas.rng.uniform(-70, 70, (count, 2)):
        if abs(y) > clear and abs(x) > 8:
            place = base.at(x, y)
            tree(canvas, place.x, place.y, float(canvas.rng.uniform(1.6, 3.2)))


def building(canvas: Canvas, pose: Pose, width: float, depth: float, roof: Colour) -> None:
    """A flat roof with a parapet and a few boxes on it."""
    plan = pose(rectangle(width, depth))
    canvas.shadow(plan, 3.5)
    canvas.polygon(plan, tint(roof, -30))
    canvas.patch(pose(rectangle(width - 1, depth - 1)), roof, 5)
    for _ in range(int(width * depth / 60)):
        x, y = canvas.rng.uniform(-0.35, 0.35, 2) * (width, depth)
        canvas.polygon(pose.at(x, y)(rectangle(2, 1.6)), tint(roof, 35))


def house(canvas: Canvas, pose: Pose, width: float, depth: float, roof: Colour) -> None:
    """A gabled roof: its two halves differ in light."""
    canvas.shadow(pose(rectangle(width, depth)), 2.5)
    canvas.polygon(pose(rectangle(width, depth / 2, 0, -depth / 4)), tint(roof, 16))
    canvas.polygon(pose(rectangle(width, depth / 2, 0, depth / 4)), tint(roof, -22))
    canvas.line(pose([(-width / 2, 0), (width / 2, 0)]), 0.5, tint(roof, 40))


def pool(canvas: Canvas, pose: Pose, width: float, depth: float) -> None:
    """A swimming pool with its pale rim."""
    rim = pose(rectangle(width + 1.6, depth + 1.6))
    canvas.polygon(rim, (222, 216, 202))
    canvas.patch(pose(rectangle(width, depth)), (72, 180, 206), 6)
    canvas.record("swimming-pool", rim)


def tank(canvas: Canvas, x: float, y: float, diameter: float, colour: Colour) -> None:
    """A storage tank: a cylinder with a rim, a stair and a shadow."""
    plan = ellipse(diameter, diameter, x, y)
    for step in (0.4, 0.8):
        canvas.shadow(plan, diameter * 0.25 * step)
    canvas.polygon(plan, tint(colour, -45))
    canvas.polygon(ellipse(diameter * 0.93, diameter * 0.93, x, y), colour)
    canvas.outline(ellipse(diameter * 0.55, diameter * 0.55, x, y), 0.4, tint(colour, -30))
    pose = Pose(x, y, float(canvas.rng.uniform(0, 360)))
    canvas.line(pose([(0, 0), (diameter * 0.46, 0)]), 0.6, tint(colour, -60))
    canvas.record("storage-tank", plan)


def tennis_court(canvas: Canvas, pose: Pose, length: float, colours: tuple[Colour, Colour]) -> None:
    """A tennis court: an inner and an outer colour, white lines, a net."""
    outside, inside = colours
    plan = pose(rectangle(length * 0.56, length))
    canvas.patch(plan, outside, 5)
    canvas.patch(pose(rectangle(length * 0.36, length * 0.72)), inside, 5)
    for width in (0.36, 0.27):
        canvas.outline(pose(length * rectangle(width, 0.72)), 0.5, WHITE)
    for y in (-0.18, 0.18):
        canvas.line(pose(length * np.array([(-0.135, y), (0.135, y)])), 0.5, WHITE)
    canvas.line(pose(length * np.array([(0, -0.18), (0, 0.18)])), 0.5, WHITE)
    canvas.line(pose(length * np.array([(-0.21, 0), (0.21, 0)])), 0.8, (60, 62, 66))
    canvas.record("tennis-court", plan)


def basketball_court(canvas: Canvas, pose: Pose, length: float, colour: Colour) -> None:
    """A basketball court: a centre circle, and a key at either end."""
    plan = pose(rectangle(length * 0.56, length))
    canvas.patch(plan, colour, 5)
    canvas.outline(pose(length * rectangle(0.5, 0.92)), 0.6, WHITE)
    canvas.line(pose(length * np.array([(-0.25, 0), (0.25, 0)])), 0.6, WHITE)
    canvas.outline(pose(length * ellipse(0.18, 0.18)), 0.6, WHITE)
    for side in (-1, 1):
        key = length * (rectangle(0.18, 0.2, 0, side * 0.36))
        canvas.polygon(pose(key), tint(colour, -40))
        canvas.outline(pose(key), 0.6, WHITE)
        arc = ellipse(0.42, 0.42)
        arc = arc[arc[:, 1] * side <= 0]
        order = np.argsort(arc[:, 0])
        canvas.line(pose(length * (arc[order] + (0, side * 0.4))), 0.5, WHITE)
    canvas.record("basketball-court", plan)


def football_pitch(canvas: Canvas, pose: Pose, length: float) -> None:
    """A football field of mown stripes."""
    plan = pose(length * rectangle(0.64, 1))
    for stripe in range(10):
        band = rectangle(0.64, 0.1, 0, -0.45 + stripe * 0.1)
        canvas.polygon(pose(length * band), tint((88, 142, 70), -12 * (stripe % 2)))
    for shape in (rectangle(0.58, 0.94), ellipse(0.18, 0.18)):
        canvas.outline(pose(length * shape), 0.6, WHITE)
    canvas.line(pose(length * np.array([(-0.29, 0), (0.29, 0)])), 0.6, WHITE)
    for side in (-1, 1):
        canvas.outline(pose(length * (rectangle(0.3, 0.14, 0, side * 0.4))), 0.6, WHITE)
    canvas.record("soccer-ball-field", plan)


def running_track(canvas: Canvas, pose: Pose, length: float, colour: Colour) -> None:
    """An athletics track with its lanes; the lawn inside is left to the caller."""
    plan = pose(_stadium(length * 0.58, length))
    canvas.patch(plan, colour, 5)
    for lane in (0.555, 0.53, 0.505, 0.48):
        canvas.outline(pose(_stadium(length * lane, length * (lane + 0.42))), 0.3, WHITE, 0.7)
    canvas.patch(pose(_stadium(length * 0.45, length * 0.87)), GRASS, 8)
    canvas.record("ground-track-field", plan)


def baseball_diamond(canvas: Canvas, pose: Pose, size: float) -> None:
    """A baseball field: a quarter disc of clay about a square of grass, the lawn beyond."""
    angles = np.deg2rad(np.linspace(-135, -45, 24))
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    home = np.array([(0.0, 0.45)])
    field = np.concatenate([home, home + 0.95 * arc])
    canvas.patch(pose(size * field), (112, 150, 76), 6)
    canvas.patch(pose(size * np.concatenate([home, home + 0.55 * arc])), (190, 146, 100), 6)
    canvas.patch(
        pose(size * (np.array([(0, 0.4), (0.22, 0.17), (0, -0.06), (-0.22, 0.17)]))),
        (112, 150, 76),
        6,
    )
    canvas.polygon(pose(size * (ellipse(0.09, 0.09, 0, 0.17))), (190, 146, 100))
    for side in (-1, 1):
        canvas.line(pose(size * np.array([(0, 0.45), (side * 0.66, -0.21)])), 0.5, WHITE)
    canvas.record("baseball-diamond", pose(size * field))


def roundabout(canvas: Canvas, x: float, y: float, diameter: float, island: Colour) -> None:
    """A ring of road around an island."""
    ring = ellipse(diameter, diameter, x, y)
    canvas.patch(ring, ASPHALT, 5)
    canvas.outline(ellipse(diameter * 0.74, diameter * 0.74, x, y), 0.4, WHITE, 0.7)
    centre = ellipse(diameter * 0.5, diameter * 0.5, x, y)
    canvas.patch(centre, island, 9)
    canvas.outline(centre, 0.7, (196, 192, 182))
    canvas.record("roundabout", ring)


def road(canvas: Canvas, points: Points, width: float, colour: Colour = ASPHALT) -> None:
    """A road with pale edges and a dashed middle line."""
    canvas.line(points, width + 1.0, tint(colour, 50))
    canvas.line(points, width, colour)
    start, end = points[0], points[-1]
    steps = int(np.linalg.norm(end - start) // 6)
    for step in range(steps):
        dash = [start + (end - start) * (step + share) / steps for share in (0.25, 0.75)]
        canvas.line(np.array(dash), 0.4, WHITE, 0.8)


def _stadium(width: float, length: float) -> Points:
    """Two half discs and what is between them."""
    half = ellipse(width, width)
    turn, reach = len(half) // 2 + 1, (length - width) / 2
    return np.concatenate([moved(half[:turn], 0, reach), moved(half[turn:], 0, -reach)])
