"""What a build begins with: an archive that is there, or a new one, that fits the inputs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from galr.common.errors import UserError
from galr.common.folder_lock import holding
from galr.common.hashing import file_digest
from galr.images.places import ImagePlace
from galr.scenes.tiles import Tiling
from galr.search.encoder import Encoder
from galr.search.schema import Manifest
from galr.search.store import DISK, OLD_MANIFEST, Store
from galr.weights.exported import WEIGHTS, is_exported

logger = logging.getLogger(__name__)

COMMIT_END = b"LANC"  # by which the file of a commit is whole


def started(
    out: str | Path, place: ImagePlace, model: str | Path | Encoder, local: str | Path | None,
    tiles: Tiling | None, *, overwrite: bool,
) -> tuple[Store, Manifest, bool]:  # fmt: skip
    """The archive ``out``, checked against the inputs, and whether it is new.

    Raises UserError for an ``out`` that is no archive, or one of other inputs.
    """
    encoder = identity = getattr(model, "identity", "")
    if isinstance(model, str | Path):
        file = Path(model) / WEIGHTS if is_exported(Path(model)) else Path(model)
        identity = file_digest(file, "name a checkpoint of train.py (best.pth)")
        encoder = f"{model} ({identity[:12]})"
    given = Manifest(
        folder=place.address, encoder=encoder, own=not isinstance(model, str | Path),
        checkpoint=identity, tiles=tiles,
        local=None if local is None else file_digest(local, "name a store, or omit --local"),
    )  # fmt: skip
    if "://" not in str(out):
        _check_folder(Path(out), overwrite=overwrite)
    store = Store(out, create=True)
    if overwrite:
        store.drop()
        for name in (OLD_MANIFEST, "model.pth", "*.h5", "*.npz", "*.faiss"):
            for old in [] if store.folder is None else list(store.folder.glob(name)):
                old.unlink()
    _roll_back(store)
    if not store.has_begun():
        store.drop()
        return store, given, True
    manifest = store.manifest()
    for field, what, shown in (
        ("checkpoint", "another checkpoint", "encoder"),
        ("local", "other local features", "local"),
        ("tiles", "other tiles (--tiles, --overlap, --bands)", "tiles"),
    ):
        if getattr(manifest, field) != getattr(given, field):
            before, now = (str(getattr(one, shown) or "none")[:80] for one in (manifest, given))
            remedy = "choose another --out, or add --overwrite to rebuild it"
            raise UserError(out, f"was built with {what}: {before}, not {now}", remedy)
    return store, manifest, False


def _roll_back(store: Store) -> None:
    """Takes back what a failing disk has left half written, commits and tables without any."""
    if (folder := store.folder) is None or not folder.is_dir():
        return
    with store.told(*DISK), holding(folder, waiting=""):
        for table in folder.glob("*.lance"):
            commits = list(table.glob("_versions/*.manifest"))
            torn = [one for one in commits if _end_of(one) != COMMIT_END]
            for one in torn:
                logger.warning("%s: a half written commit is taken back", one)
                one.unlink()
            if len(torn) == len(commits):
                shutil.rmtree(table)
    if store.has_begun():  # readers are told of no version that has gone
        before = store.manifest()
        there = {name: store.table(name).version for name in before.versions if store.has(name)}
        left = {name: min(before.versions[name], there[name]) for name in there}
        if left != before.versions:
            store.put("archive", before.model_copy(update={"versions": left}).row(), on="key")


def _end_of(commit: Path) -> bytes:
    with commit.open("rb") as file:
        file.seek(max(0, commit.stat().st_size - len(COMMIT_END)))
        return file.read()


def _check_folder(path: Path, *, overwrite: bool) -> None:
    """Raises UserError where ``path`` is neither an archive nor empty."""
    if path.is_file():
        raise UserError(path, "is a file, but an archive is a folder", "choose another --out")
    is_old = (path / OLD_MANIFEST).is_file()
    if is_old and not overwrite:
        remedy = f"run python -m galr.search migrate {path} NEW, or add --overwrite"
        raise UserError(path, "is an archive of an earlier version", remedy)
    if path.is_dir() and not is_old and any(one.suffix != ".lance" for one in path.iterdir()):
        raise UserError(path, "contains other files", "choose another --out")
