"""Training on cached features of a frozen backbone, against training on its images."""

import shutil

import pytest
import timm
import torch

from galr.common.errors import UserError
from galr.common.seeding import seed_everything
from galr.data.part import Part, read_split
from galr.data.vocabulary import Vocabulary
from galr.evaluation.encode import encode_images
from galr.images.cache import Cache
from galr.images.square_files import ImageFiles
from galr.model.build import build_model
from galr.options import load_options
from galr.training.backbone import weights_digest, with_cached_features
from galr.training.data import read_training_data
from galr.training.fold_trainer import FoldTrainer
from galr.training.trainer import Trainer
from tests.tiny import make_data

FROZEN = ["model.backbone.train=none", "model.backbone.batch_norm=frozen", "device=cpu"]
KEPT = [*FROZEN, "model.backbone.cache_features=true"]
STILL = ["dataset.resize_size=32", "dataset.rotation_degrees=0", "k_fold.nums=1", "optim.epochs=2"]
CPU = torch.device("cpu")
PLAIN_HEAD = "model.multiscale.enabled=false"


@pytest.fixture
def yaml(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return make_data(tmp_path)


def built(options):
    torch.manual_seed(3)
    return build_model(options, Vocabulary.load(options.dataset.vocab_path).words).eval()


def opened(options, model):
    split = read_split(options, "train")
    part = Part(split.annotations, split.files(), split.local)
    return with_cached_features(part, model.image_encoder, options.dataset).images


def cache_files(yaml):
    return sorted((yaml.parent / "data/tiny_precomp/image_cache").glob("*_features_*"))


def trained(yaml, name, *changes):
    options = load_options(yaml, [*STILL, f"k_fold.experiment_name={name}", *changes])
    resume = (options.experiment_folder / "0" / "last.pth").exists()
    Trainer(options).fit(resume=resume)
    return torch.load(options.experiment_folder / "0" / "last.pth", weights_only=True)


@pytest.mark.parametrize("head", [[], [PLAIN_HEAD]], ids=["MVSA", "pooled"])
def test_cached_features_give_those_of_the_images(yaml, head):
    options = load_options(yaml, [*KEPT, *head])
    model, split = built(options), read_split(options, "train")
    part = split.at(32)
    kept = opened(options, model)
    assert len(kept[0]) == (96 if head else 32 * 64 + 48 * 16 + 192 * 4 + 96)
    pixels = encode_images(model, part, options.dataset)
    found = encode_images(model, part._replace(images=kept), options.dataset)
    torch.testing.assert_close(found, pixels, rtol=1e-2, atol=1e-3)
    assert not torch.equal(found, pixels)  # float16 was in between


def test_each_part_of_a_fold_has_the_features_of_its_own_images(yaml):
    options = load_options(yaml, [*KEPT, *STILL])
    data = read_training_data(options, CPU)
    trainer = FoldTrainer(data, 0, CPU)
    kept = opened(options, trainer.model)
    for part, indices in (
        (trainer.validation.images, data.folds[0].validation),
        (trainer.loader.dataset.dataset.images, data.folds[0].train),
    ):
        assert torch.equal(part.batch(range(len(indices))), kept.batch(indices))


def test_training_on_maps_moves_the_weights_as_training_on_images_does(yaml):
    start = built_state(yaml)
    kept, plain = trained(yaml, "kept", *KEPT), trained(yaml, "plain", *FROZEN)
    for before, after in zip(
        kept["progress"]["history"], plain["progress"]["history"], strict=True
    ):
        assert before["loss"] == pytest.approx(after["loss"], rel=1e-2)
    for name, value in plain["model"].items():
        if ".trunk." in name:
            assert torch.equal(kept["model"][name], value)
            continue
        moved = (value - start[name]).norm()
        # Adam makes whole steps of gradients that are nearly zero, whatever their sign
        assert (kept["model"][name] - value).norm() <= 0.1 * moved, name


def built_state(yaml):
    """The weights before the first epoch."""
    options = load_options(yaml, [*STILL, *FROZEN])
    seed_everything(options.seed, "model", 0)
    words = Vocabulary.load(options.dataset.vocab_path).words
    return {name: value.clone() for name, value in build_model(options, words).state_dict().items()}


def test_no_image_is_decoded_once_the_maps_are_there_and_a_run_goes_on(yaml, monkeypatch):
    whole = trained(yaml, "whole", *KEPT)
    monkeypatch.setattr(ImageFiles, "__getitem__", None)
    trained(yaml, "stopped", *KEPT, "optim.epochs=1")
    resumed = trained(yaml, "stopped", *KEPT)
    for name, value in whole["model"].items():
        assert torch.equal(resumed["model"][name], value), name
    assert len(cache_files(yaml)) == 1


def test_a_run_goes_on_with_the_maps_of_its_own_trunk(yaml, tmp_path, monkeypatch):
    weights = tmp_path / "start.pth"
    named = f"model.backbone.weights={weights}"
    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    trained(yaml, "stopped", *KEPT, named, "optim.epochs=1")
    torch.save(timm.create_model("test_resnet").state_dict(), weights)
    monkeypatch.setattr(Cache, "_allocate", None)  # the file's new trunk would need maps
    trained(yaml, "stopped", *KEPT, named)
    assert len(cache_files(yaml)) == 1


@pytest.mark.parametrize("change", ["optim.micro_batch=3", "optim.amp=bf16", "optim.ema=0.9"])
def test_maps_go_with_other_options(yaml, change):
    history = trained(yaml, "other", *KEPT, change, PLAIN_HEAD)["progress"]["history"]
    assert all(row["loss"] < 10 for row in history)


def test_other_weights_have_other_maps(yaml):
    options = load_options(yaml, KEPT)
    model = built(options)
    first = opened(options, model)
    assert opened(options, model).path == first.path
    with torch.no_grad():
        model.image_encoder.trunk.net.layer4[0].bn2.bias[0] += 0.5
    second = opened(options, model)
    assert second.path != first.path
    assert not torch.equal(first.batch([0]), second.batch([0]))
    assert weights_digest(model.image_encoder.trunk) in second.path.name
    assert len(cache_files(yaml)) == 2


def test_a_changed_image_has_its_maps_made_again(yaml, caplog):
    options = load_options(yaml, KEPT)
    model = built(options)
    before = opened(options, model).batch([0])
    images = yaml.parent / "data/tiny_precomp/images"
    shutil.copy(images / "train_1.png", images / "train_0.png")
    caplog.set_level("INFO")
    after = opened(options, model)
    assert torch.equal(after.batch([0]), after.batch([1]))
    assert not torch.equal(after.batch([0]), before)
    assert "1 images have changed, for example train_0.png" in caplog.text


def test_beyond_the_limit_is_an_error(yaml):
    options = load_options(yaml, [*KEPT, "dataset.image_cache_gb=0.0001"])
    with pytest.raises(UserError, match=r"cache_features: it would take 0\.00 GB, more than .*_gb"):
        Trainer(options).fit()
    assert not cache_files(yaml)
    assert not options.experiment_folder.exists()


def test_a_full_disk_is_an_error(yaml, monkeypatch):
    options = load_options(yaml, KEPT)
    free = shutil.disk_usage(yaml.parent)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    with pytest.raises(UserError, match=r"cache_features: no folder has room for"):
        opened(options, built(options))


def test_maps_beyond_float16_are_an_error_and_leave_nothing(yaml):
    options = load_options(yaml, KEPT)
    model = built(options)
    with torch.no_grad():
        model.image_encoder.trunk.net.layer4[0].bn2.bias.fill_(1e5)
    with pytest.raises(UserError, match="beyond the range of float16"):
        opened(options, model)
    assert not cache_files(yaml)


def test_rows_of_another_length_are_refused(yaml):
    model = built(load_options(yaml, KEPT))
    with pytest.raises(ValueError, match=r"rows must be \(B, 3680\), got \(2, 3\)"):
        model.encode_features(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.backbone.train=layer4"], "cache_features needs train: none"),
        (["model.backbone.batch_norm=batch"], "cache_features needs train: none"),
        (["model.backbone.unfreeze_at=0.5"], "cache_features needs train: none"),
        (["dataset.image_cache=off"], "needs a folder for the cache"),
        (["dataset.train_sizes=[32, 64]", "dataset.resize_size=64"], "at dataset.image_size only"),
    ],
)
def test_options_that_change_the_maps_are_refused(yaml, changes, message):
    with pytest.raises(UserError, match=message):
        load_options(yaml, [*KEPT, *changes])


def test_a_digest_tells_weights_and_precision_apart():
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 2)
    first = weights_digest(layer)
    assert len(first) == 12
    assert weights_digest(layer) == first
    assert weights_digest(layer.double()) != first
    assert weights_digest(torch.nn.Linear(2, 2)) != first
