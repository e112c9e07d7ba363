"""The maps of a frozen trunk in place of images, computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from galr.common import distributed
from galr.data.dataset import image_loader
from galr.data.feature_cache import CachedFeatures, open_features
from galr.data.image_cache import ImageFiles
from galr.data.part import Part
from galr.data.transforms import normalise
from galr.model.mvsa import ImageEncoder
from galr.options import DatasetOptions


def trunk_maps(
    encoder: ImageEncoder, files: ImageFiles, split: str, options: DatasetOptions
) -> CachedFeatures:
    """What the head reads of each of ``files``, by the trunk as it is, from a cache.

    Rank 0 builds the cache where it is missing, and the others wait.
    """
    with distributed.main_first():
        return open_features(
            options,
            split,
            files,
            key=weights_digest(encoder.trunk),
            length=encoder.kept_length,
            batches=_computed(encoder, files, options),
        )


def with_maps(part: Part, maps: CachedFeatures, names: tuple[str, ...]) -> Part:
    """``part`` with the ``maps`` of its images, which are some of ``names``."""
    row = {name: index for index, name in enumerate(names)}
    return part._replace(images=maps.select([row[name] for name in part.annotations.images]))


def weights_digest(module: nn.Module) -> str:
    """Twelve letters that differ where a weight of ``module`` or its precision does."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not name.endswith(".num_batches_tracked"):  # which normalisation by statistics ignores
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


@torch.inference_mode()
def _computed(
    encoder: ImageEncoder, files: ImageFiles, options: DatasetOptions
) -> Iterator[NDArray[np.float16]]:
    encoder.eval()
    weight = next(encoder.parameters())
    for batch in image_loader(files, None, options):
        images = normalise(batch.images.to(weight.device)).to(weight.dtype)
        yield encoder.kept_maps(images).half().cpu().numpy()
