import pytest
import torch

from galr.model.midf import MIDF, Addition, Concatenation, GlobalAlone


def midf(gate, weights):
    """An MIDF in float64 whose two dynamic weights are always ``weights``."""
    torch.manual_seed(0)
    fusion = MIDF(
        width=8,
        heads=2,
        inner_width=10,
        dropout=0.1,
        weight_width=7,
        weight_dropout=0.1,
        gate=gate,
    )
    with torch.no_grad():
        fusion.dynamic_weight[3].weight.zero_()
        fusion.dynamic_weight[3].bias.copy_(torch.log(torch.tensor(weights)))
    return fusion.double().eval()


@pytest.fixture
def branches():
    return torch.randn(
        2, 4, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    ).unbind()


@pytest.mark.parametrize("weights", [(0.25, 0.75), (0.5, 0.5), (0.9, 0.1)])
def test_the_paper_weighs_each_branch_and_the_released_code_both_by_the_first(weights, branches):
    mixed_global = midf("paper", (1.0, 0.0))(*branches)
    mixed_local = midf("paper", (0.0, 1.0))(*branches)
    paper = weights[0] * mixed_global + weights[1] * mixed_local
    released = weights[0] * (mixed_global + mixed_local)
    torch.testing.assert_close(midf("paper", weights)(*branches), paper, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(midf("released", weights)(*branches), released, rtol=1e-6, atol=1e-6)


def test_midf_is_its_equations(branches):
    fusion = midf("paper", (0.5, 0.5))
    torch.nn.init.normal_(fusion.dynamic_weight[3].weight)
    g, local = fusion.global_self(branches[0]), fusion.local_self(branches[1])
    local = fusion.global_to_local(local, g)
    g = fusion.local_to_global(g, local)
    gated, mixed = local.sigmoid() * g, g + local
    hidden = fusion.dynamic_weight[0](gated + mixed).sigmoid()
    weights = fusion.dynamic_weight[3](hidden).exp()
    weights = weights / weights.sum(dim=1, keepdim=True)
    expected = weights[:, :1] * gated + weights[:, 1:] * mixed
    torch.testing.assert_close(fusion(*branches), expected, rtol=1e-9, atol=1e-12)


def test_the_ablations_are_what_they_are_called(branches):
    assert torch.equal(Addition()(*branches), branches[0] + branches[1])
    assert torch.equal(GlobalAlone()(branches[0], None), branches[0])
    concatenation = Concatenation(8).double()
    joined = torch.cat(branches, dim=1) @ concatenation.projection.weight.T
    torch.testing.assert_close(
        concatenation(*branches), joined + concatenation.projection.bias, rtol=1e-12, atol=1e-12
    )
