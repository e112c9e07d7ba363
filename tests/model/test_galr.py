import pytest
import torch

from galr.model.build import build_model
from galr.model.normalise import l2_normalise
from tests.model.tiny import WORDS, tiny_options


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    return build_model(tiny_options(), WORDS).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.randn(2, 3, 32, 32, generator=generator),
        "representation": torch.rand(2, 3, 6, generator=generator),
        "adjacency": torch.rand(2, 3, 3, generator=generator),
        "tokens": torch.tensor([[1, 2, 3], [4, 0, 0], [5, 1, 0]]),
    }


def test_similarity_is_the_cosine_of_every_image_and_every_caption(model, batch):
    similarity = model(**batch)
    assert similarity.shape == (2, 3)
    visual = model.visual_feature(batch["image"], batch["representation"], batch["adjacency"])
    text = model.text_feature(batch["tokens"])
    for i in range(2):
        for c in range(3):
            cosine = torch.cosine_similarity(visual[i], text[c], dim=0)
            torch.testing.assert_close(similarity[i, c], cosine, rtol=0, atol=1e-6)


def test_embeddings_are_the_features_at_length_one(model, batch):
    images = model.encode_image(batch["image"], batch["representation"], batch["adjacency"])
    captions = model.encode_text(batch["tokens"])
    assert images.shape == (2, 8)
    assert captions.shape == (3, 8)
    for embeddings in (images, captions):
        torch.testing.assert_close(
            embeddings.norm(dim=1), torch.ones(len(embeddings)), rtol=0, atol=1e-6
        )


def test_the_visual_feature_fuses_the_two_branches(model, batch):
    fused = model.fusion(
        model.global_feature(batch["image"]),
        model.local_feature(batch["representation"], batch["adjacency"]),
    )
    assert torch.equal(
        fused, model.visual_feature(batch["image"], batch["representation"], batch["adjacency"])
    )


def test_padding_a_caption_changes_nothing(model, batch):
    alone = model.encode_text(torch.tensor([[4]]))
    padded = model.encode_text(torch.tensor([[4, 0, 0, 0]]))
    with_lengths = model.encode_text(torch.tensor([[4, 0, 0, 0]]), torch.tensor([1]))
    assert torch.equal(alone, padded)
    assert torch.equal(alone, with_lengths)
    torch.testing.assert_close(model.encode_text(batch["tokens"])[1:2], alone, rtol=0, atol=1e-6)


def test_an_image_is_encoded_alike_alone_and_in_a_batch(model, batch):
    matrices = (batch["image"], batch["representation"], batch["adjacency"])
    together = model.encode_image(*matrices)
    for i in range(2):
        alone = model.encode_image(*(matrix[i : i + 1] for matrix in matrices))
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)


def test_images_without_objects_have_finite_similarities_and_gradients(batch):
    torch.manual_seed(0)
    model = build_model(tiny_options(), WORDS).train()
    empty = {key: torch.zeros_like(batch[key]) for key in ("representation", "adjacency")}
    similarity = model(**{**batch, **empty})
    similarity.sum().backward()
    assert similarity.isfinite().all()
    for name, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name


def test_a_model_with_a_local_branch_asks_for_its_matrices(model, batch):
    with pytest.raises(ValueError, match="this model has a local branch"):
        model.encode_image(batch["image"])


def test_l2_normalise_keeps_zeros_and_their_gradient_finite():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    y = l2_normalise(x)
    torch.testing.assert_close(y, torch.tensor([[0.6, 0.8], [0.0, 0.0]]), rtol=0, atol=1e-6)
    y.sum().backward()
    assert x.grad.isfinite().all()
