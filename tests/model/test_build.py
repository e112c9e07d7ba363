import pytest
import torch

from galr.common.errors import UserError
from galr.model.build import build_model
from tests.model.tiny import WORDS, tiny_options

ABLATIONS = {
    "whole": {},
    "gate released": {"model__fusion__gate": "released"},
    "without local": {"model__local": False},
    "no local features": {"dataset__local_path": None},
    "without MVSA": {"model__multiscale__enabled": False},
    "addition": {"model__fusion__type": "addition"},
    "concatenation": {"model__fusion__type": "concatenation"},
    "BiGRU": {"model__seq2vec__type": "BiGRU"},
    "BiSkip": {"model__seq2vec__type": "BiSkip"},
    "fixed word vectors": {"model__seq2vec__fixed_emb": True},
    "larger images": {"dataset__image_size": 64, "dataset__resize_size": 64},
}


def similarity_of(model, side):
    images = torch.randn(4, 3, side, side)
    tokens = torch.tensor([[1, 2], [3, 4], [5, 0]])
    return model(images, torch.rand(4, 3, 6), torch.rand(4, 3, 3), tokens)


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
def test_every_trainable_weight_takes_part_in_training(changes):
    options = tiny_options(**changes)
    model = build_model(options, WORDS).train()
    similarity_of(model, options.dataset.image_size).square().sum().backward()
    for name, weight in model.named_parameters():
        assert (weight.grad is not None) == weight.requires_grad, name


def test_only_queries_keys_and_fixed_word_vectors_are_not_trained():
    model = build_model(tiny_options(model__seq2vec__fixed_emb=True), WORDS)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    for name in frozen - {"text_encoder.sentence_encoder.embedding.weight"}:
        assert ".query." in name or ".key." in name
    assert len(frozen) == 1 + 6 * 4


@pytest.mark.parametrize(
    ("ablation", "absent"),
    [
        ("without local", ("local_encoder.", "fusion.")),
        ("no local features", ("local_encoder.", "fusion.")),
        ("without MVSA", ("image_encoder.head.solo", "image_encoder.head.low")),
        ("addition", ("fusion.",)),
    ],
)
def test_an_ablation_leaves_its_part_out(ablation, absent):
    names = build_model(tiny_options(**ABLATIONS[ablation]), WORDS).state_dict()
    whole = build_model(tiny_options(), WORDS).state_dict()
    for prefix in absent:
        assert any(name.startswith(prefix) for name in whole)
        assert not any(name.startswith(prefix) for name in names)


def test_without_a_local_branch_objects_change_nothing():
    model = build_model(tiny_options(model__local=False), WORDS).eval()
    image = torch.randn(2, 3, 32, 32)
    with_objects = model.encode_image(image, torch.rand(2, 3, 6), torch.rand(2, 3, 3))
    assert torch.equal(model.encode_image(image), with_objects)
    assert model.local_feature(None, None) is None


def test_the_seed_decides_the_random_start():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(build_model(tiny_options(), WORDS).parameters())

    first = weights(3)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))


def test_pretrained_without_a_folder_is_an_error():
    options = tiny_options(model__seq2vec__pretrained=True, model__seq2vec__dir_st=None)
    with pytest.raises(UserError, match=r"model\.seq2vec\.dir_st: is null"):
        build_model(options, WORDS)


def test_missing_skipthought_files_are_an_error(tmp_path):
    options = tiny_options(model__seq2vec__pretrained=True, model__seq2vec__dir_st=str(tmp_path))
    with pytest.raises(UserError, match="skip-thought file is missing"):
        build_model(options, WORDS)
