"""Which weights of the backbone are trained, and when."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from galr.model.galr import GaLR
from galr.options import BackboneOptions


def set_trained(model: GaLR, options: BackboneOptions, done: float) -> None:
    """Puts ``model`` into training mode, the frozen part of its backbone aside.

    ``done`` in [0, 1] is the share of the training behind it. Frozen stages have no gradients, and
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
