"""Runs work on a Ray cluster; Ray is optional, and imported on the first call."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from galr.common.errors import RunError, UserError

logger = logging.getLogger(__name__)

RETRIES = 5  # for a task whose worker or machine is lost
MOST_BLOCKS = 4096  # that items are sent in: so much is done again where a machine is lost
ROOT = Path(__file__).resolve().parents[2]  # of the package

Task = TypeVar("Task")
Result = TypeVar("Result")


def connect() -> Any:  # noqa: ANN401 - a module that need not be there
    """The package ray, connected to a cluster.

    That of ``RAY_ADDRESS``, else one started on this machine by ``ray start``, else a temporary one
    on this machine. Raises UserError if ray is missing or does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise UserError(
            "ray", "the package is not installed", "pip install -r requirements-scale.txt"
        ) from None
    if not ray.is_initialized():
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            ray.init(
                logging_level=logging.WARNING,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}},
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            place = f"RAY_ADDRESS {os.environ.get('RAY_ADDRESS', '(not set)')}"
            what = f"no cluster answers ({str(error).partition(chr(10))[0][:120]})"
            raise UserError(place, what, "start one: ray start --head") from None
    nodes = [node for node in ray.nodes() if node["Alive"]]
    found = ray.cluster_resources()
    logger.info(
        "ray: %d machines, %g cores, %g GPUs",
        len(nodes), found.get("CPU", 0), found.get("GPU", 0),
    )  # fmt: skip
    return ray


def on_cluster(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, threads: int, what: str
) -> list[Result]:
    """``work`` of each task, in their order, each in a fresh process with ``threads`` cores.

    Each has a GPU where the cluster has any. A task whose worker or machine is lost is begun again,
    ``RETRIES`` times at most, so it must be one that can be. ``work`` runs in the folder that this
    process is in, which all machines must share. What it raises is raised here; RunError where a
    task was lost too often.
    """
    ray = connect()
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    remote = ray.remote(
        num_cpus=threads, num_gpus=gpus, max_retries=RETRIES, retry_exceptions=False, max_calls=1
    )(_in_folder)
    waiting = [remote.remote(work, task, os.getcwd(), threads) for task in tasks]
    results = []
    for task in waiting:
        try:
            results.append(ray.get(task))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            told = str(error).strip().partition("\n")[0][:200]
            raise RunError(
                what, f"was lost {RETRIES + 1} times ({told})", "see the logs of Ray"
            ) from None
    return results


def stream_on_cluster(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, threads: int
) -> Iterator[Result]:
    """``work`` of each task, in their order and as it comes, by Ray Data.

    ``work`` is sent once to each of as many processes as have room with ``threads`` cores each, or
    as there are GPUs. Tasks of a process or machine that is lost are done again elsewhere, and come
    once. What ``work`` raises as UserError is raised here; RunError where the cluster fails.
    """
    ray = connect()
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    threads = min(threads, int(resources["CPU"]))
    replicas = gpus or max(1, int(resources["CPU"]) // threads)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    sent = [{"task": ray.cloudpickle.dumps(task)} for task in tasks]
    rows = ray.data.from_items(sent, override_num_blocks=min(len(sent), MOST_BLOCKS)).map(
        _Replica,
        fn_constructor_args=(work, threads, os.getcwd()),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=replicas, initial_size=replicas),
        num_cpus=threads,
        num_gpus=1 if gpus else 0,
    )
    try:
        for row in rows.iter_rows():
            yield ray.cloudpickle.loads(row["result"])
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            cause = getattr(cause, "cause", None) or cause.__cause__
            if isinstance(cause, UserError):
                raise cause from None
        told = str(error).strip().partition("\n")[0][:200]
        remedy = "see the logs of Ray, and run the command again to continue"
        raise RunError("the cluster", f"failed ({told})", remedy) from None


class _Replica:
    """A process that does tasks."""

    def __init__(self, work: Callable[[Any], Any], threads: int, folder: str) -> None:
        os.chdir(folder)
        torch.set_num_threads(threads)
        self._work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        cloudpickle: Any = importlib.import_module("ray.cloudpickle")
        return {"result": cloudpickle.dumps(self._work(cloudpickle.loads(row["task"])))}


def _in_folder(work: Callable[[Task], Result], task: Task, folder: str, threads: int) -> Result:
    os.chdir(folder)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    return work(task)
