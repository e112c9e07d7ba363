"""Learning rates of parts."""

import torch
from torch import nn

from galr.options import OptimOptions
from galr.training.optimizer import MixedPrecisionOptimizer, build_optimizer

CPU = torch.device("cpu")


def test_a_part_has_a_rate_of_its_own_in_proportion_to_the_schedule():
    parts = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    options = OptimOptions(lr=1e-2, optimizer="adamw", weight_decay=0.1)
    optimizer = MixedPrecisionOptimizer([parts], options, CPU, [(parts[0], 1e-3)])
    before = [part.weight.detach().clone() for part in parts]
    sum((part(torch.ones(1, 2)).sum() for part in parts), torch.tensor(0.0)).backward()
    optimizer.step(5e-3)
    for part, old, lr in zip(parts, before, (5e-4, 5e-3), strict=True):
        # the first step of Adam moves every weight by the rate, after the decay
        moved = part.weight - old * (1 - lr * 0.1)
        torch.testing.assert_close(moved, torch.full((2, 2), -lr), rtol=1e-4, atol=0)


def test_without_own_rates_the_groups_are_matrices_and_vectors():
    layer = nn.Linear(2, 2)
    groups = build_optimizer([layer], OptimOptions()).param_groups
    assert [group["params"] for group in groups] == [[layer.weight], [layer.bias]]
    assert all("share" not in group for group in groups)
