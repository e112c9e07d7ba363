"""The trunk of ResNet-18 (He et al. 2016): maps of four levels from an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = (64, 128, 256, 512)
"""Channels of the four maps, whose sides are 1/4, 1/8, 1/16 and 1/32 of the image's."""


class ResidualBlock(nn.Module):
    """relu(F(x) + x), F two 3x3 convolutions; x is projected where its shape changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels, H / stride, W / stride)."""
        inner = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class ResNet18(nn.Module):
    """The convolutions of ResNet-18, under torchvision's parameter names, without its classifier.

    Starts from torchvision's random weights (He et al. 2015, fan out).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(CHANNELS[0], CHANNELS[0], stride=1)
        self.layer2 = _layer(CHANNELS[0], CHANNELS[1], stride=2)
        self.layer3 = _layer(CHANNELS[1], CHANNELS[2], stride=2)
        self.layer4 = _layer(CHANNELS[2], CHANNELS[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """image (B, 3, S, S) -> maps (B, 64, S/4, S/4), ..., (B, 512, S/32, S/32)."""
        stem = self.maxpool(torch.relu(self.bn1(self.conv1(image))))  # (B, 64, S/4, S/4)
        map1 = self.layer1(stem)
        map2 = self.layer2(map1)  # (B, 128, S/8, S/8)
        map3 = self.layer3(map2)  # (B, 256, S/16, S/16)
        map4 = self.layer4(map3)  # (B, 512, S/32, S/32)
        return map1, map2, map3, map4


def _layer(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(channels_in, channels, stride), ResidualBlock(channels, channels, 1)
    )
