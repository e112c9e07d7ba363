"""torch's DataLoader for datasets whose items are whole batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from galr.common import processes
from galr.common.errors import UserError
from galr.common.processes import leave_interrupts_to_parent, starting_processes

Made = TypeVar("Made", covariant=True)


class BatchLoader(DataLoader[Made]):
    """The batch ``dataset[keys]`` for each list of keys in ``sampler``.

    ``workers`` processes make them (0: this one); with ``persistent`` they live as long as the
    loader. A UserError of a worker is raised here as it was there. Nothing is drawn from torch's
    global generator.
    """

    def __init__(
        self,
        dataset: Dataset[Made],
        sampler: Iterable[Any],
        *,
        workers: int,
        pin_memory: bool,
        persistent: bool = False,
    ) -> None:
        # more processes than cores only compete for them, and torch would warn
        workers = min(workers, processes.cores())
        super().__init__(
            _ReturnsErrors(dataset),
            batch_size=None,
            sampler=sampler,
            num_workers=workers,
            pin_memory=pin_memory,
            persistent_workers=persistent and workers > 0,
            worker_init_fn=leave_interrupts_to_parent,
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Made]:  # type: ignore[override]  # all that torch promises
        with starting_processes(), _worker_deaths():
            batches = super().__iter__()  # workers start now, not at the first batch
        return self._checked(batches)

    def _checked(self, batches: Iterator[Made | UserError]) -> Iterator[Made]:
        while True:
            with _worker_deaths():
                batch = next(batches, None)
            if batch is None:
                return
            if isinstance(batch, UserError):
                raise batch
            yield batch


class _ReturnsErrors(Dataset[Any]):
    """Returns a UserError in place of raising it, which torch would turn into a traceback."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __getitem__(self, keys: Any) -> Any:  # noqa: ANN401 - keys and a batch of any kind
        try:
            return self.dataset[keys]
        except UserError as error:
            return error


@contextlib.contextmanager
def _worker_deaths() -> Iterator[None]:
    """Names a remedy where torch reports that a worker has died."""
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if (death := processes.death_of_loader(error)) is None:
            raise
        raise death from error
