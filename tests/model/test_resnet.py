import torch
from torch.nn.functional import batch_norm, conv2d

from galr.model.resnet import ResidualBlock, ResNet18


def test_maps_have_the_channels_and_sides_of_resnet18():
    maps = ResNet18().eval()(torch.zeros(2, 3, 64, 64))
    assert [tuple(each.shape) for each in maps] == [
        (2, 64, 16, 16),
        (2, 128, 8, 8),
        (2, 256, 4, 4),
        (2, 512, 2, 2),
    ]


def test_parameters_are_those_of_resnet18_without_its_classifier():
    trunk = ResNet18()
    # 11,689,512 of the whole network, less 512 x 1000 + 1000 of the classifier
    assert sum(weight.numel() for weight in trunk.parameters()) == 11_176_512
    names = trunk.state_dict().keys()
    assert len(names) == 120
    assert {"layer1.0.conv1.weight", "layer2.0.downsample.1.running_var"} <= names


def test_a_block_adds_its_projected_input():
    block = ResidualBlock(3, 4, stride=2).double().eval()
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)

    def norm(y, layer):
        return batch_norm(y, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    inner = norm(conv2d(x, block.conv1.weight, stride=2, padding=1), block.bn1).relu()
    inner = norm(conv2d(inner, block.conv2.weight, padding=1), block.bn2)
    skipped = norm(conv2d(x, block.downsample[0].weight, stride=2), block.downsample[1])
    torch.testing.assert_close(block(x), (inner + skipped).relu(), rtol=1e-12, atol=0)
