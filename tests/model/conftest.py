import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """Modules draw their weights from torch's global generator."""
    torch.manual_seed(0)
