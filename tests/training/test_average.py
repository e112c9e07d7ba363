import pytest
import torch
from torch import nn

from galr.training.average import WeightAverage


def test_follows_the_weights_and_lends_itself_to_the_model():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    weight = model[0].weight
    with torch.no_grad():
        weight.fill_(0.0)
        average = WeightAverage(model, decay=0.5)
        expected = 0.0
        for step, value in enumerate([1.0, 3.0, 2.0, 5.0, 4.0, 4.0]):
            weight.fill_(value)
            model[1].num_batches_tracked.add_(1)
            average.update()
            decay = min(0.5, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * value
    assert average.average["0.weight"].item() == pytest.approx(expected)
    with average.in_place():
        assert weight.item() == pytest.approx(expected)
        assert model[1].num_batches_tracked == 6
    assert weight.item() == 4.0


def test_goes_on_where_it_was():
    def run(steps, average, model):
        for step in steps:
            with torch.no_grad():
                model.weight.fill_(float(step))
            average.update()

    whole, first, second = (nn.Linear(1, 1, bias=False) for _ in range(3))
    with torch.no_grad():
        for model in (whole, first, second):
            model.weight.zero_()
    at_once = WeightAverage(whole, 0.9)
    run(range(6), at_once, whole)
    before = WeightAverage(first, 0.9)
    run(range(3), before, first)
    after = WeightAverage(second, 0.9)
    after.load_state_dict(before.state_dict())
    run(range(3, 6), after, second)
    assert torch.equal(after.average["weight"], at_once.average["weight"])


def test_statistics_are_the_averages_of_buffers_alone_and_may_be_changed_in_place():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.9)
    statistics = average.statistics()
    assert len(statistics) == 3  # mean, variance and counter of the normalisation
    for tensor in statistics:
        tensor.fill_(7)
    with average.in_place():
        assert (model[1].running_mean == 7).all()
        assert (model[1].running_var == 7).all()
        assert not (model[0].weight == 7).any()
