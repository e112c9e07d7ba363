"""Arguments of commands about tiles and places, read from text."""

from __future__ import annotations

import argparse

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west beyond east crosses the antimeridian."""


def sides(text: str) -> tuple[int, ...]:
    """``256,512``: sides of tiles in pixels."""
    values = _whole_numbers(text)
    if min(values) < 16:
        raise argparse.ArgumentTypeError(f"{text!r}: a side must be at least 16 pixels")
    return values


def bands(text: str) -> tuple[int, ...]:
    """``4,3,2``, or one."""
    values = _whole_numbers(text)
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is neither one band nor three, such as 4,3,2")
    return values


def overlap(text: str) -> float:
    """A share of a tile's side."""
    values = _numbers(text)
    if len(values) != 1 or not 0 <= values[0] <= 0.95:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 0.95")
    return values[0]


def box(text: str) -> Box:
    """``W,S,E,N`` in degrees."""
    values = _numbers(text)
    if len(values) == 4:
        west, south, east, north = values
        if -180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90:
            return west, south, east, north
    raise argparse.ArgumentTypeError(f"{text!r} is not W,S,E,N in degrees, with S below N")


def _whole_numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 7 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 1,2,3")
    return tuple(map(int, parts))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return []
