"""A Ray cluster of two nodes on this machine, one of which is killed while both train."""

import sys
import time

import pytest
import torch

from galr.common import cli
from galr.options import load_options
from galr.sweep.__main__ import main as sweep
from galr.training.trainer import Trainer
from tests.tiny import make_data

pytestmark = pytest.mark.cluster


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


def in_background(main, arguments):
    """A command in a process of its own, so that this one is free to kill a node."""
    import subprocess

    command = [sys.executable, "-m", main, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(paths, process):
    until = time.monotonic() + 240
    while not all(path.exists() for path in paths):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def weights(folder):
    return torch.load(folder / "best.pth", weights_only=True)["model"]


def assert_same(one, other):
    first, second = weights(one), weights(other)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.filterwarnings("ignore")
def test_folds_on_two_nodes_are_those_of_one_process_though_a_node_is_lost(tmp_path, two_nodes):
    path = make_data(tmp_path)
    own = ["optim.epochs=8", "k_fold.nums=2"]
    arguments = ["--path_opt", path, *(part for each in own for part in ("--set", each))]
    folder = load_options(path, own).experiment_folder
    process = in_background("galr.commands.train", [*arguments, "--folds-on", "ray"])
    wait_for([folder / "0" / "log.csv", folder / "1" / "log.csv"], process)
    two_nodes()
    _, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    logs = [(folder / f"{fold}.log").read_text() for fold in (0, 1)]
    assert sum("resuming after epoch" in log for log in logs) >= 1, logs
    alone = load_options(path, [*own, "k_fold.experiment_name=alone"])
    Trainer(alone).fit()
    for fold in "01":
        assert_same(folder / fold, alone.experiment_folder / fold)


@pytest.mark.filterwarnings("ignore")
def test_a_sweep_on_two_nodes_is_that_of_one_machine_though_a_node_is_lost(
    tmp_path, two_nodes, capsys
):
    path = make_data(tmp_path)
    arguments = [path, "--set", "optim.epochs=8", "--set", "k_fold.nums=1", "--out", tmp_path / "o"]
    seeds = ["--seeds", 0, 1]
    process = in_background("galr.sweep", [*arguments, *seeds, "--engine", "ray"])
    name = load_options(path).k_fold.experiment_name
    root = load_options(path).experiment_folder.parent
    begun = [root / f"{name}_seed{seed}" for seed in (0, 1)]
    wait_for([folder / "0" / "log.csv" for folder in begun], process)
    two_nodes()
    told, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    kept = [folder.rename(folder.with_suffix(".ray")) for folder in begun]
    assert cli.run(sweep, [*map(str, [*arguments, *seeds])]) == 0
    assert capsys.readouterr().out == told
    for one, other in zip(kept, begun, strict=True):
        assert_same(one / "0", other / "0")
        assert (one / "results.json").read_text().partition('"versions"')[0].split('"cost"')[0] == (
            other / "results.json"
        ).read_text().partition('"versions"')[0].split('"cost"')[0]
