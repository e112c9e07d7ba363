import pytest
import torch
from torch.nn.functional import interpolate

from galr.model.backbone import STRIDES, Backbone
from galr.model.mvsa import MVSA, ImageEncoder, PooledProjection

CHANNELS = (64, 128, 256, 512)

SIDE = 64  # of the image


def random_maps(images=2):
    return [
        torch.randn(images, channels, SIDE // stride, SIDE // stride, dtype=torch.float64)
        for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]


def test_mvsa_is_its_equations_at_every_position():
    mvsa = MVSA(CHANNELS, embed_dim=5, channels=2, grid=SIDE // 16).double()
    maps = random_maps()
    for image, feature in enumerate(mvsa(maps)):
        map1, map2, map3, map4 = (each[image] for each in maps)
        grid = SIDE // 16
        attended = torch.zeros(grid, grid, dtype=torch.float64)
        for row in range(grid):
            for column in range(grid):
                low = mvsa.low.bias.clone()
                for i in range(3):
                    for j in range(3):
                        y, x = 4 * row + i, 4 * column + j
                        joined = torch.cat([map1[:, y, x], map2[:, y // 2, x // 2]])
                        low = low + mvsa.low.weight[:, :, i, j] @ joined
                joined = torch.cat([map3[:, row, column], map4[:, row // 2, column // 2]])
                high = mvsa.high.weight[:, :, 0, 0] @ joined + mvsa.high.bias
                mixed = torch.cat([low, high]) + high.mean()
                main = mvsa.main.weight[0, :, 0, 0] @ mixed + mvsa.main.bias[0]
                gate = mvsa.attention.weight[0, :, 0, 0] @ mixed + mvsa.attention.bias[0]
                attended[row, column] = main * gate.sigmoid()
        solo = mvsa.solo.projection(map4.mean(dim=(1, 2)))
        expected = mvsa.solo_attention(attended.flatten()).sigmoid() * solo
        torch.testing.assert_close(feature, expected / expected.norm(), rtol=1e-7, atol=1e-12)


def test_pooled_projection_ignores_where_things_are():
    head = PooledProjection((512,), 5).double()
    maps = random_maps()
    mirrored = [each.flip(-1) for each in maps]
    torch.testing.assert_close(head(mirrored), head(maps), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 3, 64, 32), (2, 1, 32, 32), (3, 32, 32), (2, 3, 48, 48)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape):
    encoder = ImageEncoder(Backbone(), PooledProjection((512,), 5), image_size=32)
    with pytest.raises(ValueError, match=r"must be \(B, 3, 32, 32\), got \(") as error:
        encoder(torch.zeros(shape))
    assert str(shape) in str(error.value)


def test_images_of_a_training_size_are_attended_on_the_same_grid():
    encoder = ImageEncoder(
        Backbone(), MVSA(CHANNELS, 5, 2, grid=6), image_size=96, train_sizes=(64,)
    )
    encoder.eval()
    for side in (64, 96):
        assert encoder(torch.randn(2, 3, side, side)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"must be \(B, 3, 96, 96\)"):
        encoder(torch.zeros(2, 3, 32, 32))


def test_a_flat_attention_is_the_same_on_every_grid():
    mvsa = MVSA(CHANNELS, 5, 2, grid=4)
    same, half = (
        [torch.full((1, channels, side // stride, side // stride), 0.3) for channels, stride in
         zip(CHANNELS, STRIDES, strict=True)]
        for side in (64, 32)
    )  # fmt: skip
    torch.testing.assert_close(mvsa(same), mvsa(half))


def test_pooled_maps_of_all_levels_are_standardised_and_projected_side_by_side():
    head = PooledProjection(CHANNELS, 5, standardise=True).double()
    maps = random_maps(6)
    means = torch.cat([each.mean(dim=(2, 3)) for each in maps], dim=1)
    standard = (means - means.mean(dim=0)) / (means.var(dim=0, unbiased=False) + 1e-5).sqrt()
    expected = standard @ head.projection.weight.T + head.projection.bias
    torch.testing.assert_close(head(maps), expected)


@torch.no_grad()
@pytest.mark.parametrize("levels", [1, 4])
def test_a_pyramid_adds_the_pooled_maps_of_smaller_images(levels):
    head = PooledProjection(3 * CHANNELS[-levels:], 5).eval()
    encoder = ImageEncoder(Backbone(), head, image_size=96, pyramid=(64, 32)).eval()
    image = torch.randn(2, 3, 96, 96)
    means = []
    for side in (96, 64, 32):
        # the mean over the area of a pixel, as Pillow and torch's antialias compute it
        scaled = interpolate(image, (side, side), mode="bilinear", antialias=True)
        means += [each.mean(dim=(2, 3)) for each in encoder.trunk(scaled)[-levels:]]
    rows = encoder.forward_features(image)
    torch.testing.assert_close(rows, torch.cat(means, dim=1))
    assert encoder.num_features == rows.shape[1]
    torch.testing.assert_close(encoder(image), head.projection(rows))
    torch.testing.assert_close(encoder.forward_head(rows), encoder(image))


@torch.no_grad()
def test_in_evaluation_alone_the_feature_is_the_mean_over_four_rotations():
    head = PooledProjection(CHANNELS, 5)
    encoder = ImageEncoder(Backbone(), head, image_size=32, average_rotations=True).eval()
    upright = ImageEncoder(encoder.trunk, head, image_size=32).eval()
    image = torch.randn(2, 3, 32, 32)
    turned = [torch.rot90(image, k, (2, 3)) for k in range(4)]
    features = torch.stack([upright(each) for each in turned])
    torch.testing.assert_close(encoder(image), features.mean(dim=0))
    assert not torch.allclose(features[0], features.mean(dim=0))
    kept = torch.stack([encoder.forward_features(each) for each in turned], dim=1)
    torch.testing.assert_close(encoder.forward_head(kept), features.mean(dim=0))
    torch.testing.assert_close(upright.forward_head(kept), features[0])
