"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch

# two tests side by side on two cores; more threads only get in each other's way
torch.set_num_threads(1)


def _folder_from(variable: str) -> Path:
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} names no folder")
    return Path(folder)


@pytest.fixture
def data_root() -> Path:
    """The folder that holds rsitmd_precomp and its kin, where GALR_DATA_ROOT names it."""
    return _folder_from("GALR_DATA_ROOT")


@pytest.fixture
def parity_root() -> Path:
    """The folder of reference outputs, where GALR_PARITY_ROOT names it."""
    return _folder_from("GALR_PARITY_ROOT")
