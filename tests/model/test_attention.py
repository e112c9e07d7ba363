import math

import pytest
import torch

from galr.model.attention import Attention, GuidedAttention, Norm, SelfAttention


def test_attention_equals_softmax_attention_over_one_item():
    attention = Attention(width=6, heads=2, dropout=0.3).double().eval()
    query_from = torch.randn(4, 6, dtype=torch.float64)
    source = torch.randn(4, 6, dtype=torch.float64)

    def heads(x):
        return x.view(4, 1, 2, 3).transpose(1, 2)  # (B, heads, items, width of a head)

    query, key, value = (
        heads(attention.query(query_from)),
        heads(attention.key(source)),
        heads(attention.value(source)),
    )
    weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(3), dim=-1)
    attended = (weights @ value).transpose(1, 2).reshape(4, 6)
    torch.testing.assert_close(attention(source), attention.merge(attended), rtol=1e-12, atol=1e-14)


def test_dropout_in_training_takes_whole_heads():
    attention = Attention(width=12, heads=4, dropout=0.5)
    with torch.no_grad():
        for layer in (attention.value, attention.merge):
            layer.weight.copy_(torch.eye(12))
            layer.bias.zero_()
    factors = attention(torch.ones(50, 12)).view(50, 4, 3)
    assert set(factors.unique().tolist()) == {0.0, 2.0}
    assert (factors == factors[:, :, :1]).all()


@pytest.mark.parametrize("width", [2, 8])
def test_norm_divides_by_the_unbiased_deviation(width):
    norm = Norm(width).double()
    with torch.no_grad():
        norm.scale.uniform_(0.5, 2.0)
        norm.shift.normal_()
    x = torch.randn(3, width, dtype=torch.float64)
    for row, output in zip(x, norm(x), strict=True):
        mean = sum(row) / width
        deviation = math.sqrt(sum((value - mean) ** 2 for value in row) / (width - 1))
        expected = norm.scale * (row - mean) / (deviation + 1e-6) + norm.shift
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_norm_of_a_constant_feature_is_its_shift_and_has_a_finite_gradient():
    norm = Norm(4)
    x = torch.full((2, 4), 3.0, requires_grad=True)
    output = norm(x)
    output.sum().backward()
    assert torch.equal(output, norm.shift.expand(2, 4))
    assert x.grad.isfinite().all()


def test_blocks_are_their_residual_steps():
    x, guide = torch.randn(2, 3, 8, dtype=torch.float64).unbind()
    alone = SelfAttention(8, heads=2, inner_width=5, dropout=0.1).double().eval()
    step = alone.norm1(x + alone.attention(x))
    assert torch.equal(alone(x), alone.norm2(step + alone.feed_forward(step)))
    guided = GuidedAttention(8, heads=2, inner_width=5, dropout=0.1).double().eval()
    step = guided.norm1(x + guided.attention(x))
    step = guided.norm2(step + guided.guidance(guide))
    assert torch.equal(guided(x, guide), guided.norm3(step + guided.feed_forward(step)))
