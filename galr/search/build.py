"""Images -> an archive, some at a time; what was done is not done again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from galr.common.atomic import check_room
from galr.common.errors import UserError
from galr.common.progress import Progress
from galr.data.annotations import read_captions
from galr.images.content import image_contents
from galr.images.decoding import warn_of_constant
from galr.images.places import ImageFile
from galr.local_features.store import LocalFeatures, read_local_features
from galr.scenes.tiles import NoData, Tiling, scene_of
from galr.search.columns import Columns
from galr.search.encoder import Encoder, Model, Own, comparison_of, keep_model, read_model
from galr.search.rows import Encoded, Encoding
from galr.search.schema import Kind, Manifest, captions_table
from galr.search.source import Source, open_source
from galr.search.starting import started
from galr.search.store import Store
from galr.search.tiles import scenes_table

logger = logging.getLogger(__name__)

SECONDS_A_PART = 10.0
ROWS_A_PART = 8192
LEAST_IVFPQ = 10_000  # images: with fewer there is nothing to train the codes on
SHOWN = 10  # unreadable images that are told one by one

Engine = Callable[[Encoding, Sequence[Sequence[ImageFile]]], Iterator[Encoded]]


class Built(NamedTuple):
    """What a build did."""

    images: int  # in the archive
    encoded: int  # by this build
    unreadable: tuple[str, ...]


def build_archive(
    images: str | Path, checkpoint: str | Path | None, out: str | Path, *,
    local: str | Path | None = None, kind: Kind | None = None,
    captions: str | Path | None = None, vocab: str | Path | None = None,
    path_opt: str | Path | None = None, batch_size: int = 64, device: str = "auto",
    overwrite: bool = False, tiles: Tiling | None = None, columns: str | Path | None = None,
    only: Sequence[str] = (), thumbnails: int = 0, encoder: Encoder | None = None,
    engine: Engine = Encoding.run,
) -> Built:  # fmt: skip
    """Encodes ``images``, a folder, an address or a Parquet list of them, into the archive ``out``.

    ``out`` is a folder or an address such as ``s3://bucket/archive``. ``local`` is a store of local
    features with an entry for every image; ``kind`` is that of the archive where it is None, flat
    for a new one; ``captions`` a file with a caption a line, for rerank; ``vocab`` and ``path_opt``
    complete a checkpoint that does not hold its vocabulary and options; ``only``: folders below
    ``images`` that are looked at, and no others; ``tiles`` cuts the images into tiles, which are
    images of the archive then; ``columns``: a CSV or Parquet file whose columns the images get, by
    ``name``; ``thumbnails``: the longer side of small pictures that are stored, 0 for none;
    ``encoder`` stands in place of ``checkpoint``; ``engine`` runs the encoding elsewhere.

    Where ``out`` is an archive of the same inputs, only images that are new or changed are encoded,
    and those that are gone leave it; so a build that was killed goes on. Several builds may write
    at once. Images that cannot be decoded are left out and reported. Raises UserError for what does
    not fit together.
    """
    given = checkpoint if encoder is None else encoder
    if given is None:
        raise UserError("--checkpoint", "is missing", "name a best.pth, or an --encoder")
    reference = None if captions is None else read_captions(captions)
    joined = None if columns is None else Columns(Path(columns))
    source = open_source(images, only, tiles)
    if tiles is not None and local is not None:
        raise UserError(local, "tiles have no local features", "omit --local")
    if kind == "ivfpq" and len(source.files) < LEAST_IVFPQ and not only:
        raise too_few(len(source.files))

    store, manifest, is_new = started(out, source.place, given, local, tiles, overwrite=overwrite)
    _check_only(store, source)
    if only and manifest.folder != source.place.address:
        told = "%s: all its images are looked for in %s from now on, no longer in %s"
        logger.warning(told, out, source.place.address, manifest.folder)
    if is_new and checkpoint is not None and encoder is None:
        # a scene has a range of numbers of its own, a folder of images one of them all
        has_one = source.scenes is None and not source.place.is_remote
        measured = [file.name for file in source.files] if has_one else []
        keep_model(checkpoint, store, vocab, path_opt, source.place.folder, measured)
    kind = kind or manifest.kind
    batches, latest = _left_to_encode(store, manifest, source, batch_size)
    todo = [file for batch in batches for file in batch]
    changes = bool(todo) or kind != manifest.kind
    model = cache(lambda: read_model(store, device) if encoder is None else Own(encoder))
    if changes or reference is not None:
        _check_kind(model(), kind)
    problems: dict[str, UserError] = {}
    if todo:
        own = model()
        features = _local_features(own, local, source, [file.name for file in todo])
        if store.folder is not None and not isinstance(own, Own):
            check_room(store.folder, 2 * 4 * len(source.files) * own.model.embed_dim)
        if is_new:  # from here on a build can go on
            store.begin(manifest)
        work = Encoding(own, source, *features, thumbnails)
        problems = _encode(engine(work, batches), len(todo), store)
        if len(problems) == len(source.files) and not latest:
            raise next(iter(problems.values()))

    failed = _failed(source, problems)
    kept = {file.name for file in source.files if scene_of(file.name) not in failed}
    failed |= {name for name in manifest.unreadable if not source.looks_at(name)}
    store.remove(sorted(set(latest) - kept))
    if joined is not None and not todo and joined.digest == manifest.columns:
        joined = None  # as before
    if joined is not None:
        joined.join(store)
    versions = {}
    if reference is not None:
        table = captions_table(reference, model().encode_texts(reference).numpy())
        versions["captions"] = store.replace("captions", table)
    if source.scenes is not None:
        store.put("scenes", scenes_table(source.scenes))
        versions["scenes"] = store.table("scenes").version
    if changes or joined is not None or set(latest) != kept:
        store.tidy()
        store.index(kind)
    manifest = store.publish(
        folder=source.place.address, kind=kind, unreadable=tuple(sorted(failed)),
        columns=manifest.columns if joined is None else joined.digest, versions=versions,
    )  # fmt: skip
    total = len(store.table("images", manifest.versions["images"]))
    return Built(total, len(todo) - len(problems), manifest.unreadable)


def _check_only(store: Store, source: Source) -> None:
    """UserError for a folder of ``only`` without images, neither there nor in the archive."""
    names = {file.name for file in source.files} | set(source.problems)
    for part in source.only:
        own = f"{part.strip('/')}/"
        if any(name.startswith(own) for name in names):
            continue
        if not store.has("images") or not any(
            name.startswith(own) for name in _known(store, None, source)
        ):
            remedy = "name a folder below --images, such as --only area/2024"
            raise UserError(f"--only {part}", f"holds no images in {source.place.address}", remedy)


def too_few(images: int) -> UserError:
    """The error for an index of ``ivfpq`` that has nothing to train its codes on."""
    what = f"needs at least {LEAST_IVFPQ} images, got {images}"
    return UserError("--kind ivfpq", what, "use --kind flat, which is exact and fast at this size")


def _left_to_encode(
    store: Store, manifest: Manifest, source: Source, batch_size: int
) -> tuple[list[list[ImageFile]], dict[str, ImageFile]]:
    """The batches of files that no build has encoded, and what the archive holds by name.

    A build that goes on has the batches of the one that was stopped, since the last digits of an
    embedding depend on how many are encoded with it.
    """
    finished, latest = ({}, {}) if not store.has("images") else (
        _known(store, version, source) for version in (manifest.versions.get("images"), None)
    )  # fmt: skip
    planned = [file for file in source.files if finished.get(file.name) != file]
    batches = [
        [file for file in planned[start : start + batch_size] if latest.get(file.name) != file]
        for start in range(0, len(planned), batch_size)
    ]
    there, total = len(source.files) - sum(map(len, batches)), len(source.files)
    if 0 < there < total:
        logger.info("%d of %d images are already in the archive", there, total)
    return [batch for batch in batches if batch], latest


def _known(store: Store, version: int | None, source: Source) -> dict[str, ImageFile]:
    """The images of a version that a build looks at, by name."""
    with store.told():
        rows = store.table("images", version).search().select(["name", "size", "time"]).to_arrow()
    times = rows["time"].cast(pa.int64()).to_pylist()
    files = map(ImageFile, rows["name"].to_pylist(), rows["size"].to_pylist(), times)
    return {file.name: file for file in files if source.looks_at(file.name)}


def _check_kind(model: Model, kind: Kind) -> None:
    if kind != "flat" and comparison_of(model) is not None:
        what = "is not supported for a model whose similarity is not a cosine"
        raise UserError(f"--kind {kind}", what, "use --kind flat, which is exact")


def _local_features(
    model: Model, local: str | Path | None, source: Source, names: list[str]
) -> tuple[LocalFeatures | None, dict[str, int]]:
    """Those of images, and their places by name."""
    if local is None:
        if model.has_local_branch:
            without = "all images are treated as having no objects"
            logger.warning("the model has a local branch but --local is not given: %s", without)
        return None, {}
    if isinstance(model, Own) or not model.has_local_branch:
        raise UserError(local, "the model has no local branch", "omit --local")
    place = source.place
    digests = None if place.is_remote else lambda: image_contents(place.folder, names).digests
    found = read_local_features(local, names, model.options.dataset.drea, digests=digests)
    return found, {name: number for number, name in enumerate(names)}


def _encode(work: Iterator[Encoded], total: int, store: Store) -> dict[str, UserError]:
    """Writes rows as they come, every few seconds; returns what is wrong with the unreadable."""
    problems: dict[str, UserError] = {}
    constant: list[str] = []
    waiting: list[pa.Table] = []
    written = time.monotonic()

    def write() -> None:
        if waiting:
            store.put("images", pa.concat_tables(waiting).combine_chunks())
        waiting.clear()

    with Progress("index", total=total, unit="images") as progress:
        try:
            for rows, wrong, flat in work:
                problems |= wrong
                constant += flat
                if len(rows):
                    waiting.append(rows)
                late = time.monotonic() - written >= SECONDS_A_PART
                if late or sum(map(len, waiting)) >= ROWS_A_PART:
                    write()
                    written = time.monotonic()
                progress.advance(len(rows) + len(wrong))
        finally:  # after Ctrl-C too
            write()
    warn_of_constant(constant, total)
    return problems


def _failed(source: Source, problems: dict[str, UserError]) -> set[str]:
    """The files that cannot be read, the first of which are told."""
    unreadable = {scene_of(name): one for name, one in problems.items() if type(one) is not NoData}
    unreadable |= source.problems
    for problem in list(unreadable.values())[:SHOWN]:
        logger.warning("skipped: %s", problem)
    return set(unreadable)
