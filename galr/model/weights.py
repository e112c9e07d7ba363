"""Files of weights: read without running anything, and compared with a module before use."""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from galr.common.errors import UserError

State = dict[str, Tensor]

# what checkpoints of others hold beside tensors; none of these runs anything when it is read
_PLAIN_TYPES: list[Any] = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *(kind for kind in vars(np.dtypes).values() if isinstance(kind, type)),
    *(
        (getattr(multiarray, name), f"{module}.{name}")
        for name in ("scalar", "_reconstruct")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    ),
]


def plain(value: Any) -> Any:  # noqa: ANN401 - whatever was saved
    """``value`` with numbers of numpy as Python's and namespaces as dicts, in place."""
    return _plain(value, set())


def _plain(value: Any, seen: set[int]) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, argparse.Namespace):
        value = vars(value)
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (tuple, list, dict, OrderedDict) and id(value) not in seen:
        seen.add(id(value))  # a container may hold itself
        if isinstance(value, tuple):
            return tuple(_plain(each, seen) for each in value)
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            value[key] = _plain(each, seen)
    return value


def read_bytes(path: str | Path, remedy: str) -> bytes:
    """The bytes of a file; raises UserError, ending with ``remedy``, where there is none."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(Path(path), error, remedy) from None


def read_torch_file(path: str | Path, remedy: str, content: bytes | None = None) -> Any:  # noqa: ANN401 - whatever was saved
    """What ``torch.save`` wrote: tensors and plain containers, on the CPU.

    Numbers of numpy become Python's, and an ``argparse.Namespace`` a dict.
    ``content`` is that of the file at ``path`` where it was read already. Raises UserError, ending
    with ``remedy``, for a file that is missing, damaged or something else, and for one that asks
    for code to be run, which is never done.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch remarks about odd files ends in an error
            source = path if content is None else io.BytesIO(content)
            with torch.serialization.safe_globals(_PLAIN_TYPES):
                stored = torch.load(source, map_location="cpu", weights_only=True)
        return plain(stored)
    except Exception as error:  # noqa: BLE001 - on damaged bytes torch raises nearly anything
        refused = re.search(r"GLOBAL:? ([\w.]+)", str(error))
        if isinstance(error, OSError):
            raise _unreadable(path, error, remedy) from None
        if refused:
            what = f"holds {refused[1]}, which may run code; only tensors and plain values are read"
        else:
            what = "cannot be read (cut short, damaged, or no file of torch.save)"
        raise UserError(path, what, remedy) from None


def _unreadable(path: Path, error: OSError, remedy: str) -> UserError:
    what = f"cannot be read ({error.strerror or error})"
    if path.is_dir():
        what = "is a folder"
    elif not path.exists():
        what = "there is no such file"
    return UserError(path, what, remedy)


def read_weights(path: str | Path, remedy: str) -> Any:  # noqa: ANN401 - whatever was saved
    """The weights in a file of safetensors or of ``torch.save``, there as a checkpoint's entry too.

    Raises UserError, ending with ``remedy``, as ``read_torch_file`` does.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return load_safetensors(path, remedy)
    stored = read_torch_file(path, remedy)
    for entry in ("state_dict", "model"):
        if isinstance(stored, dict) and isinstance(stored.get(entry), dict):
            return stored[entry]
    return stored


def load_safetensors(path: Path, remedy: str) -> State:
    """The tensors of a safetensors file; raises UserError, ending with ``remedy``."""
    try:
        state: State = load_file(path)
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError):
            raise _unreadable(path, error, remedy) from None
        what = f"cannot be read ({error})"
        raise UserError(path, what, remedy) from None
    return state


def named_tensors(value: object, place: str | Path, remedy: str) -> State:
    """``value`` if it is a dict of tensors by name, less the prefix of a data-parallel model."""
    if (
        not isinstance(value, Mapping)
        or not value
        or not all(isinstance(name, str) for name in value)
        or not all(
            isinstance(tensor, Tensor)
            and tensor.device.type == "cpu"
            and tensor.layout == torch.strided
            for tensor in value.values()
        )
    ):
        raise UserError(place, "holds no weights, which are tensors by name", remedy)
    return {name.removeprefix("module."): tensor for name, tensor in value.items()}


def put_weights(module: nn.Module, state: State, place: str | Path, remedy: str) -> None:
    """Puts ``state`` into ``module``, which may be on the meta device.

    Raises UserError for the first tensor that is missing, of another shape, unknown or not finite.
    """
    expected = module.state_dict()
    for name, tensor in expected.items():
        wanted = tuple(tensor.shape)
        if name not in state:
            raise UserError(place, f"has no tensor {name} {wanted}", remedy)
        if state[name].shape != tensor.shape:
            shape = tuple(state[name].shape)
            raise UserError(place, f"{name} has shape {shape}, not {wanted}", remedy)
        if not torch.isfinite(state[name]).all():
            raise UserError(place, f"{name} holds NaN or infinity", "take another checkpoint")
    for name in state:
        if name not in expected:
            raise UserError(place, f"holds a tensor {name} that the model does not have", remedy)
    typed = {name: state[name].to(tensor.dtype) for name, tensor in expected.items()}
    module.load_state_dict(typed, assign=True)


def weights_digest(module: nn.Module) -> str:
    """A hash of the weights of ``module`` and their precision, 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not name.endswith(".num_batches_tracked"):  # no output depends on it
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
