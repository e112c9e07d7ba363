"""The small-objects scene: what its captions name is a few pixels wide, on the same ground.

A network that sees the picture at half its size or less can hardly tell a plane from a lorry
there; a detector, which has seen the full picture, can.
"""

from __future__ import annotations

from collections.abc import Callable

from galr.demo import vehicles
from galr.demo.canvas import Canvas, Colour, Pose
from galr.demo.choice import two_of
from galr.demo.places import CONCRETE, tank
from galr.demo.story import Story, seen

LENGTH = 3.2  # percent of the side: four pixels of 128
PAINT: Colour = (232, 232, 228)  # all objects have it, for colour would tell them apart

SIDES = (
    ("on the left", "on the right", Pose(50, 50, 0), Pose(50, 50, 180)),
    ("in the upper half", "in the lower half", Pose(50, 50, 90), Pose(50, 50, 270)),
)

# Nouns by class, and how one is drawn.
KINDS: dict[str, tuple[tuple[str, ...], Callable[[Canvas, Pose], None]]] = {
    "plane": (
        ("plane", "airplane"),
        lambda canvas, pose: vehicles.plane(canvas, pose, LENGTH, PAINT),
    ),
    "helicopter": (
        ("helicopter",),
        lambda canvas, pose: vehicles.helicopter(canvas, pose, LENGTH, PAINT),
    ),
    "small-vehicle": (
        ("car",),
        lambda canvas, pose: vehicles.car(canvas, pose, PAINT, LENGTH),
    ),
    "large-vehicle": (
        ("truck", "lorry/lorries"),
        lambda canvas, pose: vehicles.truck(canvas, pose, PAINT, LENGTH),
    ),
    "ship": (
        ("boat",),
        lambda canvas, pose: vehicles.boat(canvas, pose, LENGTH, PAINT),
    ),
    "storage-tank": (
        ("tank", "storage tank"),
        lambda canvas, pose: tank(canvas, pose.x, pose.y, LENGTH * 0.8, PAINT),
    ),
}


def small_objects(canvas: Canvas) -> Story:
    """Two kinds of small objects, each on its own half of a wide concrete ground."""
    rng = canvas.rng
    canvas.ground(CONCRETE, 9)
    first, second = two_of(rng, KINDS)
    here, there, *halves = SIDES[rng.integers(len(SIDES))]
    for kind, half in zip((first, second), halves, strict=True):
        # left of the middle in the frame of the half, in rows far enough apart not to touch
        for row in rng.choice([-32, 0, 32], int(rng.integers(1, 4)), replace=False):
            x, y = rng.uniform(-44, -8), row + rng.uniform(-12, 12)
            KINDS[kind][1](canvas, half.at(x, y, float(rng.uniform(0, 360))))
    return Story(
        "ground",
        ("concrete ground", "wide concrete ground"),
        seen(canvas, first, KINDS[first][0]),
        ("standing", "seen"),
        (here,),
        (seen(canvas, second, KINDS[second][0]),),
        templates=(
            f"{{main}} {here} and {{beside}} {there}",
            f"there {{is}} {{main}} {here}, and {{beside}} {there}",
            f"{{beside}} {there} of {{place}}, and {{main}} {here}",
            f"{{main}} {{is}} {{doing}} {here} of the picture, {{beside}} {there}",
            f"we can see {{beside}} {there} and {{main}} {here}",
            f"{{view}} of {{place}} with {{main}} {here} and {{beside}} {there}",
        ),
    )
