"""Images -> rows of an archive: decoded, encoded, and described by what was seen of them."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from galr.common.errors import UserError
from galr.common.processes import cores
from galr.images.decoding import resize_to_square
from galr.local_features.store import LocalFeatures
from galr.search.encoder import Model
from galr.search.store import Floats, image_schema, vectors_column
from galr.trained_model import TrainedModel

BATCHES_AHEAD = 3


class ImageFile(NamedTuple):
    """By which a file is known again: another size or time is another image."""

    name: str
    size: int  # bytes
    modified: int  # ns


class Seen(NamedTuple):
    """A decoded image: pixels (S, S, 3), and the columns that tell of it."""

    pixels: NDArray[np.uint8]
    columns: dict[str, Any]


class Encoded(NamedTuple):
    """A batch: rows of the table of images, and what is wrong with the images that have none."""

    rows: pa.Table
    problems: list[UserError]


@dataclass(frozen=True)
class Encoding:
    """How image files become rows.

    ``picture`` decodes a file, ``place`` gives the columns of where a tile lies (None: no tiles),
    ``local`` the local features of all files to come, by ``numbers``. ``thumbnails``: their longer
    side in pixels, 0 for none.
    """

    encoder: Model
    picture: Callable[[ImageFile], Image.Image]
    place: Callable[[ImageFile], dict[str, Any]] | None
    local: LocalFeatures | None
    numbers: dict[str, int]  # of the files' local features
    thumbnails: int = 0

    def run(self, batches: Sequence[Sequence[ImageFile]]) -> Iterator[Encoded]:
        """The rows of each batch, in order; some batches are decoded ahead."""
        ahead: deque[tuple[Sequence[ImageFile], list[Future[Seen | UserError]]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:
            try:
                for batch in batches:
                    ahead.append((batch, [pool.submit(self.see, file) for file in batch]))
                    if len(ahead) >= BATCHES_AHEAD:
                        files, futures = ahead.popleft()
                        yield self.encode(files, [future.result() for future in futures])
                while ahead:
                    files, futures = ahead.popleft()
                    yield self.encode(files, [future.result() for future in futures])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def see(self, file: ImageFile) -> Seen | UserError:
        """One image, or what is wrong with it."""
        try:
            image = self.picture(file)
            pixels = resize_to_square(image, self.encoder.side)
        except UserError as error:
            return error
        digest = hashlib.sha256(f"{image.size} {image.mode}".encode())
        digest.update(image.tobytes())
        folder = PurePosixPath(file.name.partition("#")[0]).parent.name
        columns = {
            "name": file.name, "size": file.size, "time": file.modified, "class": folder or None,
            "digest": digest.hexdigest(), "width": image.width, "height": image.height,
        }  # fmt: skip
        if self.thumbnails:
            columns["thumbnail"] = _thumbnail(image, self.thumbnails)
        return Seen(pixels, columns | (self.place(file) if self.place else {}))

    def encode(self, files: Sequence[ImageFile], decoded: Sequence[Seen | UserError]) -> Encoded:
        """The rows of ``files``, in their order. Raises UserError for a model that gives NaN."""
        seen = [one for one in decoded if isinstance(one, Seen)]
        vectors, own = np.empty((0, 1), np.float32), None
        if seen:
            if self.local is not None:
                own = self.local.select([self.numbers[one.columns["name"]] for one in seen])
                for one, objects in zip(seen, self._objects(own), strict=True):
                    one.columns["objects"] = objects
            pixels = np.stack([one.pixels for one in seen])
            vectors = self.encoder.encode_pixels(pixels, own).numpy()
            if not np.isfinite(vectors).all():
                what = "gives image embeddings with NaN or infinity"
                raise UserError("the model", what, "use another --checkpoint")
        problems = [one for one in decoded if isinstance(one, UserError)]
        columns = [one.columns for one in seen]
        return Encoded(table_of(columns, vectors, tiles=self.place is not None), problems)

    def _objects(self, local: LocalFeatures) -> list[list[str]]:
        """The classes of each image's objects."""
        assert isinstance(self.encoder, TrainedModel)
        names = np.array(self.encoder.options.dataset.drea.classes)
        kinds = local.representation[..., : len(names)].argmax(axis=2)
        there = local.representation.any(axis=2)
        return [
            names[own[some]].tolist() for own, some in zip(kinds, np.atleast_2d(there), strict=True)
        ]


def table_of(columns: Sequence[dict[str, Any]], vectors: Floats, *, tiles: bool) -> pa.Table:
    """Rows of the table of images; what ``columns`` lack is null."""
    schema = image_schema(vectors.shape[1], tiles=tiles)
    arrays = [
        vectors_column(vectors)
        if field.name == "vector"
        else pa.array([own.get(field.name) for own in columns], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _thumbnail(image: Image.Image, longest: int) -> bytes:
    small = image.copy()
    small.thumbnail((longest, longest))
    small.info.clear()  # where Pillow keeps comments and places, and writes them again
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
