"""Two processes that talk by gloo, against one."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from benchmarks import device_checks
from galr.commands import test, train
from tests.processes import Command
from tests.tiny import ROOT, make_data

EXACT = ["--set", "distributed.exact=true", "--set", "k_fold.nums=1", "--set", "device=cpu"]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("ranks"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def run(options, name, *arguments, ranks=1, main=train.main):
    """Runs a command as one process or as several ranks; how each of them ended."""
    port = free_port()
    running = []
    for rank in range(ranks):
        environment = {} if ranks == 1 else {
            "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
        }  # fmt: skip
        folder = options.parent / f"{name}_{ranks}_{rank}"
        folder.mkdir(exist_ok=True)
        running.append(
            Command(
                main, "--path_opt", options, *EXACT, "--set", f"k_fold.experiment_name={name}",
                *arguments, folder=folder, environment=environment,
            )
        )  # fmt: skip
    return [process.wait() for process in running]


def has_ended_well(ranks):
    assert [each.returncode for each in ranks] == [0] * len(ranks), ranks


def last(options, name):
    path = options.parent / "checkpoint" / name / "0" / "last.pth"
    return torch.load(path, weights_only=True)


FROZEN = ["model.backbone.train=none", "model.backbone.batch_norm=frozen"]


@pytest.mark.parametrize(
    "settings",
    [
        ["dataset.batch_size=7"],
        ["optim.loss=infonce", "model.backbone.unfreeze_at=0.5", "optim.epochs=2"],
        ["optim.micro_batch=3", "model.backbone.batch_norm=frozen"],
        ["model.backbone.cache_features=true", *FROZEN],
    ],
    ids=["uneven", "unfrozen", "parts", "maps"],
)
def test_two_ranks_train_what_one_trains(options, settings):
    name = settings[0].replace("=", "_").replace(".", "_")
    arguments = [word for key in ("optim.epochs=1", *settings) for word in ("--set", key)]
    for ranks in (1, 2):
        has_ended_well(run(options, f"{name}_{ranks}", *arguments, ranks=ranks))
    one, two = (last(options, f"{name}_{ranks}") for ranks in (1, 2))
    for key, value in one["model"].items():
        torch.testing.assert_close(two["model"][key], value, rtol=1e-6, atol=1e-8, msg=key)
    for before, after in zip(one["progress"]["history"], two["progress"]["history"], strict=True):
        assert after["loss"] == pytest.approx(before["loss"], rel=1e-9)
        assert after["mR"] == before["mR"]


def test_a_run_goes_on_with_another_number_of_ranks(options):
    has_ended_well(run(options, "whole", "--set", "optim.epochs=2"))
    has_ended_well(run(options, "changed", "--set", "optim.epochs=1", ranks=2))
    has_ended_well(run(options, "changed", "--set", "optim.epochs=2", "--resume"))
    whole, changed = last(options, "whole"), last(options, "changed")
    for key, value in whole["model"].items():
        torch.testing.assert_close(changed["model"][key], value, rtol=1e-6, atol=1e-8, msg=key)


def test_torchrun_starts_the_ranks_and_their_failure_ends_all_with_a_message(options):
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command = [sys.executable, *launcher, ROOT / "train.py", "--path_opt", options, *EXACT,
               "--set", "k_fold.experiment_name=failing"]  # fmt: skip
    command += ["--set", "dataset.vocab_path=nowhere.json"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=ROOT, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "nowhere.json: there is no such vocabulary" in done.stderr
    assert not (options.parent / "checkpoint" / "failing").exists()


def test_evaluation_on_two_ranks_gives_the_metrics_of_one(options):
    has_ended_well(run(options, "tested", "--set", "optim.epochs=1"))
    results = []
    for ranks in (1, 2):
        out = options.parent / f"results_{ranks}.json"
        done = run(options, "tested", "--out", out, "--no-report", ranks=ranks, main=test.main)
        has_ended_well(done)
        results.append(json.loads(out.read_text())["mean"])
        assert "".join(each.stdout for each in done).count("results: ") == 1
    assert results[0] == results[1]


def test_the_check_of_one_rank_trains_as_ranks_do(monkeypatch, capsys):
    """The row of exec/check_gpu.sh, in this process."""
    spread = []

    class Recorded(DistributedDataParallel):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            spread.append(self)

    small = [
        "model.backbone.name=timm:test_resnet",
        "dataset.batch_size=4",
        "dataset.image_size=32",
    ]
    monkeypatch.setattr(device_checks, "RANDOM", [*device_checks.RANDOM, *small])
    monkeypatch.setattr("galr.common.distributed.DistributedDataParallel", Recorded)
    for name, value in {
        "CHECK_DEVICE": "cpu", "RANK": 0, "WORLD_SIZE": 1,
        "MASTER_ADDR": "localhost", "MASTER_PORT": free_port(),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    assert device_checks.check_one_rank() == 0
    assert "gloo, gradients" in capsys.readouterr().out
    assert len(spread) == 1
