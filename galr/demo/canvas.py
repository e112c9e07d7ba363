"""A canvas seen from above: coordinates in percent of its side, whatever the pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]  # (n, 2): x to the right, y down, in percent of the side

SUPERSAMPLING = 3
NOISE_SCALE = 36


@dataclass(frozen=True)
class Pose:
    """Where something lies: it maps points about the origin onto the canvas."""

    x: float
    y: float
    degrees: float = 0.0

    def __call__(self, points: ArrayLike) -> Points:
        """Points (n, 2), turned by ``degrees`` (clockwise) and moved to (x, y)."""
        angle = np.deg2rad(self.degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return moved(np.asarray(points, dtype=np.float64) @ turn, self.x, self.y)

    def at(self, x: float, y: float, degrees: float = 0.0) -> Pose:
        """The pose of a thing at (x, y) of this one's frame."""
        moved = self([(x, y)])[0]
        return Pose(float(moved[0]), float(moved[1]), self.degrees + degrees)


def rectangle(width: float, height: float, x: float = 0.0, y: float = 0.0) -> Points:
    """The corners of a rectangle about (x, y)."""
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    return moved(signs * (width / 2, height / 2), x, y)


def ellipse(width: float, height: float, x: float = 0.0, y: float = 0.0) -> Points:
    """An ellipse about (x, y) as a polygon."""
    return moved(_circle(40) * (width / 2, height / 2), x, y)


def blob(rng: np.random.Generator, radius: float, x: float, y: float, corners: int = 14) -> Points:
    """A round thing with an uneven edge about (x, y): the crown of a tree, a pond."""
    edge = rng.uniform(-1, 1, corners + 1)
    edge[-1] = edge[0]
    radii = radius * (1 + 0.08 * (edge[1:] + edge[:-1]))
    return moved(_circle(corners) * radii[:, None], x, y)


def moved(points: ArrayLike, x: float, y: float) -> Points:
    """Points (n, 2), moved by (x, y)."""
    result: Points = np.asarray(points, dtype=np.float64) + np.array((x, y))
    return result


