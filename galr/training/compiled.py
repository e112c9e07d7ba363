"""The trunk through torch.compile, in the training step alone."""

from __future__ import annotations

import warnings

import torch

from galr.common.errors import UserError
from galr.model.mvsa import ImageEncoder


def compile_trunk(encoder: ImageEncoder) -> None:
    """Lets ``encoder`` use a compiled trunk while it is in training mode.

    The compiler starts with the first step. Names of weights stay, and evaluation is as it was.
    Raises UserError where nothing can be compiled, for want of a C++ compiler above all.
    """
    torch.compiler.reset()  # a fold before this one would count towards the limit of versions
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, of its older parts
            torch.compile(torch.neg)(next(encoder.parameters()).detach())
    except Exception as error:  # noqa: BLE001 - whatever a tool chain raises that is not there
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            "optim.compile",
            f"torch.compile does not work here ({text})",
            "install a C++ compiler such as g++ (CXX names one), or set it to false",
        ) from None
    encoder.compiled_trunk = torch.compile(encoder.trunk.forward)
