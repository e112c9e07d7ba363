"""The encoding of an archive on the machines of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from galr.common.cluster import stream_on_cluster
from galr.common.processes import cores
from galr.images.places import ImageFile
from galr.search.rows import Encoded, Encoding
from galr.trained_model import TrainedModel


def encode_on_ray(work: Encoding, batches: Sequence[Sequence[ImageFile]]) -> Iterator[Encoded]:
    """The rows of each batch, in order, as ``Encoding.run`` gives them.

    A process with the model for each GPU, or for as many cores as this machine has; all machines
    must see the images at the same paths. Raises as ``stream_on_cluster``.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", cores()))
    return stream_on_cluster(partial(_encode, work, threads), batches, threads=threads)


def _encode(work: Encoding, threads: int, batch: Sequence[ImageFile]) -> Encoded:
    torch.set_num_threads(threads)
    if torch.cuda.is_available() and isinstance(work.encoder, TrainedModel):
        work.encoder.model.to("cuda")
    (encoded,) = work.run([batch])
    return encoded