@functools.cache
def _circle(corners: int) -> Points:
    angle = np.linspace(0.0, 2 * np.pi, corners, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@dataclass(frozen=True)
class Box:
    """A drawn object: its class by DOTA's names, its bounds in percent of the side."""

    kind: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) of its middle."""
        return (self.xmin + self.xmax) / 2, (self.ymin + self.ymax) / 2

    def overlaps(self, other: Box, gap: float = 0.0) -> bool:
        """Whether the two are nearer than ``gap``."""
        return (
            self.xmin < other.xmax + gap
            and other.xmin < self.xmax + gap
            and self.ymin < other.ymax + gap
            and other.ymin < self.ymax + gap
        )


def bounds(kind: str, points: Points) -> Box:
    """The axis-aligned box of ``points``."""
    (xmin, ymin), (xmax, ymax) = points.min(axis=0), points.max(axis=0)
    return Box(kind, float(xmin), float(ymin), float(xmax), float(ymax))


def fits(points: Points, margin: float = 1.0) -> bool:
    """Whether all points are on the canvas, ``margin`` from its edge."""
    return bool((points >= margin).all() and (points <= 100 - margin).all())


def tint(colour: Colour, amount: float) -> Colour:
    """``colour``, lighter (``amount`` above 0) or darker, in steps of 0 to 255."""
    red, green, blue = (min(max(int(value + amount), 0), 255) for value in colour)
    return red, green, blue


@dataclass
class Canvas:
    """A picture in the making and the objects that were drawn into it."""

    rng: np.random.Generator
    side: int = 128
    boxes: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pixels = self.side * SUPERSAMPLING
        self._noise = _noise(self.rng, self._pixels)
        self._sun = Pose(0.0, 0.0, float(self.rng.uniform(0, 360)))
        self._image = Image.new("RGB", (self._pixels, self._pixels))
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def ground(self, colour: Colour, roughness: float = 14.0) -> None:
        """Covers the whole canvas with textured ground."""
        self._image.paste(self._textured(colour, roughness, self._pixels, self._pixels))

    def patch(self, points: Points, colour: Colour, roughness: float = 14.0) -> None:
        """Fills a polygon with textured ground."""
        corners = points * (self._pixels / 100)
        low = np.clip(corners.min(axis=0).astype(int), 0, self._pixels)
        high = np.clip(corners.max(axis=0).astype(int) + 1, 0, self._pixels)
        width, height = (int(length) for length in high - low)
        if width > 0 and height > 0:
            mask = Image.new("L", (width, height))
            ImageDraw.Draw(mask).polygon((corners - low).ravel().tolist(), fill=255)
            texture = self._textured(colour, roughness, width, height)
            self._image.paste(texture, (int(low[0]), int(low[1])), mask)

    def polygon(self, points: Points, colour: Colour, opacity: float = 1.0) -> None:
        """Fills a polygon with one colour."""
        self._draw.polygon(self._flat(points), fill=(*colour, int(255 * opacity)))

    def line(self, points: ArrayLike, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draws a line through ``points``, ``width`` percent wide."""
        pixels = max(1, round(width * self._pixels / 100))
        flat = self._flat(np.asarray(points, dtype=np.float64))
        self._draw.line(flat, fill=(*colour, int(255 * opacity)), width=pixels, joint="curve")

    def outline(self, points: Points, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draws the closed line around a polygon."""
        self.line(np.concatenate([points, points[:2]]), width, colour, opacity)

    def shadow(self, points: Points, height: float) -> None:
        """Darkens the ground where something ``height`` percent tall hides the sun."""
        self.polygon(points + self._sun([(height, 0.0)])[0], (15, 18, 25), 0.45)

    def record(self, kind: str, points: Points) -> None:
        """Notes an object that a detector could find."""
        self.boxes.append(bounds(kind, np.clip(points, 0.0, 100.0)))

    def count(self, kind: str) -> int:
        """Objects of a class that were noted."""
        return sum(box.kind == kind for box in self.boxes)

    def picture(self) -> Image.Image:
        """The finished picture, ``side`` pixels wide, with the grain of a camera."""
        small = np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.float32)
        light = self.rng.normal(1.0, 0.05)
        grain = self.rng.normal(0.0, 3.0, small.shape)
        return Image.fromarray(np.clip(small * light + grain, 0, 255).astype(np.uint8))

    def _textured(self, colour: Colour, roughness: float, width: int, height: int) -> Image.Image:
        # another part of the same noise for every patch
        x = int(self.rng.integers(self._pixels - width + 1))
        y = int(self.rng.integers(self._pixels - height + 1))
        noise = self._noise.crop((x, y, x + width, y + height))
        deviation = (np.arange(256) - 128) / NOISE_SCALE
        shades = [np.clip(value + roughness * deviation, 0, 255) for value in colour]
        return Image.merge("RGB", [noise.point(shade.astype(int).tolist()) for shade in shades])

    def _flat(self, points: Points) -> list[float]:
        flat: list[float] = (points * (self._pixels / 100)).ravel().tolist()
        return flat


def _noise(rng: np.random.Generator, pixels: int) -> Image.Image:
    """Ground texture: a sum of smooth noise, coarse to fine, NOISE_SCALE levels a deviation."""
    total = np.zeros((1, 1), dtype=np.float32)
    for cells, weight in ((5, 1.0), (16, 0.7), (48, 0.6), (128, 0.7)):
        coarser = Image.fromarray(total).resize((cells, cells), Image.Resampling.BICUBIC)
        total = np.asarray(coarser) + weight * rng.normal(size=(cells, cells)).astype(np.float32)
    levels = 128 + NOISE_SCALE * (total - total.mean()) / total.std()
    small = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
    return small.resize((pixels, pixels), Image.Resampling.BICUBIC)


def scatter(
    rng: np.random.Generator, count: int, size: float, taken: Sequence[Box] = (), gap: float = 1.0
) -> list[tuple[float, float]]:
    """At most ``count`` centres for things ``size`` wide, apart from one another and ``taken``."""
    boxes = list(taken)
    centres: list[tuple[float, float]] = []
    for _ in range(count * 20):
        x, y = rng.uniform(size / 2 + 1, 99 - size / 2, 2)
        box = bounds("", rectangle(size, size, x, y))
        if len(centres) < count and not any(box.overlaps(other, gap) for other in boxes):
            boxes.append(box)
            centres.append((float(x), float(y)))
    return centres
