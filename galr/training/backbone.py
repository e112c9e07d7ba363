"""The backbone in training: trainable stages, compilation, cached features."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _BatchNorm

from galr.common import distributed
from galr.common.errors import UserError
from galr.data.feature_cache import Views, open_features
from galr.data.loaders import view_loader
from galr.data.part import Part
from galr.data.transforms import normalise
from galr.encoders.trunk import Trunk
from galr.images.square_files import ImageFiles
from galr.model.mvsa import ImageEncoder
from galr.model.retrieval_model import RetrievalModel
from galr.options import BackboneOptions, DatasetOptions
from galr.weights.files import weights_digest


def set_trainable(model: RetrievalModel, options: BackboneOptions, progress: float) -> None:
    """Puts ``model`` into training mode, except the frozen levels of its backbone.

    ``progress``: the share of the training that is done, in [0, 1]. Frozen levels require no
    gradients, and their batch normalisation keeps its running statistics.
    """
    model.train()
    backbone = model.image_encoder.trunk
    assert isinstance(backbone, Trunk)
    trainable = "none" if progress < options.unfreeze_at else options.train
    backbone.requires_grad_(trainable == "all")
    backbone.train(trainable == "all")
    if trainable.startswith("layer"):
        for module in backbone.modules_from(int(trainable[-1])):
            module.requires_grad_(True)
            module.training = True
    if options.batch_norm == "frozen":
        for module in backbone.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def compile_backbone(encoder: ImageEncoder) -> None:
    """Compiles the backbone of ``encoder`` for training mode; evaluation remains eager.

    Compilation happens in the first step; the names of the weights do not change. Raises UserError
    where torch.compile does not work, usually because there is no C++ compiler.
    """
    torch.compiler.reset()  # the graphs of earlier folds count towards the recompile limit
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own deprecations
            torch.compile(torch.neg)(next(encoder.parameters()).detach())
    except Exception as error:  # noqa: BLE001 - a missing toolchain raises anything
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            "optim.compile",
            f"torch.compile does not work here ({text})",
            "install a C++ compiler such as g++ (CXX names one), or set it to false",
        ) from None
    encoder.compiled_trunk = torch.compile(encoder.trunk.forward)


def with_cached_features(
    part: Part, encoder: ImageEncoder, options: DatasetOptions, views: int = 1, seed: int = 0
) -> Part:
    """``part`` with cached features of the backbone of ``encoder`` in place of its images.

    Where the feature cache is missing, rank 0 builds it while the others wait. It holds ``views``
    views of each image; ``seed`` determines the random crops among them.
    """
    files = part.images
    assert isinstance(files, ImageFiles)
    cached, length = Views(files, views, options, seed), encoder.num_features
    with distributed.main_first():
        features = open_features(
            options,
            part.annotations.split,
            cached,
            key="_".join(map(str, (weights_digest(encoder.trunk), *encoder.pyramid, length))),
            length=length,
            batches=_features(encoder, cached, options),
        )
    return part._replace(images=features)


@torch.inference_mode()
def _features(
    encoder: ImageEncoder, views: Views, options: DatasetOptions
) -> Iterator[NDArray[np.float16]]:
    """The features of all views of a batch of images, each decoded once: (B, V, L)."""
    encoder.eval()
    weight = next(encoder.parameters())
    for pixels in view_loader(views, options):
        rows = [
            encoder.forward_features(normalise(part.to(weight.device)).to(weight.dtype))
            .half()
            .cpu()
            for part in torch.split(pixels, options.batch_size_val)
        ]
        yield torch.cat(rows).view(len(pixels) // views.views, views.views, -1).numpy()
