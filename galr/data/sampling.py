"""The order of an epoch and the random numbers of its items, as functions of seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from galr.common.errors import UserError
from galr.common.seeding import derive_seed
from galr.options import DatasetOptions

# per item and epoch: one for the caption, transforms.PLACING + transforms.COLOURING
DRAWS = 11


def epoch_order(seed: int, epoch: int, items: int) -> NDArray[np.int64]:
    """The order of the items in an epoch, (items,) int64."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(items)


def epoch_draws(seed: int, epoch: int, items: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each item, (items, DRAWS).

    Row i is the same for any number of rows, in any worker, at any time: workers need no state, and
    an epoch that is repeated gets the same numbers.
    """
    return np.random.default_rng(derive_seed(seed, "draws", epoch)).random((items, DRAWS))


class Key(NamedTuple):
    """A training pair: an item of an epoch, its image cut to ``side`` pixels."""

    epoch: int
    item: int
    side: int


class EpochBatches(Sampler[list[Key]]):
    """The batches of one rank in an epoch of ``items``, which ``set_epoch`` chooses.

    The items of each global batch are dealt out in turn, so that the ranks' batches together are
    the batch of a single process. The last batch is kept, unless it has fewer than two pairs (one
    has no negative: its loss is zero, and batch normalisation cannot use it) or fewer than ranks.
    ``done(epoch, share)`` is the share of the training that is over so far into an epoch.
    """

    def __init__(
        self,
        items: int,
        options: DatasetOptions,
        seed: int,
        *,
        done: Callable[[int, float], float] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be in 0..{world_size - 1}, got {rank}")
        least = max(2, world_size)
        if options.batch_size < least:
            raise UserError(
                "dataset.batch_size",
                f"{options.batch_size} pairs on {world_size} ranks leave nothing to compare with",
                f"set it to at least {least}",
            )
        self.items, self.options, self.seed = items, options, seed
        self.rank, self.world_size = rank, world_size
        self.epoch, self.done = 0, done
        full, rest = divmod(items, options.batch_size)
        self.batches = full + (rest >= least)

    def set_epoch(self, epoch: int) -> None:
        """Order, captions, rotations and crops of the next iteration are those of ``epoch``."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    @property
    def pairs(self) -> int:
        """Pairs in an epoch on all ranks together."""
        return min(self.items, self.batches * self.options.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        order, size = epoch_order(self.seed, self.epoch, self.items), self.options.batch_size
        for step in range(self.batches):
            items = order[step * size : (step + 1) * size][self.rank :: self.world_size]
            done = self.done(self.epoch, step / self.batches) if self.done else 0.0
            side = image_side(self.options, done)
            yield [Key(self.epoch, item, side) for item in items.tolist()]


def image_side(options: DatasetOptions, done: float) -> int:
    """The side in pixels of training images, with the share ``done`` in [0, 1] behind them."""
    sides = options.sides
    return sides[min(int(done * len(sides)), len(sides) - 1)]
