"""Images -> rows of an archive: decoded, encoded, and described by what was seen of them."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from galr.common.cluster import stream_on_cluster
from galr.common.errors import UserError
from galr.common.processes import cores
from galr.detectors.inspect import classes_of
from galr.images.decoding import is_nearly_constant, resize_to_square
from galr.images.places import ImageFile
from galr.images.small import small_jpeg
from galr.local_features.store import LocalFeatures
from galr.scenes.tiles import scene_of
from galr.search.encoder import Model
from galr.search.schema import table_of
from galr.search.source import Source
from galr.trained_model import TrainedModel

BATCHES_AHEAD = 2


class Seen(NamedTuple):
    """A decoded image: pixels (S, S, 3), and the columns that tell of it; or its problem."""

    name: str
    problem: UserError | None
    pixels: NDArray[np.uint8] = np.empty(0, np.uint8)
    columns: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, which nobody changes
    is_constant: bool = False


class Encoded(NamedTuple):
    """A batch: rows of the table of images, and what is wrong with the images that have none.

    ``constant``: the names of images that are nearly of one value.
    """

    rows: pa.Table
    problems: dict[str, UserError]
    constant: list[str]


@dataclass(frozen=True)
class Encoding:
    """How image files become rows."""

    encoder: Model
    source: Source
    local: LocalFeatures | None
    numbers: dict[str, int]  # of the local features, by name
    thumbnails: int = 0  # their longer side in pixels, 0 for none

    def run(self, batches: Sequence[Sequence[ImageFile]]) -> Iterator[Encoded]:
        """The rows of each batch, in order; some batches are decoded ahead."""
        ahead: deque[list[Future[Seen]]] = deque()
        with ThreadPoolExecutor(cores()) as pool:
            try:
                for batch in chain(batches, [()] * BATCHES_AHEAD):
                    ahead.append([pool.submit(self.see, file) for file in batch])
                    if len(ahead) > BATCHES_AHEAD:
                        yield self.encode([future.result() for future in ahead.popleft()])
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def run_on_ray(self, batches: Sequence[Sequence[ImageFile]]) -> Iterator[Encoded]:
        """As ``run``, on the machines of a Ray cluster (``stream_on_cluster``)."""
        threads = int(os.environ.get("OMP_NUM_THREADS", cores()))
        return stream_on_cluster(self._run_one, batches, threads=threads)

    def _run_one(self, batch: Sequence[ImageFile]) -> Encoded:
        if torch.cuda.is_available() and isinstance(self.encoder, TrainedModel):
            self.encoder.model.to("cuda")
        (encoded,) = self.run([batch])
        return encoded

    def see(self, file: ImageFile) -> Seen:
        """One image, or what is wrong with it."""
        try:
            image = self.source.picture(file, self.encoder.scaling)
            pixels = resize_to_square(image, self.encoder.side)
        except UserError as error:
            return Seen(file.name, error)
        digest = hashlib.sha256(f"{image.size} {image.mode}".encode())
        digest.update(image.tobytes())
        columns = {
            "name": file.name, "size": file.size, "time": file.modified,
            "class": PurePosixPath(scene_of(file.name)).parent.name or None,
            "digest": digest.hexdigest(), "width": image.width, "height": image.height,
            **self.source.columns(file),
        }  # fmt: skip
        if self.thumbnails:
            columns["thumbnail"] = small_jpeg(image, self.thumbnails)
        # tiles of a scene, of which many show water alone, have one range of numbers
        flat = self.source.scenes is None and is_nearly_constant(pixels)
        return Seen(file.name, None, pixels, columns, flat)

    def encode(self, decoded: Sequence[Seen]) -> Encoded:
        """The rows of a batch, in its order. Raises UserError for a model that gives NaN."""
        seen = [one for one in decoded if one.problem is None]
        vectors, own = np.empty((0, 1), np.float32), None
        if seen:
            if self.local is not None:
                own = self.local.select([self.numbers[one.name] for one in seen])
                assert isinstance(self.encoder, TrainedModel)
                classes = self.encoder.options.dataset.drea.classes
                for one, objects in zip(seen, classes_of(own, classes), strict=True):
                    one.columns["objects"] = objects
            pixels = np.stack([one.pixels for one in seen])
            vectors = self.encoder.encode_pixels(pixels, own).numpy()
            if not np.isfinite(vectors).all():
                what = "gives image embeddings with NaN or infinity"
                raise UserError("the model", what, "use another --checkpoint")
        columns, tiles = [one.columns for one in seen], self.source.scenes is not None
        problems = {one.name: one.problem for one in decoded if one.problem is not None}
        constant = [one.name for one in seen if one.is_constant]
        return Encoded(table_of(columns, vectors, tiles=tiles), problems, constant)
