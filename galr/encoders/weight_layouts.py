"""The layouts of names in files of backbone weights, recognised and turned into the library's.

- the library's own, also under ``module.`` (data parallelism)
- ``encoder_q.``, ``base_encoder.`` (MoCo), ``model.``, ``backbone.``, ``model.backbone.``
  (Lightning and others): what else such a file holds belongs to its training and is left out
- ``encoder_q.0``, ``encoder_q.1``, ...: a ResNet's children by number (SeCo)
- ``_conv_stem``, ``_blocks``: EfficientNet-PyTorch, whose networks are timm's ``tf_efficientnet``
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galr.common.errors import UserError
from galr.encoders.trunk import Trunk
from galr.weights.files import State, named_tensors, put_weights

logger = logging.getLogger(__name__)

PREFIXES = ("", "encoder_q.", "base_encoder.", "model.", "backbone.", "model.backbone.")
BANDS = 3


def put_backbone_weights(
    trunk: Trunk,
    stored: Any,  # noqa: ANN401 - whatever the file held
    place: str | Path,
    remedy: str,
    name: str = "",
) -> None:
    """Puts the weights ``stored`` in the file ``place`` into ``trunk``, the network ``name``.

    They may be in any of the layouts above, with the classifier or without. Raises UserError,
    ending with ``remedy``, for others, and for a first convolution of other than three bands.
    """
    expected = trunk.net.state_dict()
    state = _in_library_names(named_tensors(stored, place, remedy), trunk, expected, place, name)
    first = _first_convolution(expected)
    if first in state and state[first].dim() == 4 and state[first].shape[1] != BANDS:
        raise UserError(
            place,
            f"its first convolution {first} reads {state[first].shape[1]} bands, and images here "
            f"have {BANDS}",
            "give weights for red, green and blue, or null for random weights",
        )
    counters = {
        # files from before PyTorch 0.4.1 lack these; a pretrained backbone never reads them
        name: torch.zeros((), dtype=torch.int64)
        for name in expected
        if name.endswith(".num_batches_tracked")
    }
    heads = tuple(f"{head}." for head in trunk.heads)
    own = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
    put_weights(trunk.net, counters | own, place, remedy)


def _first_convolution(state: State) -> str:
    return next(name for name, tensor in state.items() if tensor.dim() == 4)


def _in_library_names(
    state: State, trunk: Trunk, expected: State, place: str | Path, name: str
) -> State:
    first = _first_convolution(expected)
    for prefix in PREFIXES:
        if prefix + first in state:
            return _under(prefix, state, place)
    if "encoder_q.0.weight" in state:
        children = [child for child, _ in trunk.net.named_children()]
        return {
            ".".join((children[int(number)], rest)): tensor
            for number, rest, tensor in _numbered(_under("encoder_q.", state, place))
            if int(number) < len(children)
        }
    if "_conv_stem.weight" in state:
        return _of_efficientnet_pytorch(state, expected, place, name)
    return state


def _under(prefix: str, state: State, place: str | Path) -> State:
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    if len(own) < len(state):
        logger.info("%s: read %d of %d tensors, those of %s", place, len(own), len(state), prefix)
    return own


def _numbered(state: State) -> list[tuple[str, str, Tensor]]:
    parts = [(*name.partition("."), tensor) for name, tensor in state.items()]
    return [(number, rest, tensor) for number, _, rest, tensor in parts if number.isdigit()]


def _of_efficientnet_pytorch(state: State, expected: State, place: str | Path, name: str) -> State:
    """Its tensors are timm's one by one: only the names differ."""
    if "tf_" not in name:
        raise UserError(
            place,
            "is of EfficientNet-PyTorch, which pads and normalises as TensorFlow does",
            "name timm's network that does so too, such as timm:tf_efficientnet_lite0",
        )
    own = [tensor for old, tensor in state.items() if not old.startswith("_fc.")]
    if len(own) != len(expected):
        raise UserError(
            place,
            f"holds {len(own)} tensors but for the classifier's, and {name} has {len(expected)}",
            "name the network that it belongs to by model.backbone.name",
        )
    return dict(zip(expected, own, strict=True))
