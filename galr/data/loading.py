"""torch's DataLoader over views that make whole batches: quiet workers, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from galr.common.errors import RunError, UserError
from galr.common.processes import cores, leave_interrupts_to_parent, starting_processes

Made = TypeVar("Made", covariant=True)


class View(Protocol[Made]):
    """A view of the data that makes a batch at once."""

    def batch(self, keys: Sequence[Any]) -> Made:
        """The batch of the items that ``keys`` name."""


class BatchLoader(Generic[Made]):
    """The batches of ``view`` for each list of keys in ``batches``.

    ``workers`` processes make them (0: this one); with ``persistent`` they live as long as the
    loader. A UserError of a worker arrives as it was raised. Nothing is drawn from torch's global
    generator.
    """

    def __init__(
        self,
        view: View[Made],
        batches: Iterable[Sequence[Any]],
        *,
        workers: int,
        pin_memory: bool,
        persistent: bool = False,
    ) -> None:
        # more processes than cores only get in each other's way, and torch would warn of them
        workers = min(workers, cores())
        self._loader: DataLoader[Any] = DataLoader(
            _Guarded(view),
            batch_sampler=batches,  # type: ignore[arg-type]  # any iterable of lists will do
            collate_fn=_as_it_is,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=persistent and workers > 0,
            worker_init_fn=leave_interrupts_to_parent,
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Made]:
        with starting_processes(), _named_deaths():
            iterator = iter(self._loader)  # now, not at the first batch: they load meanwhile
        return self._checked(iterator)

    def _checked(self, iterator: Iterator[Made | UserError]) -> Iterator[Made]:
        while True:
            with _named_deaths():
                batch = next(iterator, None)
            if batch is None:
                return
            if isinstance(batch, UserError):
                raise batch
            yield batch


@contextlib.contextmanager
def _named_deaths() -> Iterator[None]:
    """Says what to do where torch says that a worker has died."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RunError(
            "dataset.workers",
            f"a process that loads images has died ({error})",
            "lower it (0 needs no shared memory), or give more memory (Docker: --shm-size)",
        ) from error


class _Guarded(Dataset[Any]):
    """Returns a UserError instead of raising it: torch would make a page of traceback of it."""

    def __init__(self, view: View[Any]) -> None:
        self.view = view

    def __getitems__(self, keys: Sequence[Any]) -> Any:  # noqa: ANN401 - a batch of any kind
        try:
            return self.view.batch(keys)
        except UserError as error:
            return error


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - a batch of any kind
    return batch
