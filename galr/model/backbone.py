"""The start of the ResNet: ImageNet's weights, a file's, or random ones."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from galr.errors import UserError
from galr.model.safetensors import read_safetensors
from galr.model.weights import named_tensors, put_weights, read_torch_file

logger = logging.getLogger(__name__)

IMAGENET_URL = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
"""torchvision's ResNet18_Weights.IMAGENET1K_V1; the name ends with the start of its SHA-256."""


def start_backbone(trunk: nn.Module, weights: str | None) -> None:
    """Gives ``trunk`` the ``weights``: `imagenet`, the path of a file, or None to leave it random.

    Raises UserError where they cannot be had; it never falls back to a random start.
    """
    if weights is None:
        logger.info("backbone: random start (model.backbone.weights is null)")
        return
    if weights == "imagenet":
        path = _imagenet_file()
        remedy = "delete it, and it is downloaded anew"
    else:
        path = Path(weights)
        remedy = (
            "name torchvision's state dict of ResNet-18 by model.backbone.weights, "
            "or set it to imagenet to download that, or to null for a random start"
        )
    state = named_tensors(_stored_weights(path, remedy), path, remedy)
    counters = {
        # files from before PyTorch 0.4.1 lack these; a pretrained trunk never reads them
        name: torch.zeros((), dtype=torch.int64)
        for name in trunk.state_dict()
        if name.endswith(".num_batches_tracked")
    }
    # the classifier of ImageNet's thousand classes is not part of the trunk
    state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    put_weights(trunk, counters | state, path, remedy)
    logger.info("backbone: weights of %s", path)


def _stored_weights(path: Path, remedy: str) -> object:
    """The content of a file, or the part of a checkpoint that holds its weights."""
    if path.suffix == ".safetensors":
        return read_safetensors(path, remedy)
    stored = read_torch_file(path, remedy)
    for entry in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(entry), dict):
            return stored[entry]
    return stored


def _imagenet_file() -> Path:
    """torchvision's file in torch's cache, downloaded where it is not there yet."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / IMAGENET_URL.rpartition("/")[2]
    if path.is_file():
        return path
    logger.info("backbone: downloading %s to %s", IMAGENET_URL, path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]
        with _timeout(seconds=30):
            torch.hub.download_url_to_file(IMAGENET_URL, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:  # no network, no space; a wrong digest
        raise UserError(
            "model.backbone.weights: imagenet",
            f"{IMAGENET_URL} could not be downloaded ({error})",
            "connect once to let it be downloaded, name a local file by "
            "model.backbone.weights=FILE, or start at random by model.backbone.weights=null",
        ) from None
    return path


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """torch.hub names no timeout of its own, and a network that swallows packets would hang it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
