"""Archives of format 1, a folder of HDF5 files, as archives of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from galr.common.arrays import DAMAGED_ARRAYS
from galr.common.errors import UserError
from galr.search.kept_model import write_content
from galr.search.rows import table_of
from galr.search.store import OLD_MANIFEST, Manifest, Store, vectors_column
from galr.search.tiles import SCENES, place_of

ROWS = 1 << 14
REMEDY = "build an archive anew with python -m galr.search index"


def migrate(old: str | Path, new: str | Path) -> int:
    """Writes the archive ``old`` as ``new`` and returns its images; nothing is encoded again.

    Raises UserError where ``old`` is no whole archive of format 1, or ``new`` is there.
    """
    folder = Path(old)
    if not (folder / OLD_MANIFEST).is_file():
        raise UserError(folder, "is no archive of an earlier version", REMEDY)
    store = Store(new, create=True)
    if store.has("archive"):
        raise UserError(new, "is an archive already", "name another folder")
    try:
        return _migrated(folder, store)
    except (*DAMAGED_ARRAYS, AttributeError, TypeError, RuntimeError):
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
    places: list[dict[str, Any]] | None = None
    if manifest.tiles is not None:
        with np.load(old / names["images"].replace("images-", "tiles-").replace(".h5", ".npz"),
                     allow_pickle=False) as stored:  # fmt: skip
            scenes = [
                dict(zip(SCENES.names[:-1], facts, strict=True))
                for facts in json.loads(stored["scenes"].tobytes())
            ]
            places = [
                place_of(scenes[scene]["name"], window, footprint, None)
                for scene, window, footprint in zip(
                    stored["scene"], stored["windows"].tolist(), stored["footprints"], strict=True
                )
            ]
        store.put("scenes", pa.Table.from_pylist(scenes, schema=SCENES))
    write_content(store, (old / "model.pth").read_bytes())
    with h5py.File(old / names["images"], "r") as file:
        total = len(file["names"])
        if total != len(file["embeddings"]) or (places is not None and total != len(places)):
            raise ValueError("each image must have an embedding")
        for start in range(0, total, ROWS):
            part = slice(start, start + ROWS)
            columns = [
                {"name": name.decode(), "size": size, "time": time, **place}
                for name, size, time, place in zip(
                    file["names"][part], file["sizes"][part].tolist(),
                    file["modified"][part].tolist(),
                    [{}] * ROWS if places is None else places[part],
                    strict=False,
                )
            ]  # fmt: skip
            vectors = np.asarray(file["embeddings"][part], np.float32)
            store.put("images", table_of(columns, vectors, tiles=manifest.tiles is not None))
    versions = {}
    if "captions" in names:
        with h5py.File(old / names["captions"], "r") as file:
            texts = pa.array(file["captions"].asstr()[:].tolist())
            vectors = np.asarray(file["embeddings"][()], np.float32)
        rows = pa.table({"text": texts, "vector": vectors_column(vectors)})
        versions["captions"] = store.replace("captions", rows)
    if manifest.tiles is not None:
        versions["scenes"] = store.table("scenes").version
    store.tidy()
    store.index(manifest.kind)
    store.begin(manifest)
    store.publish(versions=versions)
    return total
