"""Maps of torchvision's classifiers, against torchvision's own forward pass."""

from copy import deepcopy

import pytest
import torch
from torchvision.models import get_model

from galr.common.errors import UserError
from galr.model.backbone import build_backbone
from galr.model.build import build_model
from galr.model.torchvision_maps import TorchvisionMaps
from galr.options import BackboneOptions
from tests.model.tiny import WORDS, tiny_options


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("mobilenet_v3_small", (16, 24, 48, 576)),
        ("regnet_y_400mf", (48, 104, 208, 440)),
        ("swin_t", (96, 192, 384, 768)),  # its channels come last
        ("shufflenet_v2_x0_5", (24, 48, 96, 1024)),
    ],
)
@torch.inference_mode()
def test_the_last_map_pools_to_what_torchvision_classifies(name, channels):
    torch.manual_seed(0)
    trunk = TorchvisionMaps(name).eval()
    torch.manual_seed(0)
    reference = get_model(name).eval()
    for head in trunk.heads:
        child = getattr(reference, head)
        if not isinstance(child, torch.nn.AdaptiveAvgPool2d | torch.nn.Flatten):
            setattr(reference, head, torch.nn.Identity())
    image = torch.rand(2, 3, 64, 64)
    maps = trunk(image)
    assert trunk.channels == channels
    for each, own, stride in zip(maps, channels, trunk.strides, strict=True):
        assert each.shape == (2, own, 64 // stride, 64 // stride)
    pooled = maps[3].mean(dim=(2, 3))
    torch.testing.assert_close(pooled, reference(image).flatten(1), rtol=0, atol=1e-5)
    for before, after in zip(maps, deepcopy(trunk)(image), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["vit_b_16", "squeezenet1_1"])
def test_a_network_without_such_maps_is_an_error(name):
    with pytest.raises(UserError, match=f"name: {name}: has no maps of the strides 4, 8, 16, 32"):
        TorchvisionMaps(name)


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(UserError, match="resnet19: is no classifier of torchvision; the nearest"):
        build_backbone(BackboneOptions(name="resnet19", weights=None))


def test_a_file_in_torchvisions_names_is_taken(tmp_path):
    torch.manual_seed(1)
    published = get_model("mobilenet_v3_small").state_dict()
    torch.save(published, tmp_path / "m.pth")
    options = BackboneOptions(name="mobilenet_v3_small", weights=str(tmp_path / "m.pth"))
    state = build_backbone(options).net.state_dict()
    assert set(published) - set(state) == {
        name for name in published if name.startswith("classifier.")
    }
    assert all(torch.equal(tensor, published[name]) for name, tensor in state.items())


@pytest.mark.parametrize("mvsa", [True, False])
def test_a_model_has_gradients_everywhere(mvsa):
    options = tiny_options(
        model__backbone__name="shufflenet_v2_x0_5", model__multiscale__enabled=mvsa
    )
    encoder = build_model(options, WORDS).image_encoder
    encoder(torch.rand(3, 3, 32, 32)).sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())


@pytest.mark.parametrize(("level", "last"), [(4, ("stage4", "conv5")), (3, ("stage3",))])
def test_levels_are_parts_of_the_network(level, last):
    trunk = TorchvisionMaps("shufflenet_v2_x0_5")
    chosen = {id(module) for module in trunk.modules_from(level)}
    names = {
        name.partition(".")[0] for name, module in trunk.net.named_modules() if id(module) in chosen
    }
    expected = {"stage3", "stage4", "conv5"} if level == 3 else {"stage4", "conv5"}
    assert names == expected
    assert set(last) <= names
