import itertools

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.data.sampling import EpochBatches, epoch_draws, epoch_order
from galr.data.transforms import COLOURING, PLACING
from galr.options import DatasetOptions


def batches_of(items, batch_size, seed=0, **changes):
    return EpochBatches(items, DatasetOptions(batch_size=batch_size), seed, **changes)


def test_an_order_holds_each_item_once():
    assert sorted(epoch_order(3, 5, 101)) == list(range(101))


def test_orders_differ_by_seed_and_epoch():
    orders = [tuple(epoch_order(seed, epoch, 50)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_draws_of_an_item_do_not_depend_on_the_others():
    assert np.array_equal(epoch_draws(1, 2, 100)[:7], epoch_draws(1, 2, 7))
    assert not np.array_equal(epoch_draws(1, 2, 7), epoch_draws(1, 3, 7))


def test_an_item_has_a_draw_for_its_caption_and_all_transforms():
    assert epoch_draws(1, 2, 7).shape == (7, 1 + PLACING + COLOURING)


def test_batches_are_the_order_in_pieces():
    batches = batches_of(23, 5, seed=4)
    assert [key.item for batch in batches for key in batch] == list(epoch_order(4, 0, 23))
    batches.set_epoch(2)
    assert [key.item for batch in batches for key in batch] == list(epoch_order(4, 2, 23))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert {key.epoch for batch in batches for key in batch} == {2}


@pytest.mark.parametrize(("items", "world_size"), [(40, 2), (41, 2), (43, 4), (10, 3), (47, 5)])
def test_ranks_together_have_the_batches_of_one(items, world_size):
    one = batches_of(items, 10)
    ranks = [batches_of(items, 10, rank=r, world_size=world_size) for r in range(world_size)]
    assert len({len(rank) for rank in ranks}) == 1
    for whole, *parts in zip(one, *ranks, strict=False):
        dealt = itertools.chain.from_iterable(itertools.zip_longest(*parts))
        assert [key for key in dealt if key is not None] == whole
        assert all(parts)


@pytest.mark.parametrize(
    ("items", "world_size", "batches"),
    [(12, 1, 2), (21, 1, 2), (22, 1, 3), (22, 4, 2), (24, 4, 3), (20, 1, 2)],
)
def test_a_last_batch_too_small_to_learn_from_is_left_out(items, world_size, batches):
    sampler = batches_of(items, 10, world_size=world_size)
    assert len(sampler) == len(list(sampler)) == batches
    assert sampler.pairs == min(items, batches * 10)


def test_a_rank_beyond_the_others_is_a_wrong_call():
    with pytest.raises(ValueError, match=r"rank must be in 0\.\.1, got 2"):
        batches_of(20, 10, rank=2, world_size=2)


@pytest.mark.parametrize(("batch_size", "world_size", "least"), [(10, 11, 11), (1, 1, 2)])
def test_a_batch_with_nothing_to_compare_is_refused(batch_size, world_size, least):
    message = f"{batch_size} pairs on {world_size} ranks leave .* at least {least}"
    with pytest.raises(UserError, match=message):
        batches_of(20, batch_size, world_size=world_size)


def test_the_side_is_that_of_the_share_of_the_training_that_is_done():
    options = DatasetOptions(batch_size=4, train_sizes=(32, 64, 96))
    batches = EpochBatches(12, options, 0, done=lambda epoch, share: (epoch + share) / 2)
    assert [{key.side for key in batch} for batch in batches] == [{32}, {32}, {64}]
    batches.set_epoch(1)
    assert [{key.side for key in batch} for batch in batches] == [{64}, {96}, {96}]
