"""The encoding of an archive on the machines of a Ray cluster, by Ray Data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch

from galr.common.cluster import connect
from galr.common.errors import RunError, UserError
from galr.common.processes import cores
from galr.search.rows import Encoded, Encoding, ImageFile
from galr.search.tiles import NoData
from galr.trained_model import TrainedModel

MOST_BLOCKS = 4096  # that batches are sent in: so much is done again where a machine is lost


def encode_on_ray(work: Encoding, batches: Sequence[Sequence[ImageFile]]) -> Iterator[Encoded]:
    """The rows of each batch, in order, as ``Encoding.run`` gives them.

    A process with the model for each GPU, or for as many cores as this machine has; all machines
    must see the images at the same paths. Batches of a process or machine that is lost are encoded
    again elsewhere, and come once. Raises UserError where ray is missing, and RunError where the
    cluster fails.
    """
    ray = connect()
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    threads = min(int(os.environ.get("OMP_NUM_THREADS", cores())), int(resources["CPU"]))
    replicas = gpus or max(1, int(resources["CPU"]) // threads)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    sent = [{"files": json.dumps(batch)} for batch in batches]
    rows = ray.data.from_items(sent, override_num_blocks=min(len(sent), MOST_BLOCKS)).map(
        _Replica,
        fn_constructor_args=(work, threads, os.getcwd()),
        concurrency=(1, replicas, replicas),  # at least, at most, at first
        num_cpus=threads,
        num_gpus=1 if gpus else 0,
    )
    try:
        for row in rows.iter_rows():
            table = pa.ipc.open_stream(row["rows"]).read_all()
            problems = [
                (NoData if is_empty else UserError)(*told)
                for is_empty, *told in json.loads(row["problems"])
            ]
            yield Encoded(table, problems)
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            cause = getattr(cause, "cause", None) or cause.__cause__
            if isinstance(cause, UserError):
                raise cause from None
        told = str(error).strip().partition("\n")[0][:200]
        remedy = "see the logs of ray, and run this again: it goes on"
        raise RunError("the cluster", f"failed ({told})", remedy) from None


class _Replica:
    """A process with the model; called with a batch."""

    def __init__(self, work: Encoding, threads: int, folder: str) -> None:
        os.chdir(folder)
        torch.set_num_threads(threads)
        self._work = work
        if torch.cuda.is_available() and isinstance(work.encoder, TrainedModel):
            work.encoder.model.to("cuda")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        batch = [ImageFile(*file) for file in json.loads(row["files"])]
        (encoded,) = self._work.run([batch])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, encoded.rows.schema) as writer:
            writer.write_table(encoded.rows)
        problems = [
            [isinstance(one, NoData), one.place, one.what, one.remedy] for one in encoded.problems
        ]
        return {"rows": sink.getvalue().to_pybytes(), "problems": json.dumps(problems)}
