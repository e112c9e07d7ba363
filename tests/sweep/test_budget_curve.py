"""benchmarks/budget.py: recall over seconds of two options files."""

import json

import pytest
import yaml

from galr.commands import train
from galr.options import load_options
from tests.processes import Command
from tests.tiny import ROOT, make_data, run_script


@pytest.fixture
def files(tmp_path):
    base = make_data(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text(
        f"base: {base.name}\noptim: {{loss: infonce}}\n"
        "k_fold: {experiment_name: other, nums: 1}\n"
    )
    return base, other


def test_a_line_a_budget_and_a_picture(tmp_path, files, quick_start):
    arguments = ["--seconds", "2", "--set", "k_fold.nums=1", "--set", "device=cpu"]
    picture, out = tmp_path / "curve.svg", tmp_path / "curve.json"
    done = run_script(
        "benchmarks/budget.py", *files, *arguments, "--picture", picture, "--out", out
    )
    assert done.returncode == 0, done.stderr
    header, line = done.stdout.splitlines()
    assert header.split() == ["processor", "seconds", *map(str, files)]
    points = json.loads(out.read_text())["points"]
    assert line.split()[0] == "2"
    for point in points:
        assert point["folds"] == 1
        assert f"{point['mR']:.2f}" in line
    assert "<svg" in picture.read_text()


def test_files_of_other_folds_are_not_compared(files):
    done = run_script("benchmarks/budget.py", *files, "--seconds", "12")
    assert done.returncode == 2
    assert "k_fold.nums: is 2 in one file and 1 in the other" in done.stderr.splitlines()[-1]


def test_the_recipe_trains(tmp_path):
    """The shipped file on data of another kind: half a minute of it is a few seconds."""
    tiny = yaml.safe_load(make_data(tmp_path).read_text())["dataset"]
    recipe = ROOT / "options/recipes/rsicd_cpu_30min.yaml"
    overrides = [
        f"dataset.data_path={tiny['data_path']}", f"dataset.vocab_path={tiny['vocab_path']}",
        f"logs.ckpt_save_path={tmp_path}", "optim.budget_seconds=4", "device=cpu",
        "k_fold.validation_share=0.2",
    ]  # fmt: skip
    sets = [part for override in overrides for part in ("--set", override)]
    done = Command(train.main, "--path_opt", recipe, *sets, folder=tmp_path).wait()
    assert done.returncode == 0, done.stderr
    assert "precision: " in done.stderr
    stored = load_options(tmp_path / "rsicd_cpu_30min" / "0" / "options.yaml")
    assert stored == load_options(recipe, overrides).model_copy(update={"base": None})
    done = run_script("test.py", "--path_opt", recipe, *sets, "--no-report")
    assert done.returncode == 0, done.stderr
    (fold,) = json.loads((tmp_path / "rsicd_cpu_30min" / "results.json").read_text())["folds"]
    assert fold["without_rerank"]["mR"] > 0
