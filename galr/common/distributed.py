"""Everything about ranks, the processes started by torchrun."""

from __future__ import annotations

import contextlib
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from galr.common.errors import RunError, UserError

# one rank may decode a whole data set while the others wait
PATIENCE = timedelta(hours=6)
JOINING = timedelta(minutes=10)  # after which a rank gives up waiting for the others


def is_launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """The rank of this process, 0 for a single process."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the rank that writes and reports."""
    return rank() == 0


def local_device(wanted: str) -> str:
    """``wanted`` (a ``device`` option) for this rank: each rank on a machine has its own GPU."""
    if is_launched() and wanted in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return wanted


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins the ranks for the block: NCCL on CUDA, gloo on CPUs; no-op for a single process.

    Raises RunError if another rank is lost.
    """
    if not is_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, number, size = next(rendezvous("env://", timeout=JOINING))
        store.set_timeout(PATIENCE)
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store, rank=number, world_size=size, timeout=PATIENCE,
        )  # fmt: skip
    except dist.DistError as error:
        raise RunError(
            f"rank {rank()}",
            f"cannot reach the other ranks ({str(error).strip().splitlines()[0]})",
            "restart all of them with torchrun",
        ) from None
    try:
        yield
    except RuntimeError as error:
        # DistBackendError is one; gloo raises a plain RuntimeError
        lost = ("gloo", "NCCL", "onnection closed", "onnection reset", "DistBackend")
        if not any(word in f"{type(error).__name__} {error}" for word in lost):
            raise
        raise RunError(
            f"rank {rank()}",
            f"lost another rank ({str(error).strip().splitlines()[0]})",
            "see the message of that rank; --resume continues a training",
        ) from None
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 runs the block first, then the others, which find what it has written."""
    if world_size() > 1 and not is_main():
        dist.barrier()
    yield
    if world_size() > 1 and is_main():
        dist.barrier()


def from_main(value: float, device: torch.device) -> float:
    """Rank 0's ``value``, on all ranks."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return float(shared.item())


def on_main(make: Callable[[], bytes], device: torch.device) -> bytes:
    """The result of ``make`` on rank 0, on all ranks.

    If it raises, rank 0 raises and reports, and the other ranks exit with status 1.
    """
    if world_size() == 1:
        return make()
    content = b""
    if is_main():
        try:
            content = make()
        except BaseException:
            from_main(-1, device)
            raise
    size = int(from_main(len(content), device))
    if size < 0:
        raise SystemExit(1)
    shared = torch.empty(size, dtype=torch.uint8, device=device)
    if is_main() and size:
        shared.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    dist.broadcast(shared, src=0)
    return shared.cpu().numpy().tobytes()


def check_alike(facts: Mapping[str, str], device: torch.device) -> None:
    """Raises UserError on all ranks if any of ``facts`` (by name) differs between ranks.

    Ranks on machines without a shared disk may have been given different files.
    """
    if world_size() == 1:
        return
    digests = [zlib.crc32(text.encode()) for text in facts.values()]
    own = torch.tensor(digests, dtype=torch.int64, device=device)
    of_ranks = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(of_ranks, own)
    for number, other in enumerate(of_ranks):
        for name, same in zip(facts, (other == of_ranks[0]).tolist(), strict=True):
            if not same:
                raise UserError(
                    f"rank {number}",
                    f"has different {name} from rank 0",
                    "give all machines the same files and command line",
                )


def broadcast_weights(*modules: nn.Module) -> None:
    """Copies the parameters and buffers of rank 0 to all ranks, in place."""
    if world_size() == 1:
        return
    for module in modules:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def gather_rows(rows: Tensor, total: int) -> Tensor:
    """The rows of all ranks in the order of a single process: (b, ...) per rank -> (total, ...).

    Rank r holds rows r, r + world_size, ... Only the rank's own rows receive a gradient: if every
    rank computes the same loss from the result, the ranks' gradients add up to the full one.
    """
    ranks = world_size()
    if ranks == 1:
        return rows
    longest = -(-total // ranks)
    padding = rows.new_zeros(longest - len(rows), *rows.shape[1:])
    padded = torch.cat([rows, padding]).contiguous()
    of_ranks = [torch.empty_like(padded) for _ in range(ranks)]
    dist.all_gather(of_ranks, padded.detach())
    of_ranks[rank()] = padded
    return torch.stack(of_ranks, dim=1).flatten(0, 1)[:total]


def rows_of_all(rows: Tensor) -> int:
    """The total number of rows on all ranks."""
    if world_size() == 1:
        return len(rows)
    count = torch.tensor(len(rows), device=rows.device)
    dist.all_reduce(count)
    return int(count.item())


def parallel(module: nn.Module, *, some_unused: bool = False) -> nn.Module:
    """``module`` under DistributedDataParallel, its gradients summed over all ranks.

    Without a process group, ``module`` itself. Only weights that require a gradient now are summed:
    wrap again when these change. ``some_unused``: a backward pass may not reach all weights.
    """
    if not dist.is_initialized():
        return module
    # a 1 x 1 kernel has the same memory layout whatever its strides say
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    # what torch 2.14 offers in its place would still copy buffers at the start
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    spread = DistributedDataParallel(
        module,
        broadcast_buffers=False,  # see rank_batch_norm.share_statistics
        init_sync=False,  # see broadcast_weights
        find_unused_parameters=some_unused,
    )
    spread.register_comm_hook(None, _summed)
    return spread


# torch checks annotations against its own types, so they cannot be strings
def _summed(_, bucket):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Sums instead of averaging as DistributedDataParallel does: a rank's loss is part of a sum."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def without_sum(module: nn.Module) -> contextlib.AbstractContextManager[None]:
    """Within it, the gradients of a ``parallel`` module accumulate on this rank only."""
    if isinstance(module, DistributedDataParallel):
        held: contextlib.AbstractContextManager[None] = module.no_sync()
        return held
    return contextlib.nullcontext()
