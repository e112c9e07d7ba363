"""Tiles of scenes as images of an archive: described in columns, and found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from galr.scenes.scene import Window
from galr.scenes.tiles import SceneFacts, Tile, Tiling, best_of_places
from galr.search.images import Near

SCENES = pa.schema(
    [
        ("name", pa.string()), ("width", pa.int32()), ("height", pa.int32()),
        ("bands", pa.list_(pa.int32())), ("stretch", pa.list_(pa.float64())),
        ("outline", pa.list_(pa.list_(pa.float64()))), ("crs", pa.string()),
    ]
)  # fmt: skip

Rows = Callable[[Sequence[int]], list[dict[str, Any]]]
Search = Callable[[int], Near]


def scenes_table(scenes: Mapping[str, SceneFacts]) -> pa.Table:
    """The scenes, by name, as rows of their table."""
    rows = [{"name": name, **facts._asdict()} for name, facts in scenes.items()]
    return pa.Table.from_pylist(rows, schema=SCENES)


def place_of(tile: Tile, crs: str | None) -> dict[str, Any]:
    """The columns of a tile."""
    columns = {"scene": tile.scene, **tile.window._asdict()}
    if tile.footprint is not None:
        edges = [*tile.footprint.min(axis=0).tolist(), *tile.footprint.max(axis=0).tolist()]
        columns |= dict(zip(("west", "south", "east", "north"), edges, strict=True))
        columns |= {"footprint": tile.footprint.ravel().tolist(), "crs": crs}
    return columns


class Tiles:
    """The tiles of an archive; ``rows`` reads columns by numbers, ``scenes`` is their table."""

    def __init__(self, rows: Rows, scenes: pa.Table, tiling: Tiling) -> None:
        self._rows, self._tiling = rows, tiling
        self.scenes = {
            row.pop("name"): SceneFacts(**{**row, "stretch": tuple(row["stretch"])})
            for row in scenes.to_pylist()
        }

    def of(self, number: int) -> Tile:
        """The tile of that number."""
        return self.all_of([number])[0]

    def all_of(self, numbers: Sequence[int]) -> list[Tile]:
        """The tiles of those numbers."""
        return [
            Tile(
                row["scene"],
                Window(row["left"], row["top"], row["width"], row["height"]),
                None if row["footprint"] is None else np.array(row["footprint"]).reshape(4, 2),
            )
            for row in self._rows(numbers)
        ]

    def nearest(self, search: Search, k: int, total: int) -> Near:
        """As many of the tiles that ``search`` finds, ``total`` at most, as hold k places."""
        # a tile overlaps no more others of its size than this, but for the last of a row
        wanted = k * (2 * int(np.ceil(1 / (1 - self._tiling.overlap))) - 1) ** 2
        while True:
            found = search(min(wanted, total))
            places, _ = best_of_places(self.all_of(found.numbers.tolist()), k)
            if len(places) >= k or len(found.numbers) < min(wanted, total) or wanted >= total:
                return found
            wanted *= 2
