"""Selects the device of a run."""

from __future__ import annotations

import logging

import torch

from galr.common.errors import UserError

logger = logging.getLogger(__name__)


def choose_device(wanted: str) -> torch.device:
    """The device for ``device: auto | cpu | cuda | cuda:N``; logs one line.

    Raises UserError if the requested CUDA device does not exist.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted == "cpu":
            logger.info(
                "device: CPU (no CUDA device was found), %d threads", torch.get_num_threads()
            )
            return torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device: {wanted}", "is not known", "use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise UserError(
                f"device: {wanted}", f"{count} CUDA devices were found", "use auto, cpu or another"
            )
        logger.info("device: %s (%s)", device, torch.cuda.get_device_name(device))
    else:
        logger.info("device: CPU, %d threads", torch.get_num_threads())
    return device
