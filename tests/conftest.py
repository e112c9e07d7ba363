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


@pytest.fixture
def two_nodes(monkeypatch):
    """Two raylets with a core each, and a function that kills the second."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # a busy machine would starve them
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield lambda: cluster.remove_node(second, allow_graceful=False)
    ray.shutdown()
    cluster.shutdown()
