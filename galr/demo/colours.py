"""Colours by the names that captions use."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from galr.demo.canvas import Colour
from galr.demo.choice import one_of

CARS: dict[str, Colour] = {
    "white": (238, 238, 236),
    "black": (34, 36, 40),
    "red": (178, 44, 40),
    "blue": (50, 84, 150),
    "gray": (146, 148, 152),
}
SHIPS: dict[str, Colour] = {
    "white": (232, 232, 228),
    "red": (172, 60, 50),
    "gray": (140, 144, 150),
    "black": (60, 62, 68),
}
ROOFS: dict[str, Colour] = {
    "red": (168, 82, 62),
    "gray": (144, 144, 148),
    "blue": (78, 108, 158),
    "brown": (124, 92, 70),
}
COURTS: dict[str, tuple[Colour, Colour]] = {  # outside and inside of the lines
    "green": ((70, 122, 88), (54, 102, 72)),
    "blue": ((76, 128, 98), (52, 94, 156)),
    "red": ((86, 128, 82), (174, 82, 62)),
}


def pick(rng: np.random.Generator, colours: Mapping[str, Colour]) -> tuple[str, Colour]:
    """A name and its colour."""
    name = one_of(rng, colours)
    return name, colours[name]
