"""An epoch's figures and its end, with steps whose losses are given."""

from types import SimpleNamespace

import pytest
import torch

from galr.common.errors import RunError
from galr.common.progress import Progress
from galr.training.epoch import train_one_epoch
from tests.training.test_step import make_batch


def run(losses, rates=None, print_freq=10):
    """The figures, and the learning rates and seeds of the steps."""
    sizes, seen = (4, 4, 2), []
    given = iter(losses)

    def step(batch, lr, seed):
        seen.append((lr, seed))
        return torch.tensor(next(given))

    with Progress("fold 0 epoch 1", 10, "images") as progress:
        figures = train_one_epoch(
            SimpleNamespace(step=step),
            [make_batch(size) for size in sizes],
            [0.3, 0.2, 0.1] if rates is None else rates,
            torch.device("cpu"),
            progress,
            print_freq=print_freq,
            seed=1,
        )
    return figures, seen


def test_the_loss_is_the_mean_over_pairs_and_each_step_has_its_rate():
    figures, seen = run([8.0, 4.0, 3.0])
    assert figures.loss == pytest.approx(15.0 / 10)
    assert figures.lr == 0.1
    assert figures.images_per_second > 0
    assert [lr for lr, _ in seen] == [0.3, 0.2, 0.1]
    assert len({seed for _, seed in seen}) == 3


def test_ends_where_the_budget_is_spent():
    figures, seen = run([8.0, 4.0, 3.0], rates=[0.3, 0.2])
    assert figures.loss == pytest.approx(12.0 / 8)
    assert figures.lr == 0.2
    assert len(seen) == 2
    assert run([], rates=[])[0][0::2] == (0.0, 0.0)


@pytest.mark.parametrize(("print_freq", "pairs"), [(1, 8), (2, 10), (10, 10)])
def test_a_loss_that_is_no_number_is_an_error_when_it_is_read(print_freq, pairs):
    with pytest.raises(RunError, match=f"fold 0 epoch 1: the loss is nan after {pairs} pairs"):
        run([8.0, float("nan"), 3.0], print_freq=print_freq)
