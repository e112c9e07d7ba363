"""What a build begins with: an archive that is there, or a new one, that fits the inputs."""

from __future__ import annotations

from pathlib import Path

from galr.common.errors import UserError
from galr.common.hashing import file_digest
from galr.images.places import ImagePlace
from galr.scenes.tiles import Tiling
from galr.search.encoder import Encoder
from galr.search.schema import Manifest
from galr.search.store import OLD_MANIFEST, Store
from galr.weights.exported import WEIGHTS, is_exported


def started(
    out: str | Path,
    place: ImagePlace,
    model: str | Path | Encoder,
    local: str | Path | None,
    tiles: Tiling | None,
    *,
    overwrite: bool,
) -> tuple[Store, Manifest, bool]:
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
        _clear(store)
    store.roll_back()
    if not store.has_begun():
        store.drop()
        return store, given, True
    manifest = store.manifest()
    if manifest.checkpoint != identity:
        raise _another(out, "another checkpoint", manifest.encoder, encoder)
    if manifest.local != given.local:
        raise _another(out, "other local features", manifest.local, given.local)
    if manifest.tiles != tiles:
        raise _another(out, "other tiles (--tiles, --overlap, --bands)", manifest.tiles, tiles)
    return store, manifest, False


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


def _clear(store: Store) -> None:
    store.drop()
    for name in (OLD_MANIFEST, "model.pth", "*.h5", "*.npz", "*.faiss"):
        for old in [] if store.folder is None else list(store.folder.glob(name)):
            old.unlink()


def _another(out: str | Path, what: str, before: object, now: object) -> UserError:
    shown = [str(one)[:80] if one is not None else "none" for one in (before, now)]
    remedy = "choose another --out, or add --overwrite to rebuild it"
    return UserError(out, f"was built with {what}: {shown[0]}, not {shown[1]}", remedy)
