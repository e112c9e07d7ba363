"""train.py, test.py and test_single.py as people run them."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from galr.commands import train
from galr.common import cli
from galr.common.folder_lock import only_writer
from galr.options import load_options
from galr.training.step import TrainingStep
from tests.faults.contents import curves
from tests.processes import Command
from tests.tiny import ROOT, make_data, run_script


def last_weights(options, fold):
    path = options.parent / "checkpoint" / "tiny" / str(fold) / "last.pth"
    return torch.load(path, weights_only=True)


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The options of an experiment that was trained without a stop."""
    options = make_data(tmp_path_factory.mktemp("trained"))
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--path_opt", options,
         "--out", options.parent / "summary.json"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return options


def test_training_leaves_what_people_look_for(trained):
    for fold in (0, 1):
        folder = trained.parent / "checkpoint" / "tiny" / str(fold)
        names = {path.name for path in folder.iterdir()}
        assert names >= {"best.pth", "last.pth", "options.yaml", "log.csv"}
        assert any(name.startswith("events.out.tfevents") for name in names)
        assert not any(name.endswith(".tmp") for name in names)
        rows = (folder / "log.csv").read_text().splitlines()
        assert rows[0].startswith("epoch,loss,images_per_second,lr,cpu_seconds,i2t_r1")
        assert len(rows) == 1 + 3
        load_options(folder / "options.yaml")
    summary = json.loads((trained.parent / "summary.json").read_text())
    assert [fold["fold"] for fold in summary["folds"]] == [0, 1]


def test_folds_differ_in_images_and_in_weights(trained):
    first, second = last_weights(trained, 0), last_weights(trained, 1)
    assert first["fold"]["validation"] != second["fold"]["validation"]
    assert not set(first["fold"]["train"]) & set(first["fold"]["validation"])
    name = "text_encoder.projection.weight"
    assert not torch.equal(first["model"][name], second["model"][name])


def test_evaluation_prints_the_table_and_writes_results(trained):
    done = run_script("test.py", "--path_opt", trained, "--save-similarity", trained.parent / "s")
    assert done.returncode == 0, done.stderr
    assert "mean of 2, with rerank" in done.stdout
    page = trained.parent / "checkpoint" / "tiny" / "report.html"
    assert done.stdout.splitlines()[-1] == f"report: {page}"
    assert page.read_text().startswith("<!doctype html>")
    results = json.loads((trained.parent / "checkpoint" / "tiny" / "results.json").read_text())
    assert results["dataset"] == "tiny"
    assert len(results["folds"]) == 2
    split = results["folds"][0]["split"]
    assert split["test_images"] == 6
    # the tiny captions repeat: all of the test's are in training
    assert split["test_captions_in_train"] == 1.0
    assert 0 < split["validation_captions_in_test"] <= 1
    assert results["runs"] == 2
    assert set(results["mean"]["without_rerank"]) >= {"i2t_r1", "t2i_meanr", "mR"}
    saved = {path.name for path in (trained.parent / "s").iterdir()}
    assert "1_validation_similarity.npy" in saved
    assert "0_test_caption_to_image.npy" in saved


def test_a_single_checkpoint_gives_its_row_of_the_folds(trained):
    out = trained.parent / "single.json"
    checkpoint = trained.parent / "checkpoint" / "tiny" / "1" / "best.pth"
    done = run_script("test_single.py", "--path_opt", trained, "--resume", checkpoint, "--out", out)
    assert done.returncode == 0, done.stderr
    single = json.loads(out.read_text())["folds"]
    out = trained.parent / "both.json"
    both = run_script("test.py", "--path_opt", trained, "--out", out, "--no-report")
    assert both.returncode == 0, both.stderr
    assert not list(trained.parent.glob("both_report*"))
    folds = json.loads((trained.parent / "both.json").read_text())["folds"]
    for fold in (*single, *folds):
        assert fold["cost"].keys() == {"parameters", "image_ms", "caption_ms", "search_ms"}
        fold["cost"] = fold["cost"]["parameters"]  # times differ from run to run
    assert single == folds[1:]


