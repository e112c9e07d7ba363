"""A folder of images -> an archive, some images at a time; what was done is not done again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galr.common.atomic import check_room
from galr.common.errors import UserError
from galr.common.processes import cores
from galr.common.progress import Progress
from galr.images.decoding import decode_image, resize_to_square
from galr.images.folder import list_images
from galr.images.scaling import Scaling
from galr.local_features.store import LocalFeatures, read_local_features
from galr.model.comparison import Cosine
from galr.search.approximate import LEAST_IVFPQ, import_faiss, too_few, write_index
from galr.search.kept_model import keep_model
from galr.search.storage import (
    MANIFEST,
    MODEL,
    ROWS_A_WRITE,
    Floats,
    ImageFile,
    Kind,
    Manifest,
    Rows,
    Tiling,
    only_builder,
    read_manifest,
    read_rows,
    tiles_name,
    write_captions,
    write_manifest,
    write_rows,
)
from galr.search.tiles import Cut, NoData
from galr.trained_model import TrainedModel, load
from galr.weights.exported import WEIGHTS, is_exported

logger = logging.getLogger(__name__)

SECONDS_A_PART = 10.0
IMAGES_A_PART = 8192
BATCHES_AHEAD = 3


class Built(NamedTuple):
    """What a build did."""

    images: int  # in the archive
    encoded: int  # by this build
    unreadable: tuple[str, ...]


def build_archive(
    images: str | Path,
    checkpoint: str | Path,
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
) -> Built:
    """Encodes the images below the folder ``images`` into the archive ``out``.

    ``local`` is a store of local features with an entry for every image; ``kind`` is that of the
    archive where it is None, and flat for a new one; ``captions`` a file with a caption a line,
    which rerank needs, and which are kept where it is None; ``vocab`` and ``path_opt`` complete a
    checkpoint that does not hold its vocabulary and options. Where ``out`` is an archive of the
    same model and store, only images that are new or changed are encoded, and those that are gone
    leave it; so a build that was killed goes on. Images that cannot be decoded are left out and
    reported. ``tiles`` cuts the images into tiles, which are images of the archive then. Raises
    UserError for what does not fit together.
    """
    folder, out = Path(images), Path(out)
    if tiles is not None and local is not None:
        raise UserError(local, "tiles have no local features", "omit --local")
    if kind in ("hnsw", "ivfpq"):
        import_faiss()  # before hours of work
    reference = None if captions is None else _read_lines(Path(captions))
    listed = files = image_files(folder)
    cut = None if tiles is None else Cut(folder, listed, tiles)
    if cut is not None:
        files = cut.files
        if not files:
            raise cut.problems[0]
    if kind == "ivfpq" and len(files) < LEAST_IVFPQ:
        raise too_few(len(files))
    manifest = _started(out, folder, Path(checkpoint), local, overwrite, tiles)
    with only_builder(out):
        fresh = not (out / MANIFEST).is_file()
        if fresh:
            # a scene has a range of numbers of its own, a folder of images one of them all
            of = None if cut else (folder, [file.name for file in files])
            keep_model(checkpoint, out / MODEL, vocab, path_opt, images=of)
        sources = _sources(out, manifest)
        todo, batches = _to_encode(files, sources, manifest, batch_size)
        problems: list[UserError] = []
        encoder: TrainedModel | None = None
        if todo or reference is not None:
            encoder = load(out / MODEL, device)
            _check_kind(encoder, kind or manifest.kind)
        if todo and encoder is not None:
            if len(todo) < len(files):
                logger.info(
                    "%d of %d images are already in the archive", len(files) - len(todo), len(files)
                )
            matrices = _local_features(encoder, local, todo)
            # the parts, and the file that they are joined to
            check_room(out, 2 * 4 * len(files) * encoder.model.embed_dim)
            if fresh:  # from here on a build can go on
                write_manifest(out, manifest)
            picture = cut.picture if cut else _decoder(folder, encoder.scaling)
            problems = _encode(encoder, picture, batches, matrices, out)
            if len(problems) == len(files):
                raise problems[0]
        unreadable = [] if cut is None else cut.problems
        unreadable += [problem for problem in problems if not isinstance(problem, NoData)]
        for problem in unreadable[:10]:
            logger.warning("skipped: %s", problem)
        del sources
        files = files if cut is None else [*files, *listed]  # a scene may be unreadable as a whole
        manifest = _finished(out, manifest, folder, files, unreadable, kind or manifest.kind)
        if reference is not None and encoder is not None:
            manifest = _with_captions(
                out, manifest, reference, encoder.encode_texts(reference).numpy()
            )
        kept = read_rows(out / str(manifest.images)).files
        if cut is not None:
            cut.write(out / tiles_name(manifest), kept)
        write_manifest(out, manifest)
    return Built(len(kept), len(todo) - len(problems), manifest.unreadable)


def image_files(folder: Path) -> list[ImageFile]:
    """The image files below ``folder`` with what tells that they have changed, by name."""
    names = list_images(folder, "name one by --images").names
    stats = [(name, (folder / name).stat()) for name in names]
    return [ImageFile(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _started(
    out: Path,
    folder: Path,
    checkpoint: Path,
    local: str | Path | None,
    overwrite: bool,
    tiles: Tiling | None,
) -> Manifest:
    """The manifest of ``out``, which is made where it is not there; checked against the inputs."""
    fresh = Manifest(
        folder=str(folder.resolve()),
        checkpoint=_digest(
            checkpoint / WEIGHTS if is_exported(checkpoint) else checkpoint,
            "name a checkpoint of train.py (best.pth)",
        ),
        local=None if local is None else _digest(Path(local), "name a store, or omit --local"),
        tiles=tiles,
    )
    if out.is_file():
        raise UserError(out, "is a file, but an archive is a folder", "choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        # what a build leaves that was killed while it copied the model
        ours = all(path.name.startswith(MODEL) for path in out.iterdir())
        if not ours:
            raise UserError(out, "contains other files", "choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    if not (out / MANIFEST).is_file():
        return fresh
    if overwrite:
        with only_builder(out):
            for pattern in (MANIFEST, MODEL, "*.h5", "*.npz", "*.faiss", "*.tmp"):
                for path in out.glob(pattern):
                    path.unlink()
        return fresh
    manifest = read_manifest(out)
    for before, now, what in (
        (manifest.checkpoint, fresh.checkpoint, "another checkpoint"),
        (manifest.local, fresh.local, "other local features"),
        (manifest.tiles, fresh.tiles, "other tiles (--tiles, --overlap, --bands)"),
    ):
        if before != now:
            raise UserError(
                out,
                f"was built with {what}",
                "choose another --out, or add --overwrite to rebuild it",
            )
    return manifest


def _sources(out: Path, manifest: Manifest) -> list[Rows]:
    """What earlier builds have encoded."""
    paths = sorted(out.glob("part-*.h5"))
    if manifest.images is not None:
        paths.insert(0, out / manifest.images)
    return [read_rows(path) for path in paths]


def _to_encode(
    files: Sequence[ImageFile], sources: Sequence[Rows], manifest: Manifest, batch_size: int
) -> tuple[list[ImageFile], list[list[ImageFile]]]:
    """The files that no build has encoded, and the batches that they come in.

    A build that goes on has the batches of the one that was stopped, since the last digits of an
    embedding depend on how many are encoded with it.
    """
    finished = sources[: manifest.images is not None]
    whole = {file for rows in finished for file in rows.files}
    planned = [file for file in files if file not in whole]
    done = {file for rows in sources[len(finished) :] for file in rows.files}
    batches = [
        [file for file in planned[start : start + batch_size] if file not in done]
        for start in range(0, len(planned), batch_size)
    ]
    return [file for file in planned if file not in done], [batch for batch in batches if batch]


def _local_features(
    encoder: TrainedModel, local: str | Path | None, files: Sequence[ImageFile]
) -> LocalFeatures | None:
    if local is None:
        if encoder.has_local_branch:
            logger.warning(
                "the model has a local branch but --local is not given: "
                "all images are treated as having no objects"
            )
        return None
    if not encoder.has_local_branch:
        raise UserError(local, "the model has no local branch", "omit --local")
    return read_local_features(local, [file.name for file in files], encoder.options.dataset.drea)


def _check_kind(encoder: TrainedModel, kind: Kind) -> None:
    if kind != "flat" and not isinstance(encoder.model.comparison, Cosine):
        raise UserError(
            f"--kind {kind}",
            f"is not supported for {encoder.options.model.name}, whose similarity is not a cosine",
            "use --kind flat, which is exact",
        )


def _encode(
    encoder: TrainedModel,
    picture: Callable[[ImageFile], Image.Image],
    batches: Sequence[Sequence[ImageFile]],
    local: LocalFeatures | None,
    out: Path,
) -> list[UserError]:
    """Writes the embeddings of ``batches`` to parts; returns what is wrong with the unreadable."""
    problems: list[UserError] = []
    files = [file for batch in batches for file in batch]
    part = _Part(out)
    with Progress("index", total=len(files), unit="images") as progress:
        try:
            for start, decoded in _decoded(picture, batches, encoder.side):
                problems += [one for one in decoded if isinstance(one, UserError)]
                kept = [i for i, one in enumerate(decoded) if not isinstance(one, UserError)]
                if kept:
                    pixels = np.stack([one for one in decoded if not isinstance(one, UserError)])
                    rows = [start + i for i in kept]
                    own = None if local is None else local.select(rows)
                    embeddings = encoder.encode_pixels(pixels, own).numpy()
                    if not np.isfinite(embeddings).all():
                        what = "gives image embeddings with NaN or infinity"
                        raise UserError(out / MODEL, what, "use another --checkpoint")
                    part.add([files[row] for row in rows], embeddings)
                progress.advance(len(decoded))
        finally:  # after Ctrl-C too
            part.write()
    return problems


class _Part:
    """Gathers embeddings and writes them every few seconds."""

    def __init__(self, out: Path) -> None:
        self.out, self.last_write = out, time.monotonic()
        self.number = len(list(out.glob("part-*.h5")))
        self.files: list[ImageFile] = []
        self.blocks: list[Floats] = []

    def add(self, files: Sequence[ImageFile], embeddings: Floats) -> None:
        self.files += files
        self.blocks.append(embeddings)
        old = time.monotonic() - self.last_write >= SECONDS_A_PART
        if old or len(self.files) >= IMAGES_A_PART:
            self.write()

    def write(self) -> None:
        if self.files:
            path = self.out / f"part-{self.number:06d}.h5"
            write_rows(path, self.files, iter(self.blocks), self.blocks[0].shape[1])
            self.number += 1
        self.files, self.blocks, self.last_write = [], [], time.monotonic()


Decoded = list[NDArray[np.uint8] | UserError]


def _decoder(folder: Path, scaling: Scaling) -> Callable[[ImageFile], Image.Image]:
    return lambda file: decode_image(folder / file.name, scaling)


def _decoded(
    picture: Callable[[ImageFile], Image.Image], batches: Sequence[Sequence[ImageFile]], side: int
) -> Iterator[tuple[int, Decoded]]:
    """Batches of (S, S, 3) images or what is wrong with them; some are decoded ahead.

    With each comes the place of its first image among all.
    """

    def decode(file: ImageFile) -> NDArray[np.uint8] | UserError:
        try:
            return resize_to_square(picture(file), side)
        except UserError as error:
            return error

    ahead: deque[tuple[int, list[Future[NDArray[np.uint8] | UserError]]]] = deque()
    with ThreadPoolExecutor(cores()) as pool:
        try:
            start = 0
            for batch in batches:
                ahead.append((start, [pool.submit(decode, file) for file in batch]))
                start += len(batch)
                if len(ahead) >= BATCHES_AHEAD:
                    first, futures = ahead.popleft()
                    yield first, [future.result() for future in futures]
            while ahead:
                first, futures = ahead.popleft()
                yield first, [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(
    out: Path,
    manifest: Manifest,
    folder: Path,
    files: Sequence[ImageFile],
    unreadable: Sequence[UserError],
    kind: Kind,
) -> Manifest:
    """Joins the parts to one file in the order of names, and makes its approximate index."""
    sources = _sources(out, manifest)
    place = {file: (s, r) for s, rows in enumerate(sources) for r, file in enumerate(rows.files)}
    kept = [file for file in files if file in place]
    stamp = hashlib.sha256(repr((manifest.checkpoint, manifest.local, kept)).encode()).hexdigest()
    name = f"images-{stamp[:12]}.h5"
    if manifest.images != name:
        dim = sources[0].embeddings.shape[1]
        write_rows(out / name, kept, _gathered(sources, [place[file] for file in kept]), dim)
    approximate = None
    if kind != "flat":
        approximate = f"{kind}-{stamp[:12]}.faiss"
        if not (out / approximate).is_file():
            logger.info("building the %s index of %d images", kind, len(kept))
            write_index(out / approximate, kind, read_rows(out / name).embeddings)
    names = {Path(problem.place) for problem in unreadable}
    return manifest.model_copy(
        update={
            "folder": str(folder.resolve()),
            "kind": kind,
            "images": name,
            "approximate": approximate,
            "unreadable": tuple(f.name for f in files if folder / f.name in names),
        }
    )


def _gathered(sources: Sequence[Rows], places: Sequence[tuple[int, int]]) -> Iterator[Floats]:
    """The embeddings at ``places`` (source, row), some rows at a time."""
    pairs = np.array(places, dtype=np.int64).reshape(-1, 2)
    for start in range(0, len(pairs), ROWS_A_WRITE):
        own = pairs[start : start + ROWS_A_WRITE]
        block = np.empty((len(own), sources[0].embeddings.shape[1]), dtype=np.float32)
        for source in np.unique(own[:, 0]):
            chosen = own[:, 0] == source
            block[chosen] = sources[source].embeddings[own[chosen, 1]]
        yield block


def _with_captions(
    out: Path, manifest: Manifest, captions: Sequence[str], embeddings: Floats
) -> Manifest:
    stamp = hashlib.sha256(repr((manifest.checkpoint, captions)).encode()).hexdigest()
    name = f"captions-{stamp[:12]}.h5"
    write_captions(out / name, captions, embeddings)
    return manifest.model_copy(update={"captions": name})


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
