"""The HDF5 store of local features: both matrices of every image, and the options behind them.

``names`` (I,), ``representation`` (I, N, F) and ``adjacency`` (I, N, N) float32, every DREA option
as an attribute; ``source`` describes where the matrices come from, ``format``, ``detections`` and
``images`` the files they were built from, ``numbering`` the class numbers in these. A store
converted from released files has no options, since they are unknown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from galr.common.atomic import atomic_path
from galr.common.errors import UserError
from galr.common.hdf5 import check_heaps, own_attributes, own_dataset, write_hdf5
from galr.local_features.matrices import LocalFeatures, check_arrays, checksum
from galr.local_features.names import NameIndex, shown
from galr.local_features.numbering import Numbering
from galr.options import DreaOptions

VERSION = 1
BUILD = "python -m galr.local_features build"


class Origin(NamedTuple):
    """What a store was built from, as given on the command line."""

    format: str
    detections: tuple[str, ...]
    images: str
    numbering: Numbering | None = None  # names of class numbers in the detections
    detections_digest: str = ""  # of the files; empty in stores of earlier versions


@dataclass(frozen=True)
class Store:
    """The content of a file: the matrices of ``names``, and the options (None: unknown)."""

    path: Path
    names: tuple[str, ...]
    features: LocalFeatures
    drea: DreaOptions | None
    source: str
    origin: Origin | None
    digests: NDArray[np.int64] | None = None  # of the image files; None: unknown
    checksum: str = ""  # of all matrices as written; empty: unknown

    def row(self, image: str) -> int:
        """The index of an image's entry, by name or else stem; raises UserError if missing."""
        return self.rows([image])[0]

    def rows(self, images: Sequence[str]) -> list[int]:
        """The indices of the entries of ``images``; raises UserError unless each has its own."""
        index = NameIndex(self.names)
        candidates = [index.rows(image) for image in images]
        missing = [image for image, rows in zip(images, candidates, strict=True) if not rows]
        if missing:
            raise UserError(
                self.path,
                f"has no entry for {shown(missing, 'images')}",
                "build the store from a folder with all images",
            )
        taken: dict[int, str] = {}
        for image, rows in zip(images, candidates, strict=True):
            names = [self.names[row] for row in rows]
            if len(rows) > 1:
                raise UserError(
                    self.path,
                    f"{image} matches both {' and '.join(names)}",
                    "build the store with the image names of the annotations",
                )
            if taken.setdefault(rows[0], image) != image:
                raise UserError(
                    self.path,
                    f"its entry {names[0]} matches both {taken[rows[0]]} and {image}",
                    "build the store with the image names of the annotations",
                )
        return [rows[0] for rows in candidates]


def write_local_features(
    path: str | Path,
    names: Sequence[str],
    representation: NDArray[np.float32],
    adjacency: NDArray[np.float32],
    drea: DreaOptions | None,
    source: str = "",
    origin: Origin | None = None,
    digests: NDArray[np.int64] | None = None,
) -> None:
    """Writes a store atomically.

    names: the images' file names, all different; representation (I, N, F), adjacency (I, N, N);
    ``drea`` is None if the options behind the matrices are unknown; ``source`` is a free-text note,
    ``origin`` lets ``show`` find the images again, ``digests`` (I,) identify the images. Raises
    ValueError for shapes, names or numbers that no reader would accept.
    """
    check_arrays(names, representation, adjacency, drea)
    options: dict[str, Any] = {} if drea is None else drea.model_dump(mode="json")
    with atomic_path(path) as temporary, write_hdf5(temporary) as file:
        file.attrs["version"] = VERSION
        file.attrs["source"] = source
        if origin is not None:
            options |= origin._asdict() | {"numbering": json.dumps(origin.numbering)}
        for option, value in options.items():
            file.attrs[option] = value
        file.create_dataset("names", data=list(names), dtype=h5py.string_dtype())
        if digests is not None:
            file.create_dataset("digests", data=digests, dtype=np.int64)
        file.attrs["checksum"] = checksum(LocalFeatures(representation, adjacency))
        file.create_dataset("representation", data=representation, dtype=np.float32)
        file.create_dataset("adjacency", data=adjacency, dtype=np.float32)


def read_store(path: str | Path) -> Store:
    """The whole file, checked for consistency; raises UserError if missing or damaged."""
    path = Path(path)
    if not path.is_file():
        raise UserError(
            path,
            "there is no such store of local features",
            f"build it with {BUILD} (docs/drea.md), or set dataset.local_path=null to use the "
            "global branch only",
        )
    if not h5py.is_hdf5(path):
        released = path.suffix == ".npy"
        raise UserError(
            path,
            "is not an HDF5 file",
            f"convert it with python -m galr.local_features convert {path} --out FILE.h5"
            if released
            else f"build the store with {BUILD}",
        )
    try:
        store = _read(path)
        check_arrays(
            store.names, store.features.representation, store.features.adjacency, store.drea
        )
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = "its options are not DREA's" if isinstance(error, ValidationError) else error
        raise UserError(
            path,
            f"is not a complete store of local features ({reason})",
            f"rebuild it with {BUILD}",
        ) from None
    return store


def _read(path: Path) -> Store:
    check_heaps(path)
    with h5py.File(path, "r", locking=False) as file:
        attributes = own_attributes(file)
        if attributes["version"] != VERSION:
            raise ValueError(f"version {attributes['version']} instead of {VERSION}")
        options = {
            key: _plain(attributes[key]) for key in DreaOptions.model_fields if key in attributes
        }
        return Store(
            path,
            tuple(own_dataset(file, "names").asstr()[()].tolist()),
            LocalFeatures(
                np.asarray(own_dataset(file, "representation")[()]),
                np.asarray(own_dataset(file, "adjacency")[()]),
            ),
            # a missing option would be read as its default
            _complete(options) if options else None,
            str(attributes.get("source", "")),
            _origin(attributes) if "images" in attributes else None,
            _digests(file) if "digests" in file else None,
            str(attributes.get("checksum", "")),
        )


def _digests(file: h5py.File) -> NDArray[np.int64]:
    found = np.asarray(own_dataset(file, "digests")[()])
    if found.dtype != np.int64 or found.shape != file["names"].shape:
        raise ValueError("its image digests are not one number per image")
    return found


def _origin(attributes: dict[str, Any]) -> Origin:
    detections = [str(path) for path in attributes["detections"]]
    numbering = json.loads(attributes.get("numbering", "null"))
    return Origin(
        str(attributes["format"]),
        tuple(detections),
        str(attributes["images"]),
        None if numbering is None else {int(key): str(numbering[key]) for key in numbering},
        str(attributes.get("detections_digest", "")),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the attribute holds
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _complete(options: dict[str, Any]) -> DreaOptions:
    missing = [key for key in DreaOptions.model_fields if key not in options]
    if missing:
        raise ValueError(f"the option {missing[0]} is missing")
    return DreaOptions.model_validate(options)
