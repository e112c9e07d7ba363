"""How the backbone takes part in training: which stages are trained, compiled, or cached."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from galr.common import distributed
from galr.common.errors import UserError
from galr.data.dataset import image_loader
from galr.data.feature_cache import CachedFeatures, open_features
from galr.data.image_cache import ImageFiles
from galr.data.part import Part
from galr.data.transforms import normalise
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import BackboneOptions, DatasetOptions


def set_trainable(model: RetrievalModel, options: BackboneOptions, done: float) -> None:
    """Puts ``model`` into training mode, except the frozen stages of its backbone.

    ``done``: the share of the training in [0, 1] that is done. Frozen stages have no gradients, and
    their batch normalisation keeps its statistics.
    """
    model.train()
    trunk = model.image_encoder.trunk
    assert isinstance(trunk, nn.Module)
    trained = "none" if done < options.unfreeze_at else options.train
    for name, module in trunk.named_children():
        is_trained = trained == "all" or (trained == "layer4" and name == "layer4")
        module.requires_grad_(is_trained)
        module.train(is_trained)
    if options.batch_norm == "frozen":
        for module in trunk.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def compile_backbone(encoder: ImageEncoder) -> None:
    """Compiles the backbone of ``encoder`` for training mode; evaluation stays as it was.

    Compilation starts with the first step; names of weights stay. Raises UserError where
    torch.compile does not work, above all without a C++ compiler.
    """
    torch.compiler.reset()  # versions of an earlier fold count towards the recompile limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations
            torch.compile(torch.neg)(next(encoder.parameters()).detach())
    except Exception as error:  # noqa: BLE001 - a missing tool chain raises anything
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            "optim.compile",
            f"torch.compile does not work here ({text})",
            "install a C++ compiler such as g++ (CXX names one), or set it to false",
        ) from None
    encoder.compiled_trunk = torch.compile(encoder.trunk.forward)


def cached_features(
    encoder: ImageEncoder, files: ImageFiles, split: str, options: DatasetOptions
) -> CachedFeatures:
    """The features of each of ``files`` by the backbone as it is now, from the feature cache.

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


def with_features(part: Part, maps: CachedFeatures, names: tuple[str, ...]) -> Part:
    """``part`` with cached features in place of images; ``names``: the images of ``maps``."""
    row = {name: index for index, name in enumerate(names)}
    return part._replace(images=maps.select([row[name] for name in part.annotations.images]))


def weights_digest(module: nn.Module) -> str:
    """Twelve hexadecimal digits, a function of the weights of ``module`` and their precision."""
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
