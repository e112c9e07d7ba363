"""A step of training: in parts as at once, frozen where it should be, in bfloat16."""

import pytest
import torch

from galr.data.batches import Batch
from galr.model.backbone import Backbone
from galr.model.build import build_model
from galr.training.backbone import set_trainable
from galr.training.loss import Criterion
from galr.training.optimizer import build_optimizer
from galr.training.step import TrainingStep
from tests.model.tiny import WORDS, tiny_options

STILL = {
    "model__fusion__mca_DROPOUT_R": 0.0,
    "model__fusion__dynamic_fusion_drop": 0.0,
    "model__seq2vec__dropout": 0.0,
}


def make_batch(size=7, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def integers(high, *shape, low=0):
        return torch.randint(low, high, shape, generator=generator)

    lengths = integers(5, size, low=1)
    tokens = integers(6, size, 4, low=1) * (torch.arange(4) < lengths[:, None])
    return Batch(
        integers(256, size, 3, 32, 32).to(torch.uint8),
        torch.rand(size, 3, 6, generator=generator),
        torch.rand(size, 3, 3, generator=generator),
        tokens,
        lengths,
        integers(5, size),
        integers(4, size),
    )


def make(done=0.0, **changes):
    options = tiny_options(**changes)
    torch.manual_seed(1)
    model = build_model(options, WORDS)
    training = TrainingStep(model, Criterion(options.optim), options.optim)
    set_trainable(model, options.model.backbone, done)
    return training


def gradients(training):
    parameters = {**dict(training.model.named_parameters())}
    parameters |= dict(training.criterion.named_parameters(prefix="criterion"))
    return {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}


@pytest.mark.parametrize("loss", ["triplet", "infonce"])
@pytest.mark.parametrize("size", [1, 3, 6])
def test_parts_give_the_gradients_of_the_whole_batch(loss, size):
    options = {**STILL, "model__backbone__batch_norm": "frozen", "optim__loss": loss}
    whole, parts = make(**options), make(**options, optim__micro_batch=size)
    for training in (whole, parts):  # in float32 some gradients are all rounding
        training.model.double()
    batch = make_batch()
    losses = [training.accumulate(batch, seed=5) for training in (whole, parts)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-10)
    first, second = gradients(whole), gradients(parts)
    assert first.keys() == second.keys()
    assert ("criterion.log_scale" in first) == (loss == "infonce")
    for name, gradient in first.items():
        torch.testing.assert_close(second[name], gradient, rtol=1e-6, atol=1e-10, msg=name)


def with_two_captions(batch, more):
    """``batch`` with the captions of ``more`` as second ones."""
    tokens = torch.stack([batch.tokens, more.tokens], dim=1).flatten(0, 1)
    group = torch.stack([batch.caption_group, more.caption_group], dim=1).flatten()
    lengths = torch.stack([batch.lengths, more.lengths], dim=1).flatten()
    return batch._replace(tokens=tokens, lengths=lengths, caption_group=group)


@pytest.mark.parametrize("size", [None, 3])
def test_two_captions_an_image_give_the_mean_of_two_batches(size):
    options = {**STILL, "model__backbone__batch_norm": "frozen", "optim__loss": "infonce"}
    single, double = make(**options), make(**options, optim__micro_batch=size)
    for training in (single, double):
        training.model.double()
    first, second = make_batch(), make_batch(seed=1)
    other = first._replace(
        tokens=second.tokens, lengths=second.lengths, caption_group=second.caption_group
    )
    losses = [single.accumulate(batch, seed=5) / 2 for batch in (first, other)]
    both = double.accumulate(with_two_captions(first, second), seed=5)
    assert both.item() == pytest.approx(sum(losses).item(), rel=1e-10)
    expected = gradients(single)
    for name, gradient in gradients(double).items():
        torch.testing.assert_close(2 * gradient, expected[name], rtol=1e-6, atol=1e-10, msg=name)


def test_both_passes_of_a_part_drop_the_same():
    training = make(optim__micro_batch=3, model__backbone__batch_norm="frozen")
    seen = []
    training.model.text_encoder.register_forward_hook(lambda *call: seen.append(call[2].detach()))
    training.accumulate(make_batch(), seed=5)
    assert len(seen) == 6
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)
    training.accumulate(make_batch(), seed=6)
    assert not torch.equal(seen[0], seen[6])


