import hashlib
import logging

import pytest
import torch

from galr.errors import UserError
from galr.model import backbone
from galr.model.backbone import start_backbone
from galr.model.resnet import ResNet18
from tests.model.test_safetensors import write_safetensors


@pytest.fixture(scope="module")
def published():
    """A state dict as torchvision publishes it, with the classifier."""
    torch.manual_seed(1)
    return ResNet18().state_dict() | {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hub" / "checkpoints"


def assert_holds(trunk, published):
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(tensor, published[name]), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_with_the_classifier_or_a_prefix_is_taken(tmp_path, published, prefix):
    torch.save({prefix + name: value for name, value in published.items()}, tmp_path / "r.pth")
    trunk = ResNet18()
    start_backbone(trunk, str(tmp_path / "r.pth"))
    assert_holds(trunk, published)
    assert all(weight.requires_grad for weight in trunk.parameters())


@pytest.mark.parametrize("entry", ["state_dict", "model"])
def test_the_weights_may_be_an_entry_of_a_checkpoint(tmp_path, published, entry):
    torch.save({"epoch": 3, entry: published}, tmp_path / "r.pth")
    trunk = ResNet18()
    start_backbone(trunk, str(tmp_path / "r.pth"))
    assert_holds(trunk, published)


def test_a_safetensors_file_is_taken(tmp_path, published):
    write_safetensors(tmp_path / "r.safetensors", published)
    trunk = ResNet18()
    start_backbone(trunk, str(tmp_path / "r.safetensors"))
    assert_holds(trunk, published)


def test_a_file_of_old_pytorch_without_counters_is_taken(tmp_path, published):
    old = {name: value for name, value in published.items() if "num_batches" not in name}
    torch.save(old, tmp_path / "r.pth")
    trunk = ResNet18()
    start_backbone(trunk, str(tmp_path / "r.pth"))
    assert_holds(trunk, published)


def test_a_random_start_is_said_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    start_backbone(ResNet18(), None)
    assert "random start (model.backbone.weights is null)" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv1.weight"), "has no tensor conv1.weight"),
        (lambda state: state.update({"layer5.x": torch.ones(1)}), "holds a tensor layer5.x"),
        (lambda state: state.update({"bn1.bias": torch.ones(3)}), r"bn1.bias has shape \(3,\)"),
        (
            lambda state: state.update({"bn1.bias": torch.full((64,), torch.nan)}),
            "bn1.bias holds NaN",
        ),
        (lambda state: state.update({"bn1.bias": 3}), "holds no weights"),
    ],
)
def test_a_file_of_another_network_is_an_error(tmp_path, published, change, message):
    state = dict(published)
    change(state)
    torch.save(state, tmp_path / "r.pth")
    with pytest.raises(UserError, match=message):
        start_backbone(ResNet18(), str(tmp_path / "r.pth"))


def test_a_failed_download_names_the_reason_and_the_three_ways(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(backbone, "IMAGENET_URL", (tmp_path / "gone-00.pth").as_uri())
    trunk = ResNet18()
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    with pytest.raises(UserError) as error:
        start_backbone(trunk, "imagenet")
    text = str(error.value)
    for part in ("gone-00.pth", "No such file", "connect once", "weights=FILE", "weights=null"):
        assert part in text
    assert "\n" not in text
    assert_holds(trunk, before)
    assert not list(cache.iterdir())


def test_a_download_is_checked_and_kept(tmp_path, cache, monkeypatch, published):
    source = tmp_path / "weights.pth"
    torch.save(published, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    named = source.rename(tmp_path / f"resnet18-{digest}.pth")
    monkeypatch.setattr(backbone, "IMAGENET_URL", named.as_uri())
    start_backbone(ResNet18(), "imagenet")
    named.unlink()  # from now on it comes from the cache
    trunk = ResNet18()
    start_backbone(trunk, "imagenet")
    assert_holds(trunk, published)


def test_a_download_with_another_digest_is_refused(tmp_path, cache, monkeypatch):
    source = tmp_path / "resnet18-00000000.pth"
    source.write_bytes(b"not what was published")
    monkeypatch.setattr(backbone, "IMAGENET_URL", source.as_uri())
    with pytest.raises(UserError, match="could not be downloaded"):
        start_backbone(ResNet18(), "imagenet")
    assert not list(cache.iterdir())
