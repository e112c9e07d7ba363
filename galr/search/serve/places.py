"""Tiles of scenes, as the page draws them on their scene and on a map."""

from __future__ import annotations

from typing import Any

from galr.search.archive import Archive, Match
from galr.search.tiles import Tile, geojson

OUTLINES = 500  # scenes that are drawn at most


def described(archive: Archive, tile: Tile) -> dict[str, Any]:
    """A tile for the page: its scene and the size of that, window, place and merged hits."""
    assert archive.tiles is not None
    facts = archive.tiles.scenes[tile.scene]
    return {
        "scene": tile.scene,
        "size": [facts.width, facts.height],
        "window": list(tile.window),
        "footprint": None if tile.footprint is None else tile.footprint.tolist(),
        "merged": tile.merged,
    }


def tile_of(archive: Archive, number: int) -> dict[str, Any] | None:
    """The tile of that number for the page; None in an archive of whole images."""
    return None if archive.tiles is None else described(archive, archive.tiles.of(number))


def outlines(archive: Archive) -> list[list[list[float]]]:
    """The corners of scenes that have coordinates, in longitude and latitude."""
    scenes = [] if archive.tiles is None else list(archive.tiles.scenes.values())
    return [facts.outline for facts in scenes if facts.outline is not None][:OUTLINES]


def collection(matches: list[Match], question: str) -> dict[str, Any] | None:
    """The matches as GeoJSON; None where they are no tiles."""
    found = [(match.rank, match.score, match.tile) for match in matches if match.tile is not None]
    return geojson(found, question) if found else None
