"""Which item comes when in an epoch, and its random numbers: functions of (seed, epoch, item)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from galr.common.seeding import derive_seed

# of an item in an epoch: a caption, and transforms.PLACING + transforms.COLOURING
DRAWS = 11


def epoch_order(seed: int, epoch: int, items: int) -> NDArray[np.int64]:
    """The order of the items in an epoch, (items,) int64."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(items)


def epoch_draws(seed: int, epoch: int, items: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each item, (items, DRAWS).

    Row i does not depend on how many rows there are, nor on who asks, nor when: a worker needs no
    state of its own, and an epoch that is done again gets the same numbers.
    """
    return np.random.default_rng(derive_seed(seed, "draws", epoch)).random((items, DRAWS))


class Key(NamedTuple):
    """A training pair: an item of an epoch, its image cut to ``side`` pixels."""

    epoch: int
    item: int
    side: int


class EpochBatches(Sampler[list[Key]]):
    """The batches of one rank in an epoch.

    The items of each global batch are dealt out in turn, so that the ranks' batches together are
    the batch of a single process. The last batch is kept, unless it has fewer than two pairs (one
    has no negative: its loss is zero, and batch normalisation cannot use it) or fewer than ranks.
    """

    def __init__(
        self,
        items: int,
        batch_size: int,
        seed: int,
        *,
        side_at_step: Callable[[int], int],
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0..{world_size - 1}, got {rank}")
        if batch_size < max(2, world_size):
            raise ValueError(
                f"batch_size must be at least {max(2, world_size)} on {world_size} ranks, "
                f"got {batch_size}"
            )
        self.items, self.batch_size, self.seed = items, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.side_at_step = 0, side_at_step
        full, rest = divmod(items, batch_size)
        self.batches = full + (rest >= max(2, world_size))

    def __len__(self) -> int:
        return self.batches

    @property
    def pairs(self) -> int:
        """Pairs in an epoch on all ranks together."""
        return min(self.items, self.batches * self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order = epoch_order(self.seed, self.epoch, self.items)
        for step, start in enumerate(range(0, self.pairs, self.batch_size)):
            batch = order[start : start + self.batch_size]
            own, side = batch[self.rank :: self.world_size].tolist(), self.side_at_step(step)
            yield [Key(self.epoch, item, side) for item in own]
