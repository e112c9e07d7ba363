"""A folder of images -> an archive, some images at a time; what was done is not done again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from PIL import Image

from galr.common.atomic import check_room
from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.images.decoding import decode_image
from galr.images.folder import list_images
from galr.local_features.store import LocalFeatures, read_local_features
from galr.search.columns import Columns
from galr.search.encoder import Encoder, Model, Own, comparison_of
from galr.search.kept_model import keep_model, read_model
from galr.search.rows import Encoded, Encoding, ImageFile
from galr.search.store import (
    LEAST_IVFPQ,
    OLD_MANIFEST,
    Kind,
    Manifest,
    Store,
    Tiling,
    vectors_column,
)
from galr.search.tiles import Cut, NoData, window_of
from galr.weights.exported import WEIGHTS, is_exported

logger = logging.getLogger(__name__)

SECONDS_A_PART = 10.0
ROWS_A_PART = 8192

Batches = Sequence[Sequence[ImageFile]]
Engine = Callable[[Encoding, Batches], Iterator[Encoded]]


class Built(NamedTuple):
    """What a build did."""

    images: int  # in the archive
    encoded: int  # by this build
    unreadable: tuple[str, ...]


def build_archive(
    images: str | Path,
    checkpoint: str | Path | None,
    out: str | Path,
    *,
    local: str | Path | None = None,
    kind: Kind | None = None,
    captions: str | Path | None = None,
    vocab: str | Path | None = None,
    path_opt: str | Path | None = None,
    batch_size: int = 64,
    device: str = "auto",
    overwrite: bool = False,
    tiles: Tiling | None = None,
    columns: str | Path | None = None,
    only: Sequence[str] = (),
    thumbnails: int = 0,
    encoder: Encoder | None = None,
    engine: Engine = Encoding.run,
) -> Built:
    """Encodes the images below the folder ``images`` into the archive ``out``.

    ``out`` is a folder or an address such as ``s3://bucket/archive``. ``local`` is a store of local
    features with an entry for every image; ``kind`` is that of the archive where it is None, and
    flat for a new one; ``captions`` a file with a caption a line, which rerank needs, and which are
    kept where it is None; ``vocab`` and ``path_opt`` complete a checkpoint that does not hold its
    vocabulary and options. Where ``out`` is an archive of the same model and store, only images
    that are new or changed are encoded, and those that are gone leave it; so a build that was
    killed goes on. Several builds may write at once. ``only``: folders below ``images`` that are
    looked at, and no others. Images that cannot be decoded are left out and reported. ``tiles``
    cuts the images into tiles, which are images of the archive then. ``columns``: a CSV or Parquet
    file whose columns the images get, by ``name``. ``thumbnails``: the longer side of small
    pictures that are stored, 0 for none. ``encoder`` stands in place of ``checkpoint``; ``engine``
    runs the encoding elsewhere. Raises UserError for what does not fit together.
    """
    folder, started = Path(images), checkpoint if encoder is None else encoder
    if started is None:
        raise UserError("--checkpoint", "is missing", "name a best.pth, or an --encoder")
    if tiles is not None and local is not None:
        raise UserError(local, "tiles have no local features", "omit --local")
    reference = None if captions is None else _read_lines(Path(captions))
    joined = None if columns is None else Columns(Path(columns))
    listed = files = image_files(folder, only)
    cut = None if tiles is None else Cut(folder, listed, tiles)
    if cut is not None:
        files = cut.files
        if not files:
            raise cut.problems[0]
    if kind == "ivfpq" and len(files) < LEAST_IVFPQ and not only:
        raise too_few(len(files))
    store, manifest, fresh = _started(out, folder, started, local, overwrite, tiles)
    if fresh and encoder is None:
        assert checkpoint is not None
        # a scene has a range of numbers of its own, a folder of images one of them all
        of = None if cut else (folder, [file.name for file in files])
        keep_model(checkpoint, store, vocab, path_opt, images=of)
    model: Model | None = None
    whole, latest = _known(store, manifest.versions.get("images"), only), _known(store, None, only)
    todo, batches = _to_encode(files, whole, latest, batch_size)
    if todo or reference is not None or kind not in (None, manifest.kind):
        model = read_model(store, device) if encoder is None else Own(encoder)
        _check_kind(model, kind or manifest.kind)
    problems: list[UserError] = []
    if todo and model is not None:
        if len(todo) < len(files):
            told = len(files) - len(todo)
            logger.info("%d of %d images are already in the archive", told, len(files))
        work = Encoding(
            model,
            cut.picture if cut else _decoder(folder, model),
            cut.place if cut else None,
            *_local_features(model, local, todo),
            thumbnails,
        )
        if not store.is_remote and not isinstance(model, Own):
            check_room(Path(out), 2 * 4 * len(files) * model.model.embed_dim)
        if fresh:  # from here on a build can go on
            store.begin(manifest)
        problems = _encode(engine(work, batches), len(todo), store)
        if len(problems) == len(files) and not latest:
            raise problems[0]
    unreadable = [] if cut is None else cut.problems
    unreadable += [problem for problem in problems if not isinstance(problem, NoData)]
    for problem in unreadable[:10]:
        logger.warning("skipped: %s", problem)
    failed = {_name(problem, folder) for problem in unreadable}
    kept = {file.name for file in files if window_of(file.name)[0] not in failed}
    failed |= {name for name in manifest.unreadable if not _is_within(name, only)}
    store.remove(sorted(set(latest) - kept))
    if joined is not None and (todo or joined.digest != manifest.columns):
        joined.join(store)
    versions = {}
    if reference is not None and model is not None:
        vectors = model.encode_texts(reference).numpy()
        rows = pa.table({"text": pa.array(reference), "vector": vectors_column(vectors)})
        versions["captions"] = store.replace("captions", rows)
    if cut is not None:
        store.put("scenes", cut.rows())
        versions["scenes"] = store.table("scenes").version
    if todo or set(latest) != kept or kind not in (None, manifest.kind):
        store.tidy()
        store.index(kind or manifest.kind)
    manifest = store.publish(
        folder=str(folder.resolve()),
        kind=kind or manifest.kind,
        columns=manifest.columns if joined is None else joined.digest,
        unreadable=tuple(sorted(failed)),
        versions=versions,
    )
    total = len(store.table("images", manifest.versions["images"]))
    return Built(total, len(todo) - len(problems), manifest.unreadable)


def too_few(images: int) -> UserError:
    """The error for an index of ``ivfpq`` that has nothing to train its codes on."""
    return UserError(
        "--kind ivfpq",
        f"needs at least {LEAST_IVFPQ} images, got {images}",
        "use --kind flat, which is exact and fast at this size",
    )


def image_files(folder: Path, only: Sequence[str] = ()) -> list[ImageFile]:
    """The image files below ``folder`` with what tells that they have changed, by name."""
    names = list_images(folder, "name one by --images").names
    stats = [(name, (folder / name).stat()) for name in names if _is_within(name, only)]
    return [ImageFile(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _is_within(name: str, only: Sequence[str]) -> bool:
    return not only or any(name.startswith(f"{part.strip('/')}/") for part in only)


def _name(problem: UserError, folder: Path) -> str:
    """The image that an error is about, as the archive calls it."""
    place = Path(problem.place)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else place.name


def _started(
    out: str | Path,
    folder: Path,
    model: str | Path | Encoder,
    local: str | Path | None,
    overwrite: bool,
    tiles: Tiling | None,
) -> tuple[Store, Manifest, bool]:
    """The archive ``out``, checked against the inputs, and whether it is new."""
    remote, path = "://" in str(out), Path(out)
    if not remote and path.is_file():
        raise UserError(out, "is a file, but an archive is a folder", "choose another --out")
    if isinstance(model, str | Path):
        file = Path(model) / WEIGHTS if is_exported(Path(model)) else Path(model)
        digest = _digest(file, "name a checkpoint of train.py (best.pth)")
        encoder, own = f"{model} ({digest[:12]})", False
    else:
        digest, encoder, own = model.identity, model.identity, True
    given = Manifest(
        folder=str(folder.resolve()), encoder=encoder, own=own, checkpoint=digest, tiles=tiles,
        local=None if local is None else _digest(Path(local), "name a store, or omit --local"),
    )  # fmt: skip
    if not remote and path.is_dir():
        if (path / OLD_MANIFEST).is_file() and not overwrite:
            remedy = f"run python -m galr.search migrate {out} NEW, or add --overwrite"
            raise UserError(out, "is an archive of an earlier version", remedy)
        if not (path / OLD_MANIFEST).is_file() and any(
            entry.suffix != ".lance" for entry in path.iterdir()
        ):
            raise UserError(out, "contains other files", "choose another --out")
    store = Store(out, create=True)
    if overwrite:
        store.drop()
        for name in (OLD_MANIFEST, "model.pth", "*.h5", "*.npz", "*.faiss"):
            for old in [] if remote else list(path.glob(name)):
                old.unlink()
    if not store.has("archive"):
        return store, given, True
    manifest = store.manifest()
    for before, now, what, names in (
        (manifest.checkpoint, digest, "checkpoint", (manifest.encoder, encoder)),
        (manifest.local, given.local, "local features", (manifest.local, given.local)),
        (manifest.tiles, tiles, "tiles (--tiles, --overlap, --bands)", (manifest.tiles, tiles)),
    ):
        if before != now:
            shown = [str(one)[:80] if one is not None else "none" for one in names]
            raise UserError(
                out,
                f"was built with another {what}: {shown[0]}, not {shown[1]}"
                if what == "checkpoint"
                else f"was built with other {what}: {shown[0]}, not {shown[1]}",
                "choose another --out, or add --overwrite to rebuild it",
            )
    return store, manifest, False


def _known(store: Store, version: int | None, only: Sequence[str]) -> dict[str, ImageFile]:
    """The images at a version, or the latest, by name: those that a build looks at."""
    if not store.has("images"):
        return {}
    with store.told():
        search = store.table("images", version).search().select(["name", "size", "time"])
        rows = search.to_arrow()
        times = rows["time"].cast(pa.int64()).to_pylist()
        files = map(ImageFile, rows["name"].to_pylist(), rows["size"].to_pylist(), times)
        return {file.name: file for file in files if _is_within(file.name, only)}


def _to_encode(
    files: Sequence[ImageFile],
    whole: dict[str, ImageFile],
    latest: dict[str, ImageFile],
    batch_size: int,
) -> tuple[list[ImageFile], list[list[ImageFile]]]:
    """The files that no build has encoded, and the batches that they come in.

    ``whole``: images of the last build that was finished. A build that goes on has the batches of
    the one that was stopped, since the last digits of an embedding depend on how many are encoded
    with it.
    """
    planned = [file for file in files if whole.get(file.name) != file]
    batches = [
        [file for file in planned[start : start + batch_size] if latest.get(file.name) != file]
        for start in range(0, len(planned), batch_size)
    ]
    batches = [batch for batch in batches if batch]
    return [file for batch in batches for file in batch], batches


def _decoder(folder: Path, model: Model) -> Callable[[ImageFile], Image.Image]:
    return lambda file: decode_image(folder / file.name, model.scaling)


def _local_features(
    model: Model, local: str | Path | None, files: Sequence[ImageFile]
) -> tuple[LocalFeatures | None, dict[str, int]]:
    """Those of ``files``, and their places by name."""
    if local is None:
        if model.has_local_branch:
            logger.warning(
                "the model has a local branch but --local is not given: "
                "all images are treated as having no objects"
            )
        return None, {}
    if isinstance(model, Own) or not model.has_local_branch:
        raise UserError(local, "the model has no local branch", "omit --local")
    names = [file.name for file in files]
    found = read_local_features(local, names, model.options.dataset.drea)
    return found, {name: number for number, name in enumerate(names)}


def _check_kind(model: Model, kind: Kind) -> None:
    if kind != "flat" and comparison_of(model) is not None:
        raise UserError(
            f"--kind {kind}",
            "is not supported for a model whose similarity is not a cosine",
            "use --kind flat, which is exact",
        )


def _encode(work: Iterator[Encoded], total: int, store: Store) -> list[UserError]:
    """Writes rows as they come, every few seconds; returns what is wrong with the unreadable."""
    problems: list[UserError] = []
    waiting: list[pa.Table] = []
    written = time.monotonic()

    def write() -> None:
        nonlocal written
        if waiting:
            store.put("images", pa.concat_tables(waiting).combine_chunks())
        waiting.clear()
        written = time.monotonic()

    with Progress("index", total=total, unit="images") as progress:
        try:
            for rows, wrong in work:
                problems += wrong
                if len(rows):
                    waiting.append(rows)
                late = time.monotonic() - written >= SECONDS_A_PART
                if late or sum(map(len, waiting)) >= ROWS_A_PART:
                    write()
                progress.advance(len(rows) + len(wrong))
        finally:  # after Ctrl-C too
            write()
    return problems


def _read_lines(path: Path) -> list[str]:
    """The distinct lines of a file that are not empty, in order."""
    remedy = "name a file with one caption per line, such as train_caps.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(path, "there is no such caption file", remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"cannot be read ({error})", remedy) from None
    lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not lines:
        raise UserError(path, "holds no captions", remedy)
    return lines


def _digest(path: Path, remedy: str) -> str:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise UserError(path, what, remedy)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