def test_parts_are_remembered_once_by_batch_normalisation():
    training = make(optim__micro_batch=4)
    norm = training.model.image_encoder.trunk.bn1
    training.accumulate(make_batch(), seed=5)
    once = make()
    for part in (slice(0, 4), slice(4, 7)):
        rows = make_batch()
        once.accumulate(Batch(*(field[part] for field in rows)), seed=5)
    expected = once.model.image_encoder.trunk.bn1.running_mean
    torch.testing.assert_close(norm.running_mean, expected)
    assert norm.momentum == 0.1


def test_an_error_in_a_part_leaves_batch_normalisation_as_it_was(monkeypatch):
    training = make(optim__micro_batch=4)
    monkeypatch.setattr(training.model, "encode_text", None)
    with pytest.raises(TypeError):
        training.accumulate(make_batch(), seed=5)
    norms = [m for m in training.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}


def test_parts_normalised_by_themselves_have_another_loss():
    """What the options say of micro_batch with batch normalisation by the batch."""
    losses = [
        make(**STILL, optim__micro_batch=size).accumulate(make_batch(), seed=5).item()
        for size in (None, 4)
    ]
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "done", "trained"),
    [
        ({}, 0.0, {"conv1", "layer1", "layer2", "layer3", "layer4"}),
        ({"model__backbone__train": "layer4"}, 0.0, {"layer4"}),
        ({"model__backbone__train": "none"}, 0.0, set()),
        ({"model__backbone__unfreeze_at": 0.3}, 0.2, set()),
        ({"model__backbone__unfreeze_at": 0.3}, 0.3, {"conv1", "layer1", "layer4"}),
    ],
)
def test_a_step_moves_the_weights_that_are_trained(options, done, trained):
    training = make(done, **options)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.step(make_batch(), lr=0.1, seed=1)
    for stage in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        moved = [
            not torch.equal(before[name], value)
            for name, value in training.model.state_dict().items()
            if f".trunk.{stage}." in name
        ]
        if stage in trained:
            assert any(moved)
        elif not trained or trained == {"layer4"}:
            assert not any(moved), stage
    assert not torch.equal(
        before["text_encoder.projection.weight"], training.model.text_encoder.projection.weight
    )


def test_clipping_bounds_the_norm_of_all_gradients():
    training = make(optim__grad_clip=0.01, optim__loss="infonce")
    training.step(make_batch(), lr=0.0, seed=1)
    total = torch.stack([gradient.norm() for gradient in gradients(training).values()]).norm()
    assert total.item() == pytest.approx(0.01, rel=1e-3)


def test_the_optimiser_decays_neither_norms_nor_biases():
    training = make(optim__optimizer="adamw", optim__weight_decay=0.1)
    decayed, free = training.optimizer.optimizer.param_groups
    assert {weight.dim() > 1 for weight in decayed["params"]} == {True}
    assert {weight.dim() > 1 for weight in free["params"]} == {False}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(free["params"]) == len(training.optimizer.parameters())


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_the_one_named(name, kind):
    weights = torch.nn.Linear(2, 2)
    optimizer = build_optimizer([weights], tiny_options(optim__optimizer=name).optim)
    assert type(optimizer) is kind


@pytest.mark.parametrize("kind", ["batch", "frozen"])
@pytest.mark.parametrize("trained", ["all", "layer4", "none"])
def test_batch_normalisation_learns_where_it_is_trained_and_not_frozen(kind, trained):
    options = tiny_options(model__backbone__batch_norm=kind, model__backbone__train=trained)
    with torch.device("meta"):
        trunk = Backbone("resnet18")
    model = torch.nn.Module()
    model.image_encoder = torch.nn.Module()
    model.image_encoder.trunk = trunk
    set_trainable(model.eval(), options.model.backbone, 0.0)
    assert model.training
    for name, module in trunk.named_modules():
        learns = trained == "all" or (trained == "layer4" and name.startswith("layer4"))
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.training == (learns and kind == "batch"), name
        elif isinstance(module, torch.nn.Conv2d):
            assert module.training == learns, name


def test_bfloat16_gives_a_loss_close_to_float32():
    full, mixed = make(**STILL), make(**STILL, optim__amp="bf16")
    losses = [training.step(make_batch(), lr=1e-3, seed=1) for training in (full, mixed)]
    assert losses[1].dtype == torch.float32
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.1)
    assert losses[1].item() != losses[0].item()
