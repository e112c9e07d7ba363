"""Scenes of nature: forest, desert, beach."""

from __future__ import annotations

import numpy as np

from galr.demo import places, vehicles
from galr.demo.canvas import Canvas, Pose, blob, ellipse, fits, scatter, tint
from galr.demo.choice import one_of
from galr.demo.colours import ROOFS, pick
from galr.demo.story import Story, Thing, seen


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