def test_an_earlier_run_is_not_written_over_unasked(trained):
    before = last_weights(trained, 0)
    done = run_script("train.py", "--path_opt", trained)
    assert done.returncode == 2
    assert "--resume" in done.stderr
    again = run_script("train.py", "--path_opt", trained, "--resume")
    assert again.returncode == 0, again.stderr
    assert_same_weights(last_weights(trained, 0)["model"], before["model"])


def test_a_log_that_a_killed_run_did_not_write_is_there_after_a_resume(trained, capsys):
    folder = trained.parent / "checkpoint" / "tiny" / "1"
    log, shown = (folder / "log.csv").read_text(), curves(folder)
    (folder / "log.csv").unlink()
    (folder / "last.pth.1.tmp").touch()
    for path in folder.glob("events*"):
        path.unlink()
    with only_writer(folder.parent):
        assert cli.run(train.main, ["--path_opt", str(trained), "--resume"]) == 1
    assert "another run is writing to it" in capsys.readouterr().err
    assert cli.run(train.main, ["--path_opt", str(trained), "--resume"]) == 0
    assert (folder / "log.csv").read_text() == log
    assert curves(folder) == shown
    assert [step for step, _ in shown["train/loss"]] == [0, 1, 2]
    assert not list(folder.glob("*.tmp"))


def test_resuming_with_other_options_is_refused(trained):
    done = run_script("train.py", "--path_opt", trained, "--resume", "--set", "optim.margin=0.3")
    assert done.returncode == 2
    assert "optim.margin" in done.stderr
    assert done.stderr.strip().count("error:") == 1


def killed_in_step(sign, steps):
    """Has training kill its process group in the step after ``steps``, once ``sign`` is there."""
    step, left = TrainingStep.step, [steps]

    def counted_step(*arguments):
        if sign.exists():
            if left[0] == 0:
                os.killpg(0, signal.SIGKILL)
            left[0] -= 1
        return step(*arguments)

    TrainingStep.step = counted_step


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.is_running()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_moment_and_resumed_is_as_never_stopped(trained, tmp_path, workers):
    options = make_data(tmp_path)
    arguments = ("--path_opt", options, "--resume", "--set", f"dataset.workers={workers}")
    folder = options.parent / "checkpoint" / "tiny"

    # anywhere in the first fold: within a step, a validation, or the writing of a checkpoint
    process = Command(train.main, *arguments, folder=tmp_path)
    wait_for(folder / "0" / "last.pth", process)
    time.sleep(random.Random(workers).uniform(0, 0.2))
    assert process.is_running()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    # an epoch has three steps: this is within the second epoch of the second fold
    process = Command(
        train.main, *arguments, folder=tmp_path, setup=killed_in_step,
        values=(folder / "1" / "last.pth", 4),
    )  # fmt: skip
    assert process.wait().returncode == -signal.SIGKILL
    assert last_weights(options, 0)["epoch"] == 2
    assert last_weights(options, 1)["epoch"] == 0

    done = run_script("train.py", *arguments)
    assert done.returncode == 0, done.stderr
    for fold in (0, 1):
        resumed, whole = last_weights(options, fold), last_weights(trained, fold)
        assert_same_weights(resumed["model"], whole["model"])
        assert resumed["progress"]["best_mR"] == whole["progress"]["best_mR"]
        assert len(resumed["progress"]["history"]) == 3


def hear_interrupts():
    """As a process of a shell does; one of a test that runs in the background would not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    options = make_data(tmp_path)
    process = Command(
        train.main, "--path_opt", options, "--set", "optim.epochs=100000", folder=tmp_path,
        setup=hear_interrupts,
    )  # fmt: skip
    wait_for(options.parent / "checkpoint" / "tiny" / "0" / "best.pth", process)
    os.kill(process.pid, signal.SIGINT)
    done = process.wait()
    assert done.returncode == 130
    assert "train.py --resume continues" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
