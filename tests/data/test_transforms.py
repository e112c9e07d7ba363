import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from galr.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Placement,
    normalise,
    place,
    recolour,
    rotate_and_crop,
)
from galr.images.decoding import resize_to_square
from galr.options import AugmentOptions


def scene(side=40, seed=0):
    """A smooth scene without black, so that what lies outside is seen."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(3 * x + k) * np.cos(4 * y + seed) for k in range(3)]
    return (140 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 17.3, 45.0, 89.99, 90.0, 200.0])
@pytest.mark.parametrize("side", [32, 40])
def test_a_view_is_torchvisions_rotation_then_crop(angle, side):
    image = scene()
    left, top = (3, 8) if side == 32 else (0, 0)
    out = np.empty((side, side, 3), np.uint8)
    rotate_and_crop(image, Placement(angle, left, top, side), out)
    expected = tv.crop(tv.rotate(Image.fromarray(image), angle), top, left, side, side)
    assert np.array_equal(out, np.asarray(expected))


def test_evaluation_resizes_as_torchvision_does():
    image = Image.fromarray(scene(90))
    for side in (32, 64, 128):
        expected = np.asarray(tv.resize(image, [side, side]))
        assert np.array_equal(resize_to_square(image, side), expected)


def test_without_rotation_the_crop_is_exact():
    image, out = scene(), np.empty((32, 32, 3), np.uint8)
    rotate_and_crop(image, Placement(0.0, 3, 8, 32), out)
    assert np.array_equal(out, image[8:40, 3:35])


def test_black_fills_what_lies_outside():
    out = np.empty((40, 40, 3), np.uint8)
    rotate_and_crop(scene(), Placement(45.0, 0, 0, 40), out)
    assert not out[0, 0].any()
    assert not out[-1, -1].any()
    assert out[20, 20].all()


def test_angles_and_places_are_uniform_and_independent():
    draws = np.random.default_rng(0).random((9000, 3))
    angles, lefts, tops = np.array([place(draw, 40, 32, 90.0)[:3] for draw in draws]).T
    assert angles.min() >= 0
    assert angles.max() < 90
    for counts in (
        np.bincount((angles / 10).astype(int), minlength=9),
        np.bincount(lefts.astype(int), minlength=9),
        np.bincount(tops.astype(int), minlength=9),
    ):
        assert len(counts) == 9
        assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)  # five standard deviations
    assert np.abs(np.corrcoef([angles, lefts, tops]) - np.eye(3)).max() < 0.05


@pytest.mark.parametrize("symmetry", range(8))
def test_the_eight_symmetries_of_a_square(symmetry):
    image, out = scene(), np.empty((40, 40, 3), np.uint8)
    rotate_and_crop(image, Placement(0.0, 0, 0, 40, symmetry), out)
    mirrored = image[:, ::-1] if symmetry >= 4 else image
    assert np.array_equal(out, np.rot90(mirrored, symmetry % 4))


def test_right_angles_are_drawn_evenly():
    augment = AugmentOptions(right_angles=True)
    draws = np.random.default_rng(0).random((8000, 5))
    drawn = [place(draw, 40, 40, 0.0, augment).symmetry for draw in draws]
    assert np.abs(np.bincount(drawn) - 1000).max() < 5 * np.sqrt(1000)


def test_a_window_of_another_size_is_torchvisions_resized_crop():
    image, out = scene(), np.empty((20, 20, 3), np.uint8)
    rotate_and_crop(image, Placement(0.0, 3, 5, 31), out)
    expected = tv.resized_crop(Image.fromarray(image), 5, 3, 31, 31, [20, 20])
    assert np.array_equal(out, np.asarray(expected))


def test_windows_lie_inside_and_show_the_share_asked_for():
    augment = AugmentOptions(crop_scale=0.25)
    draws = np.random.default_rng(0).random((4000, 5))
    placed = [place(draw, 40, 32, 0.0, augment) for draw in draws]
    shares = np.array([placement.window**2 / 40**2 for placement in placed])
    assert shares.min() >= 0.24  # whole pixels
    assert shares.mean() == pytest.approx(0.625, abs=0.02)
    for placement in placed:
        assert min(placement.left, placement.top) >= 0
        assert max(placement.left, placement.top) + placement.window <= 40


def test_colours_change_as_torchvisions_jitter_has_them():
    pixels = scene()
    recolour(pixels, np.full(5, 0.5), 0.4)
    assert np.array_equal(pixels, scene())
    recolour(pixels, np.array([0.9, 0.1, 0.7, 0.5, 0.5]), 0.5)
    expected = torch.from_numpy(scene()).permute(2, 0, 1)
    expected = tv.adjust_contrast(tv.adjust_brightness(expected, 1.4), 0.6)
    expected = tv.adjust_saturation(expected, 1.2).permute(1, 2, 0)
    assert np.abs(pixels.astype(int) - expected.numpy().astype(int)).max() <= 1


@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-53])
def test_every_draw_lies_inside(draw):
    placement = place(np.array([draw] * 3), 40, 32, 90.0)
    assert 0 <= placement.angle < 90
    assert 0 <= placement.left <= 8
    assert 0 <= placement.top <= 8


def test_normalise_is_imagenets():
    images = torch.from_numpy(scene()).permute(2, 0, 1)[None]
    found = normalise(images)
    for channel, (mean, deviation) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        expected = (images[:, channel].double() / 255 - mean) / deviation
        torch.testing.assert_close(found[:, channel].double(), expected, rtol=0, atol=1e-6)


def test_normalise_keeps_the_memory_format():
    batch = torch.from_numpy(np.stack([scene(seed=1), scene(seed=2)])).permute(0, 3, 1, 2)
    found = normalise(batch)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert normalise(batch.contiguous()).is_contiguous()
    assert torch.equal(normalise(batch.contiguous()), found)


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8).byte()])
def test_normalise_refuses_what_is_no_batch_of_bytes(images):
    with pytest.raises(ValueError, match="must be"):
        normalise(images)
