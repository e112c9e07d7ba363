"""Comparisons against the definition of AMFMN's gates, a pair at a time."""

import pytest
import torch

from galr.metrics.similarities import FeatureProduct
from galr.model import comparison
from galr.model.comparison import ATTENTIONS, Cosine, alike

WIDTH = 12


def by_pairs(module, images, captions):
    found = torch.empty(len(images), len(captions), dtype=images.dtype)
    for i, v in enumerate(images):
        for c, t in enumerate(captions):
            if isinstance(module, comparison.SoftAttention):
                text = torch.sigmoid(module.gate(v)) * t
            elif isinstance(module, comparison.FusionAttention):
                both = torch.cat([v, t])
                text = torch.sigmoid(module.gate(both)) * module.value(both)
            else:
                text = module.text(t)
                text = torch.sigmoid(module.image(v) * text) * text
            found[i, c] = (v @ text) / (v.norm() * text.norm()).clamp(min=1e-8)
    return found


@pytest.fixture(params=ATTENTIONS)
def module(request):
    torch.manual_seed(1)
    return ATTENTIONS[request.param](WIDTH).double()


@pytest.fixture
def features():
    images, captions = torch.randn(5, WIDTH).double(), torch.randn(9, WIDTH).double().relu()
    captions[3] = 0  # a caption whose text feature is zero
    return images * 15, captions


def test_similarities_are_those_of_every_pair(module, features):
    torch.testing.assert_close(
        module(*features), by_pairs(module, *features), rtol=1e-9, atol=1e-12
    )


def test_blocks_of_pairs_change_nothing(module, features, monkeypatch):
    whole = module(*features)
    monkeypatch.setattr(comparison, "PAIR_NUMBERS", 3 * WIDTH)
    with torch.inference_mode():
        torch.testing.assert_close(module(*features), whole)


def test_gradients_are_finite_and_reach_every_weight(module, features):
    images, captions = (part.requires_grad_() for part in features)
    module(images, captions).sum().backward()
    for tensor in (images, captions, *module.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


def test_a_product_made_in_blocks_compares_in_both_directions(module, features):
    images, captions = features
    whole = by_pairs(module, images, captions).detach()
    product = FeatureProduct(images, captions, module)
    assert product.shape == (5, 9)
    torch.testing.assert_close(product[1:4], whole[1:4], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(product.T[2:5], whole.T[2:5], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(product.T.T[:], whole, rtol=1e-9, atol=1e-12)


def test_cosine_is_the_product_of_embeddings_of_length_1(features):
    cosine = Cosine()
    images, captions = cosine.embed_image(features[0]), cosine.embed_text(features[1])
    torch.testing.assert_close(images.norm(dim=1), torch.ones(5).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(cosine(images, captions), alike(*features))
