"""Archives of format 1, a folder of HDF5 files, as archives of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.errors import UserError
from galr.scenes.scene import Window
from galr.scenes.tiles import SceneFacts, Tile
from galr.search.encoder import write_content
from galr.search.schema import Manifest, captions_table, table_of
from galr.search.store import OLD_MANIFEST, Store
from galr.search.tiles import place_of, scenes_table

ROWS = 1 << 14
REMEDY = "build an archive anew with python -m galr.search index"


def migrate(old: str | Path, new: str | Path) -> int:
    """Writes the archive ``old`` as ``new`` and returns its images; nothing is encoded again.

    Raises UserError where ``old`` is no whole archive of format 1, or ``new`` is there.
    """
    folder = Path(old)
    if not (folder / OLD_MANIFEST).is_file():
        if (folder / "archive.lance").is_dir():
            raise UserError(folder, "is an archive of today already", "use it as it is")
        raise UserError(folder, "is no archive of an earlier version", REMEDY)
    store = Store(new, create=True)
    if store.has("archive"):
        raise UserError(new, "is an archive already", "name another folder")
    store.drop()  # what an interrupted migration has left, perhaps of another archive
    try:
        return _migrated(folder, store)
    except DAMAGED_ARRAYS:
        raise UserError(folder, "is damaged or unfinished", REMEDY) from None


def _migrated(old: Path, store: Store) -> int:
    told = json.loads((old / OLD_MANIFEST).read_text(encoding="utf-8"))
    names = {key: told[key] for key in ("images", "captions") if told[key] is not None}
    if told["version"] != 1 or any(Path(name).name != name for name in names.values()):
        raise ValueError("another version, or a file elsewhere")
    manifest = Manifest(
        encoder=f"an earlier archive's model ({told['checkpoint'][:12]})",
        **{key: told[key] for key in ("folder", "checkpoint", "local", "kind", "tiles")},
        unreadable=tuple(told["unreadable"]),
    )
    versions = {}
    places: list[dict[str, Any]] | None = None
    if manifest.tiles is not None:
        file = names["images"].replace("images-", "tiles-").replace(".h5", ".npz")
        scenes, places = _tiles(old / file)
        store.put("scenes", scenes_table(scenes))
        versions["scenes"] = store.table("scenes").version
    write_content(store, (old / "model.pth").read_bytes())
    with h5py.File(old / names["images"], "r") as images:
        vectors = images["embeddings"]
        total = len(vectors)
        if total != len(images["names"]) or (places is not None and total != len(places)):
            raise ValueError("each image must have an embedding")
        for start in range(0, total, ROWS):
            part = slice(start, start + ROWS)
            of = [images["names"].asstr(), images["sizes"], images["modified"]]
            own = zip(*(one[part].tolist() for one in of), strict=True)
            columns = [dict(zip(("name", "size", "time"), one, strict=True)) for one in own]
            for one, place in zip(columns, places[part] if places else (), strict=False):
                one.update(place)
            rows = table_of(columns, vectors[part].astype(np.float32), tiles=places is not None)
            store.put("images", rows)
    if "captions" in names:
        with h5py.File(old / names["captions"], "r") as file:
            texts = file["captions"].asstr()[:].tolist()
            table = captions_table(texts, np.asarray(file["embeddings"][()], np.float32))
        versions["captions"] = store.replace("captions", table)
    store.tidy()
    store.index(manifest.kind)
    store.begin(manifest)
    store.publish(versions=versions)
    return total


def _tiles(path: Path) -> tuple[dict[str, SceneFacts], list[dict[str, Any]]]:
    """The scenes by name, and the columns of each tile."""
    with np.load(path, allow_pickle=False) as file:
        scenes = {name: SceneFacts(*facts) for name, *facts in json.loads(file["scenes"].tobytes())}
        names = [list(scenes)[scene] for scene in file["scene"]]
        corners = [None if np.isnan(own).any() else own for own in file["footprints"]]
        windows = [Window(*window) for window in file["windows"].tolist()]
    return scenes, [place_of(Tile(*one), None) for one in zip(names, windows, corners, strict=True)]
