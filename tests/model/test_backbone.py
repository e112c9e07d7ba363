import hashlib
import logging

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights, get_model, resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from galr.common.errors import UserError
from galr.model.backbone import STRIDES, Backbone, build_backbone
from galr.model.build import build_model
from galr.options import BackboneOptions
from tests.model.tiny import WORDS, tiny_options


def start(weights, name="resnet18"):
    return build_backbone(
        BackboneOptions(name=name, weights=None if weights is None else str(weights))
    )


def published_at(monkeypatch, url, name="IMAGENET1K_V1"):
    """torchvision's weights of resnet18, downloaded from ``url`` instead."""
    monkeypatch.setattr(ResNet18_Weights[name].value, "url", url)


@pytest.fixture(scope="module")
def published():
    """A state dict as torchvision publishes it, with the classifier."""
    torch.manual_seed(1)
    return resnet18().state_dict()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "hub" / "checkpoints"


def assert_holds(trunk, published):
    assert set(published) - set(trunk.state_dict()) == {"fc.weight", "fc.bias"}
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(tensor, published[name]), name


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_file_with_the_classifier_or_a_prefix_is_taken(tmp_path, published, prefix):
    torch.save({prefix + name: value for name, value in published.items()}, tmp_path / "r.pth")
    trunk = start(tmp_path / "r.pth")
    assert_holds(trunk, published)
    assert all(weight.requires_grad for weight in trunk.parameters())


@pytest.mark.parametrize("entry", ["state_dict", "model"])
def test_the_weights_may_be_an_entry_of_a_checkpoint(tmp_path, published, entry):
    torch.save({"epoch": 3, entry: published}, tmp_path / "r.pth")
    trunk = start(tmp_path / "r.pth")
    assert_holds(trunk, published)


def test_a_safetensors_file_is_taken(tmp_path, published):
    save_file(published, tmp_path / "r.safetensors")
    trunk = start(tmp_path / "r.safetensors")
    assert_holds(trunk, published)


def test_a_file_of_old_pytorch_without_counters_is_taken(tmp_path, published):
    old = {name: value for name, value in published.items() if "num_batches" not in name}
    torch.save(old, tmp_path / "r.pth")
    trunk = start(tmp_path / "r.pth")
    assert_holds(trunk, published)


def test_a_random_start_is_said_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    start(None)
    assert "random weights (model.backbone.weights is null)" in caplog.text


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
        start(tmp_path / "r.pth")


def test_a_failed_download_names_the_reason_and_the_three_ways(tmp_path, cache, monkeypatch):
    published_at(monkeypatch, (tmp_path / "gone-00000000.pth").as_uri())
    with pytest.raises(UserError) as error:
        start("imagenet")
    text = str(error.value)
    for part in (
        "gone-00000000.pth",
        "No such file",
        "connect to the internet once",
        "weights=FILE",
        "weights=null",
    ):
        assert part in text
    assert "\n" not in text
    assert not list(cache.iterdir())


@pytest.mark.parametrize("weights", ["imagenet", "IMAGENET1K_V1", "DEFAULT"])
def test_a_download_is_checked_and_kept(tmp_path, cache, monkeypatch, published, weights, capsys):
    source = tmp_path / "weights.pth"
    torch.save(published, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    named = source.rename(tmp_path / f"resnet18-{digest}.pth")
    published_at(monkeypatch, named.as_uri())
    start(weights)
    named.unlink()  # from now on it comes from the cache
    assert_holds(start(weights), published)
    assert capsys.readouterr().out == ""


def test_a_download_with_another_digest_is_refused(tmp_path, cache, monkeypatch):
    source = tmp_path / "resnet18-00000000.pth"
    source.write_bytes(b"not what was published")
    published_at(monkeypatch, source.as_uri())
    with pytest.raises(UserError, match="could not be downloaded"):
        start("imagenet")
    assert not list(cache.iterdir())


def test_a_damaged_file_in_the_cache_is_named(tmp_path, cache, monkeypatch):
    published_at(monkeypatch, "https://localhost/resnet18-00000000.pth")
    cache.mkdir(parents=True)
    (cache / "resnet18-00000000.pth").write_bytes(b"half of")
    with pytest.raises(UserError, match="or the file there is damaged"):
        start("imagenet")


def test_a_downloaded_file_runs_nothing(tmp_path, cache, monkeypatch):
    published_at(monkeypatch, "https://localhost/resnet18-00000000.pth")
    cache.mkdir(parents=True)
    torch.save({"conv1.weight": torch.nn.Linear(1, 1)}, cache / "resnet18-00000000.pth")
    with pytest.raises(UserError, match="could not be downloaded"):
        start("imagenet")


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.inference_mode()
def test_maps_are_those_of_torchvision(name):
    torch.manual_seed(0)
    backbone = Backbone(name).eval()
    torch.manual_seed(0)
    reference = get_model(name).eval()
    nodes = {f"layer{level}": str(level) for level in (1, 2, 3, 4)}
    expected = create_feature_extractor(reference, nodes)(torch.ones(1, 3, 64, 64))
    maps = backbone(torch.ones(1, 3, 64, 64))
    assert len(maps) == 4
    for found, other, channels, stride in zip(
        maps, expected.values(), backbone.channels, STRIDES, strict=True
    ):
        assert torch.equal(found, other)
        assert found.shape == (1, channels, 64 // stride, 64 // stride)


def test_weights_of_another_resnet_are_an_error(tmp_path, published):
    torch.save(published, tmp_path / "r.pth")
    with pytest.raises(UserError, match=r"has no tensor layer1\.2\.conv1\.weight"):
        start(tmp_path / "r.pth", "resnet34")


@pytest.mark.parametrize("mvsa", [True, False])
def test_channels_of_the_heads_follow_from_the_backbone(mvsa):
    options = tiny_options(model__backbone__name="resnet50", model__multiscale__enabled=mvsa)
    with torch.device("meta"):
        encoder = build_model(options, WORDS).image_encoder
    solo = encoder.head.solo if mvsa else encoder.head
    assert solo.projection.in_features == 2048
    if mvsa:
        assert (encoder.head.low.in_channels, encoder.head.high.in_channels) == (768, 3072)
    assert encoder.num_features == (64 * 256 + 16 * 512 + 4 * 1024 if mvsa else 0) + 2048


@pytest.mark.parametrize("content", [b"", b"noise" * 9, b"\xff" * 8 + b"{}"])
def test_a_damaged_safetensors_file_is_an_error(tmp_path, content):
    (tmp_path / "r.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"r\.safetensors: cannot be read") as error:
        start(tmp_path / "r.safetensors")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="there is no such file"):
        start(tmp_path / "s.safetensors")
