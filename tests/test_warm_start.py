import itertools
import logging
import resource

import pytest
import torch

from galr.common.errors import RunError
from galr.model.backbone import build_backbone, empty_backbone
from galr.options import BackboneOptions, load_options
from galr.training import schedule
from galr.warm_start import pretrain as warm_start
from tests.tiny import make_data, run_module


def test_two_views_of_an_image_are_told_from_those_of_others(tmp_path, caplog):
    overrides = ["optim.lr=0.001", "logs.print_freq=1", "dataset.batch_size=20"]
    options = load_options(make_data(tmp_path), overrides)
    with caplog.at_level(logging.INFO, logger=warm_start.__name__):
        weights = warm_start.pretrain(options, seconds=2)
    losses = [record.args[2] for record in caplog.records if record.name == warm_start.__name__]
    assert len(losses) > 10
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    torch.manual_seed(options.seed)
    start = empty_backbone(options.model.backbone, 32).net.state_dict()
    assert weights.keys() == start.keys()
    name = "layer4.0.conv2.weight"
    assert not torch.equal(weights[name], start[name])


def test_the_file_is_a_start_for_training(tmp_path):
    base, out = make_data(tmp_path), tmp_path / "backbone.pth"
    done = run_module("galr.warm_start", "--path_opt", base, "--seconds", "1", "--out", out)
    assert done.returncode == 0, done.stderr
    options = BackboneOptions(name="timm:test_resnet", weights=str(out))
    trunk = build_backbone(options, 32).net
    stored = torch.load(out, weights_only=True)
    assert torch.equal(trunk.state_dict()["layer1.0.conv1.weight"], stored["layer1.0.conv1.weight"])


def test_a_full_disk_is_said_in_a_line(tmp_path, monkeypatch):
    base, out = make_data(tmp_path), tmp_path / "backbone.pth"
    weights = {"a": torch.zeros(100_000), "b": torch.zeros(10)}
    monkeypatch.setattr(warm_start, "pretrain", lambda options, seconds: weights)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        done = run_module("galr.warm_start", "--path_opt", base, "--seconds", "1", "--out", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.returncode == 1
    assert f"{out}: cannot be written (File too large)" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seconds", "60", "--out", "{folder}"], "is a folder; name a file"),
        (
            ["--seconds", "2", "--set", "optim.lr=1e30"],
            "the loss is NaN or infinite; lower optim.lr",
        ),
        (["--seconds", "none"], "'none' is not a whole number"),
        (["--seconds", "5", "--set", "optim.amp=fp16"], "optim.amp: fp16 is for CUDA"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, arguments, says):
    base, out = make_data(tmp_path), tmp_path / "backbone.pth"
    arguments = [text.format(folder=tmp_path) for text in arguments]
    done = run_module(
        "galr.warm_start", "--path_opt", base, "--out", out, "--set", "device=cpu",
        "--set", "logs.print_freq=1000000", *arguments,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_seconds_that_reading_takes_are_an_error(tmp_path, monkeypatch):
    options = load_options(make_data(tmp_path))
    seconds = itertools.count(1)
    monkeypatch.setattr(schedule, "cpu_seconds", lambda: float(next(seconds)))
    with pytest.raises(RunError, match=r"0\.5 s are used up before the first step"):
        warm_start.pretrain(options, seconds=0.5)
