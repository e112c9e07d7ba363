import numpy as np
import pytest
import torch
from PIL import Image

from galr.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Placement,
    normalise,
    place,
    rotate_and_crop,
)


def scene(side=40, seed=0):
    """A smooth scene without black, so that what lies outside is seen."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(3 * x + k) * np.cos(4 * y + seed) for k in range(3)]
    return (140 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


@pytest.mark.parametrize("angle", [0.0, 17.3, 45.0, 89.99, 90.0, 200.0])
@pytest.mark.parametrize("side", [32, 40])
def test_one_step_equals_rotation_then_crop(angle, side):
    image = scene()
    left, top = (3, 8) if side == 32 else (0, 0)
    out = np.empty((side, side, 3), np.uint8)
    rotate_and_crop(image, Placement(angle, left, top), out)
    turned = np.asarray(Image.fromarray(image).rotate(angle))
    expected = turned[top : top + side, left : left + side]
    # a pixel that falls between two is rounded one way or the other
    differ = (out != expected).any(axis=2)
    assert differ.mean() < 0.02
    inside = (out != 0).any(axis=2) & (expected != 0).any(axis=2)
    assert np.abs(out.astype(int) - expected)[inside].max() < 25


def test_without_rotation_the_crop_is_exact():
    image, out = scene(), np.empty((32, 32, 3), np.uint8)
    rotate_and_crop(image, Placement(0.0, 3, 8), out)
    assert np.array_equal(out, image[8:40, 3:35])


def test_black_fills_what_lies_outside():
    out = np.empty((40, 40, 3), np.uint8)
    rotate_and_crop(scene(), Placement(45.0, 0, 0), out)
    assert not out[0, 0].any()
    assert not out[-1, -1].any()
    assert out[20, 20].all()


def test_angles_and_places_are_uniform_and_independent():
    draws = np.random.default_rng(0).random((9000, 3))
    angles, lefts, tops = np.array([place(draw, 40, 32, 90.0) for draw in draws]).T
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
    batch = torch.zeros(2, 3, 8, 8, dtype=torch.uint8).to(memory_format=torch.channels_last)
    assert normalise(batch).is_contiguous(memory_format=torch.channels_last)
    assert normalise(batch.contiguous()).is_contiguous()


@pytest.mark.parametrize("images", [torch.zeros(2, 3, 8, 8), torch.zeros(3, 8, 8).byte()])
def test_normalise_refuses_what_is_no_batch_of_bytes(images):
    with pytest.raises(ValueError, match="must be"):
        normalise(images)
