"""Scenes of sport: tennis and basketball courts, stadium, football pitch, baseball field."""

from __future__ import annotations

from collections.abc import Callable

from galr.demo import places
from galr.demo.canvas import Canvas, Colour, Pose, fits, rectangle, tint
from galr.demo.choice import one_of
from galr.demo.colours import COURTS, ROOFS, pick
from galr.demo.story import Story, Thing, seen


def tennis(canvas: Canvas) -> Story:
    """One to six tennis courts in a row or in two, with trees around."""
    base = _park(canvas)
    name = one_of(canvas.rng, COURTS)
    length = float(canvas.rng.uniform(28, 34))
    _rows(
        canvas, base, length, lambda pose: places.tennis_court(canvas, pose, length, COURTS[name])
    )
    count = canvas.count("tennis-court")
    return Story(
        "tenniscourt",
        ("park", "sports ground"),
        seen(canvas, "tennis-court", ("tennis court",), (name,)),
        ("arranged neatly", "surrounded by trees") if count > 1 else ("surrounded by trees",),
        ("side by side", "next to a row of trees") if count > 1 else ("next to a row of trees",),
        (Thing(None, ("green trees", "a row of trees")), Thing(1, ("building",), ("gray",))),
        (f"The tennis court is {name} with white lines",)
        if count == 1
        else (f"The tennis courts are {name} with white lines",),
    )


def basketball(canvas: Canvas) -> Story:
    """One to four basketball courts."""
    base = _park(canvas)
    name, colour = pick(
        canvas.rng, {"red": (176, 86, 66), "blue": (64, 98, 150), "gray": (140, 142, 144)}
    )
    length = float(canvas.rng.uniform(29, 36))
    _rows(canvas, base, length, lambda pose: places.basketball_court(canvas, pose, length, colour))
    count = canvas.count("basketball-court")
    return Story(
        "basketballcourt",
        ("campus", "sports ground"),
        seen(canvas, "basketball-court", ("basketball court",), (name,)),
        ("surrounded by trees", "empty"),
        ("close to a building", "next to a row of trees"),
        (Thing(None, ("green trees", "some plants")), Thing(1, ("building",), ("gray",))),
        (f"The ground of the basketball court is {name}",)
        if count == 1
        else (f"The ground of the basketball courts is {name}",),
    )


def stadium(canvas: Canvas) -> Story:
    """A running track around a lawn or a football field, with stands."""
    rng = canvas.rng
    canvas.ground(places.CONCRETE if rng.random() < 0.5 else tint(places.GRASS, 8), 9)
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    length = float(rng.uniform(66, 82))
    stands = int(rng.integers(0, 3))
    for side in (-1, 1)[:stands]:
        places.building(
            canvas, base.at(side * (length * 0.29 + 7), 0), 9, length * 0.7, (188, 190, 194)
        )
    name, colour = pick(rng, {"red": (176, 84, 66), "blue": (74, 108, 156)})
    places.running_track(canvas, base, length, colour)
    football = bool(rng.random() < 0.6)
    if football:
        places.football_pitch(canvas, base, length * 0.6)
    inside = (
        seen(canvas, "soccer-ball-field", ("football field", "soccer field"))
        if football
        else Thing(1, ("lawn",))
    )
    return Story(
        "playground",
        ("stadium", "playground", "sports field"),
        seen(canvas, "ground-track-field", ("running track", "track"), (name,)),
        ("laid", "seen"),
        ("around a green lawn",) if not football else ("around a football field",),
        (inside, Thing(stands, ("stand", "grandstand"), ("long",))),
        (f"The {name} track surrounds {inside.phrase(rng)}",),
    )


def football(canvas: Canvas) -> Story:
    """One or two football fields without a track."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-12, 6))))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    count = int(rng.integers(1, 3))
    length = float(rng.uniform(50, 64)) if count == 1 else float(rng.uniform(40, 48))
    for step in range(count):
        places.football_pitch(canvas, base.at((step - (count - 1) / 2) * length * 0.74, 0), length)
    places.trees_along(canvas, base.at(0, length / 2 + 7), 140, 2.8)
    places.road(canvas, base([(-100, -length / 2 - 10), (100, -length / 2 - 10)]), 6)
    return Story(
        "footballfield",
        ("park", "sports ground"),
        seen(canvas, "soccer-ball-field", ("football field", "soccer field"), ("striped", "green")),
        ("located", "seen"),
        ("between a road and a row of trees", "beside a straight road"),
        (Thing(1, ("road", "street"), ("straight",)), Thing(None, ("a row of trees",))),
        ("The grass is mown in stripes", "A road passes along the sports ground"),
    )


def baseball(canvas: Canvas) -> Story:
    """One or two baseball fields."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-16, 4))))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    count = int(rng.integers(1, 3))
    size = float(rng.uniform(50, 64)) if count == 1 else float(rng.uniform(38, 43))
    for step in range(count):
        spot = base.at((step - (count - 1) / 2) * 46, 0, float(rng.choice([0, 180])))
        places.baseball_diamond(canvas, spot, size)
    places.trees_along(canvas, base.at(0, -40), 140, 2.8)
    return Story(
        "baseballfield",
        ("park", "sports ground"),
        seen(
            canvas,
            "baseball-diamond",
            ("baseball field", "baseball diamond"),
            ("large",) if size > 50 else (),
        ),
        ("surrounded by grass", "seen"),
        ("near a row of trees", "in the green park"),
        (Thing(None, ("green trees", "a row of trees")),),
        ("The infield is covered with brown clay", "Brown clay and green grass form a fan"),
    )


def _park(canvas: Canvas) -> Pose:
    """Grass, a gray building and a row of trees; the middle is left free."""
    rng = canvas.rng
    canvas.ground(tint(places.GRASS, int(rng.integers(-10, 24))))
    base = Pose(50, 50, float(rng.uniform(0, 360)))
    places.building(canvas, base.at(0, -44), 40, 10, ROOFS["gray"])
    places.trees_along(canvas, base.at(0, 41), 140, 2.8)
    return base


def _rows(canvas: Canvas, base: Pose, length: float, draw: Callable[[Pose], None]) -> None:
    """One to six courts, those that fit, on a common floor."""
    rng = canvas.rng
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    pitch = length * 0.6
    floor: Colour = tint(places.CONCRETE, -20)
    canvas.patch(base(rectangle(columns * pitch + 3, rows * length * 1.03 + 3)), floor, 5)
    for column in range(columns):
        for row in range(rows):
            x, y = (column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * length * 1.03
            if fits(base.at(x, y)(rectangle(length * 0.56, length)), 0):
                draw(base.at(x, y))
