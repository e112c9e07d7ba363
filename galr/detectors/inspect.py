"""The contents of a store as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from galr.local_features.store import LocalFeatures, Store


class StoredObject(NamedTuple):
    """A kept object, decoded from its row; positions and sizes relative to the image."""

    category: int
    score: float
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    prominence: float  # the most prominent kept one has 1


def objects_of(store: Store, row: int) -> list[StoredObject]:
    """The kept objects of an image, in DREA's order."""
    rows = store.features.representation[row].astype(np.float64)
    rows = rows[rows.any(axis=1)]
    classes = rows.shape[1] - 5
    prominence = rows[:, -1] * np.sqrt(np.maximum(rows[:, -3] * rows[:, -2], 0))
    prominence = prominence / (prominence.max(initial=0.0) or 1.0)
    return [
        StoredObject(
            int(values[:classes].argmax()),
            float(values[-1]),
            values[classes : classes + 2],
            values[classes + 2 : classes + 4],
            float(share),
        )
        for values, share in zip(rows, prominence, strict=True)
    ]


def classes_of(features: LocalFeatures, names: Sequence[str]) -> list[list[str]]:
    """The classes of each image's objects, by ``names``, in the order of the objects."""
    kinds = features.representation[..., : len(names)].argmax(axis=2)
    there = features.representation.any(axis=2)
    return [
        np.array(names)[own[some]].tolist()
        for own, some in zip(kinds, np.atleast_2d(there), strict=True)
    ]


def class_name(store: Store, category: int) -> str:
    """The name of a class, or its number if names are unknown."""
    return f"class {category}" if store.drea is None else store.drea.classes[category]


def drawing(store: Store, row: int) -> dict[str, Any]:
    """Objects of an image with labels, scores and boxes, and its strongest edges, for JSON.

    Boxes are left, top, width and height as shares of the image.
    """
    found = objects_of(store, row)
    objects = [
        {
            "label": class_name(store, one.category),
            "score": one.score,
            "box": [*(one.centre - one.size / 2).tolist(), *one.size.tolist()],
        }
        for one in found
    ]
    adjacency = store.features.adjacency[row][: len(found), : len(found)]
    return {"objects": objects, "edges": strongest_edges(adjacency)}


def store_lines(store: Store) -> list[str]:
    """Images, objects per image, objects per class, options."""
    representation = store.features.representation
    images, objects, features = representation.shape
    filled = representation.any(axis=2)
    counts = filled.sum(axis=1)
    lines = [
        f"{store.path}: {images} images, at most {objects} objects per image, "
        f"{features} features each",
        f"source: {store.source or 'unknown'}",
        f"objects per image: {_spread(counts)}",
        f"images without objects: {int((counts == 0).sum())}",
    ]
    lines += ["", "objects  images  class"]
    one_hot = representation[:, :, : features - 5] > 0
    for category in range(features - 5):
        here = one_hot[:, :, category]
        name = class_name(store, category)
        lines.append(f"{int(here.sum()):7d} {int(here.any(axis=1).sum()):7d}  {name}")
    return [*lines, "", *_options(store)]


def _spread(counts: NDArray[np.int64]) -> str:
    if len(counts) == 0:
        return "no images"
    return (
        f"{counts.min()} to {counts.max()}, median {np.median(counts):g}, mean {counts.mean():.2f}"
    )


def _options(store: Store) -> list[str]:
    if store.drea is None:
        return ["The options behind these matrices are unknown."]
    tree = {"dataset": {"drea": store.drea.model_dump(mode="json")}}
    return [
        "Matching options file:",
        *yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).splitlines(),
    ]


def image_lines(store: Store, image: str) -> list[str]:
    """One line per object, then the strongest edges."""
    row = store.row(image)
    objects = objects_of(store, row)
    lines = [f"{store.names[row]}: {len(objects)} objects"]
    if not objects:
        return lines
    lines += ["", "  no  class                 score  prominence  centre x, y    width, height"]
    for number, entry in enumerate(objects):
        lines.append(
            f"{number:4d}  {class_name(store, entry.category):20.20s}  {entry.score:.3f}  "
            f"{entry.prominence:10.3f}  {entry.centre[0]:.3f}, {entry.centre[1]:.3f}   "
            f"{entry.size[0]:.3f}, {entry.size[1]:.3f}"
        )
    edges = strongest_edges(store.features.adjacency[row])
    lines += ["", "strongest edges:"] if edges else []
    return lines + [f"{first:4d} - {second:<3d} {weight:.3f}" for first, second, weight in edges]


def strongest_edges(adjacency: NDArray[np.float32], most: int = 10) -> list[tuple[int, int, float]]:
    """Pairs of different objects with a non-zero edge, the strongest first."""
    first, second = np.triu_indices(len(adjacency), k=1)
    weights = adjacency[first, second]
    order = np.argsort(-weights, kind="stable")[:most]
    return [
        (int(first[at]), int(second[at]), float(weights[at])) for at in order if weights[at] > 0
    ]
