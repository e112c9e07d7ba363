"""Things that move, drawn from above: each function draws one and notes its box."""

from __future__ import annotations

import numpy as np

from galr.demo.canvas import Canvas, Colour, Points, Pose, ellipse, rectangle, tint

GLASS: Colour = (52, 62, 74)


def plane(canvas: Canvas, pose: Pose, length: float, colour: Colour) -> None:
    """An airliner, nose towards -y."""
    half = np.array(
        [
            *[(0, -0.5), (0.05, -0.42), (0.055, -0.14), (0.48, 0.1), (0.48, 0.17)],
            *[(0.06, 0.08), (0.045, 0.32), (0.2, 0.44), (0.2, 0.5), (0, 0.46)],
        ]
    )
    body = pose(length * np.concatenate([half, (half * (-1, 1))[::-1]]))
    canvas.shadow(body, length * 0.09)
    canvas.polygon(body, colour)
    for side in (-1, 1):
        engine = rectangle(0.06, 0.12, side * 0.2, -0.03)
        canvas.polygon(pose(length * engine), tint(colour, -70))
    spine = length * np.array([(0, -0.36), (0, 0.4)])
    canvas.line(pose(spine), length * 0.03, tint(colour, -28))
    canvas.polygon(pose(length * (rectangle(0.07, 0.04, 0, -0.43))), GLASS)
    canvas.record("plane", body)


def helicopter(canvas: Canvas, pose: Pose, length: float, colour: Colour) -> None:
    """A helicopter, nose towards -y, its rotor still."""
    body = pose(length * (ellipse(0.24, 0.52, 0, -0.18)))
    tail = pose(length * (rectangle(0.07, 0.5, 0, 0.25)))
    canvas.shadow(np.concatenate([body, tail]), length * 0.08)
    canvas.polygon(tail, colour)
    canvas.polygon(pose(length * (rectangle(0.24, 0.05, 0, 0.46))), tint(colour, -25))
    canvas.polygon(body, colour)
    canvas.polygon(pose(length * (ellipse(0.17, 0.16, 0, -0.33))), GLASS)
    for turn in (35, 125):
        blade = pose.at(0, -0.15 * length, turn)(length * np.array([(-0.48, 0), (0.48, 0)]))
        canvas.line(blade, length * 0.035, (35, 36, 40))
    canvas.record("helicopter", np.concatenate([body, tail]))


def ship(canvas: Canvas, pose: Pose, length: float, colour: Colour, cargo: bool = False) -> None:
    """A ship, bow towards -y; with ``cargo`` its deck is full of containers."""
    hull = _hull(pose, length, 0.24)
    canvas.shadow(hull, length * 0.05)
    canvas.polygon(hull, tint(colour, -45))
    canvas.polygon(_hull(pose, length * 0.93, 0.22), colour)
    if cargo:
        _containers(canvas, pose, length)
    bridge = pose(length * (rectangle(0.17, 0.12, 0, 0.33)))
    canvas.polygon(bridge, (238, 238, 234))
    canvas.line(pose(length * np.array([(-0.07, 0.29), (0.07, 0.29)])), length * 0.03, GLASS)
    canvas.record("ship", hull)


def boat(canvas: Canvas, pose: Pose, length: float, colour: Colour) -> None:
    """A small boat with a cabin, bow towards -y."""
    hull = _hull(pose, length, 0.34)
    canvas.polygon(hull, colour)
    canvas.polygon(pose(length * (rectangle(0.18, 0.34, 0, 0.16))), tint(colour, -60))
    canvas.record("ship", hull)


def wake(canvas: Canvas, pose: Pose, length: float) -> None:
    """The white water behind a ship under way."""
    for reach, opacity in ((1.3, 0.25), (0.9, 0.35), (0.5, 0.5)):
        water = length * np.array(
            [(-0.04, 0.4), (0.04, 0.4), (0.16, 0.4 + reach), (-0.16, 0.4 + reach)]
        )
        canvas.polygon(pose(water), (214, 226, 230), opacity)


def car(canvas: Canvas, pose: Pose, colour: Colour, length: float = 4.6) -> None:
    """A car, its front towards -y."""
    body = pose(rectangle(length * 0.46, length))
    canvas.shadow(body, length * 0.1)
    canvas.polygon(body, colour)
    canvas.polygon(pose(rectangle(length * 0.38, length * 0.16, 0, -length * 0.18)), GLASS)
    canvas.polygon(pose(rectangle(length * 0.38, length * 0.1, 0, length * 0.32)), GLASS)
    canvas.record("small-vehicle", body)


def truck(canvas: Canvas, pose: Pose, colour: Colour, length: float = 10.0) -> None:
    """A lorry, its cab towards -y."""
    body = pose(rectangle(length * 0.3, length))
    canvas.shadow(body, length * 0.08)
    canvas.polygon(body, tint(colour, -50))
    canvas.polygon(pose(rectangle(length * 0.3, length * 0.74, 0, length * 0.13)), colour)
    canvas.line(pose(length * np.array([(-0.11, -0.42), (0.11, -0.42)])), length * 0.06, GLASS)
    canvas.record("large-vehicle", body)


def _hull(pose: Pose, length: float, beam: float) -> Points:
    half = np.array([(0, -0.5), (0.6, -0.36), (1, -0.2), (1, 0.42), (0.8, 0.5)]) * (beam / 2, 1)
    return pose(length * np.concatenate([half, (half * (-1, 1))[::-1]]))


def _containers(canvas: Canvas, pose: Pose, length: float) -> None:
    colours: list[Colour] = [(168, 62, 48), (52, 92, 142), (190, 148, 60), (92, 120, 92)]
    for row in range(7):
        for column in (-1, 0, 1):
            box = rectangle(0.058, 0.07, column * 0.062, -0.28 + row * 0.08)
            canvas.polygon(pose(length * box), colours[canvas.rng.integers(4)])
