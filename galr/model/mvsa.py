"""The global branch: MVSA, multiscale visual self-attention, on the maps of the backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, interpolate
from torchvision.transforms.v2.functional import resize

from galr.encoders.torchvision_maps import STRIDES
from galr.encoders.trunk import Trunk
from galr.model.normalise import l2_normalise


class Pooled(nn.Module):
    """The spatial mean of the last map, of length 1 if ``unit_length``."""

    def __init__(self, unit_length: bool = False) -> None:
        super().__init__()
        self.unit_length = unit_length

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The maps of a ``Trunk``, or only the last -> (B, channels)."""
        feature = maps[-1].mean(dim=(2, 3))
        return l2_normalise(feature) if self.unit_length else feature


class PooledProjection(nn.Module):
    """The spatial means of the last map or of several, projected."""

    def __init__(
        self,
        channels: Sequence[int],
        embed_dim: int,
        standardise: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """``channels`` of the pooled maps, ending with the trunk's last."""
        super().__init__()
        self.pooled = len(channels)
        self.prepare = prepared(sum(channels), standardise, dropout)
        self.projection = nn.Linear(sum(channels), embed_dim)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The maps of a ``Trunk``, or only those that are pooled -> (B, D)."""
        means = [each.mean(dim=(2, 3)) for each in maps[-self.pooled :]]
        feature: Tensor = self.projection(self.prepare(torch.cat(means, dim=1)))
        return feature


class MVSA(nn.Module):
    """Multiscale visual self-attention (paper, section on the global branch).

    The two lower maps L and the two higher ones H are brought to the grid of the third map, S/16 x
    S/16 positions in a ResNet:

    L' = conv3x3(L), H' = conv1x1(H), M = [L', H'] + mean over channels of H'
    A = conv1x1(M) * sigmoid(conv1x1(M)), one channel
    v = normalise(sigmoid(W A + b) * solo), solo the pooled and projected last map.
    """

    def __init__(
        self,
        of_maps: Sequence[int],
        embed_dim: int,
        channels: int,
        grid: int,
        unit_length: bool = True,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        """``of_maps``: channels of the four maps, whose sides are S over ``strides``.

        ``channels`` of L' and of H'; ``grid``: side of the third map.

        ``unit_length``: v is normalised, as in GaLR; AMFMN does not normalise it.

        For images of another size, A is resampled to this grid.
        """
        super().__init__()
        self.grid, self.unit_length = grid, unit_length
        self.solo = PooledProjection(of_maps[3:], embed_dim)
        step = strides[2] // strides[0]
        padding = 1 if step < 3 else 0  # gives the grid of the third map
        self.low = nn.Conv2d(of_maps[0] + of_maps[1], channels, 3, stride=step, padding=padding)
        self.high = nn.Conv2d(of_maps[2] + of_maps[3], channels, 1)
        self.main = nn.Conv2d(2 * channels, 1, 1)
        self.attention = nn.Conv2d(2 * channels, 1, 1)
        self.solo_attention = nn.Linear(grid**2, embed_dim)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The four maps of a ``Trunk`` -> (B, D), of length 1 if ``unit_length``."""
        attended = self.attended(maps)
        if attended.shape[2] != self.grid:
            attended = interpolate(attended, (self.grid, self.grid), mode="bilinear")
        weights = torch.sigmoid(self.solo_attention(attended.flatten(1)))  # (B, D)
        feature: Tensor = weights * self.solo(maps)
        return l2_normalise(feature) if self.unit_length else feature

    def attended(self, maps: Sequence[Tensor]) -> Tensor:
        """The attended map A: (B, 1, S/16, S/16)."""
        low = self.low(_joined(maps[0], maps[1]))  # (B, channels, S/16, S/16)
        high = self.high(_joined(maps[2], maps[3]))  # (B, channels, S/16, S/16)
        mixed = torch.cat([low, high], dim=1) + high.mean(dim=1, keepdim=True)
        attended: Tensor = self.main(mixed) * torch.sigmoid(self.attention(mixed))
        return attended


class ImageEncoder(nn.Module):
    """The trunk, and the head that turns its maps into the global feature."""

    def __init__(
        self,
        trunk: Trunk,
        head: nn.Module,
        image_size: int,
        train_sizes: Sequence[int] = (),
        average_rotations: bool = False,
        pyramid: Sequence[int] = (),
    ) -> None:
        """``head``: ``MVSA``, or a pooled map. Images have a side of ``image_size`` or, in
        training, one of ``train_sizes``.

        ``average_rotations``: in evaluation, average the features of four rotations.

        ``pyramid``: sides to which the trunk also gets the image scaled, for a ``PooledProjection``
        of as many maps of each.
        """
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.image_size = image_size
        self.sides = {image_size, *train_sizes}
        # a plain function, so that the names of the weights do not change (training.backbone)
        self.compiled_trunk: Callable[[Tensor], Sequence[Tensor]] | None = None
        self.average_rotations = average_rotations
        self.pyramid = tuple(pyramid)
        # the other heads only read spatial means
        self.reads_all_maps = isinstance(head, MVSA)
        pooled = head.pooled if isinstance(head, PooledProjection) else 1
        self.pooled = pooled // (1 + len(self.pyramid))  # of each scale

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, S, S), normalised -> (B, D). Raises ValueError for another shape."""
        if self.training or not self.average_rotations:
            feature: Tensor = self.head(self.maps(image))
            return feature
        features = [self.head(self.maps(torch.rot90(image, k, (2, 3)))) for k in range(4)]
        return torch.stack(features).mean(dim=0)

    def maps(self, image: Tensor) -> Sequence[Tensor]:
        """The maps that the head reads, largest scale first; arguments as in ``forward``."""
        side = image.shape[-1] if image.shape[-1] in self.sides else self.image_size
        if image.dim() != 4 or image.shape[1:] != (3, side, side):
            raise ValueError(f"image must be (B, 3, {side}, {side}), got {tuple(image.shape)}")
        trunk: Callable[[Tensor], Sequence[Tensor]] = self.trunk
        if self.training and self.compiled_trunk is not None:
            trunk = self.compiled_trunk
        maps: Sequence[Tensor] = trunk(image)
        if not self.pyramid:
            return maps
        scaled = (resize(image, [side, side]) for side in self.pyramid)
        scales = [maps, *map(trunk, scaled)]
        return [each for scale in scales for each in scale[-self.pooled :]]

    @property
    def num_features(self) -> int:
        """L, the number of values per image that ``forward_features`` gives."""
        return sum(side**2 * channels for side, channels in self._feature_sizes())

    def forward_features(self, image: Tensor) -> Tensor:
        """The features read by the head, one row per image: (B, 3, S, S) -> (B, L)."""
        maps = self.maps(image)
        if not self.reads_all_maps:
            read = maps[-len(self._feature_sizes()) :]
            return torch.cat([each.mean(dim=(2, 3)) for each in read], dim=1)
        # channels last, the layout in which the head's convolutions are fastest
        return torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in maps], dim=1)

    def forward_head(self, rows: Tensor) -> Tensor:
        """The global feature from rows of ``forward_features``: (B, L) -> (B, D).

        ``rows``: in any precision, or (B, 4, L): rows of four rotations, upright first, of which
        ``average_rotations`` averages the features and otherwise the first is used.
        """
        if rows.dim() == 3 and self.average_rotations:
            return self.forward_head(rows.flatten(0, 1)).view(*rows.shape[:2], -1).mean(dim=1)
        if rows.dim() == 3:
            rows = rows[:, 0]
        if rows.dim() != 2 or rows.shape[1] != self.num_features:
            raise ValueError(f"rows must be (B, {self.num_features}), got {tuple(rows.shape)}")
        kind, maps, start = next(self.parameters()).dtype, [], 0
        for side, channels in self._feature_sizes():
            end = start + side**2 * channels
            level = rows[:, start:end].view(-1, side, side, channels).permute(0, 3, 1, 2)
            maps.append(level.to(kind, memory_format=torch.channels_last))
            start = end
        feature: Tensor = self.head(maps)
        return feature

    def _feature_sizes(self) -> list[tuple[int, int]]:
        """Side and channels of each feature map that the head reads."""
        channels = self.trunk.channels
        if not self.reads_all_maps:
            scales = 1 + len(self.pyramid)
            return [(1, number) for number in channels[-self.pooled :]] * scales
        return [
            (self.image_size // stride, number)
            for stride, number in zip(self.trunk.strides, channels, strict=True)
        ]


class Standardise(nn.BatchNorm1d):
    """Batch normalisation that uses running statistics for a batch of one, which has none."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, width) -> (B, width)."""
        if len(input) == 1:
            return batch_norm(input, self.running_mean, self.running_var, eps=self.eps)
        normalised: Tensor = super().forward(input)
        return normalised


def prepared(width: int, standardise: bool, dropout: float) -> nn.Module:
    """The layers before the projection of a feature (B, ``width``)."""
    parts: list[nn.Module] = []
    if standardise:
        parts.append(Standardise(width, affine=False))
    if dropout:
        parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts)


def _joined(fine: Tensor, coarse: Tensor) -> Tensor:
    """Both maps on the finer grid, whose side is a multiple of the coarser one's."""
    if coarse.shape[2:] != fine.shape[2:]:
        coarse = interpolate(coarse, fine.shape[2:], mode="nearest")
    return torch.cat([fine, coarse], dim=1)
