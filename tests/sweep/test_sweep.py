import csv
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from galr.common import cli
from galr.common.errors import UserError
from galr.common.folder_lock import only_writer
from galr.sweep.__main__ import main
from galr.sweep.processes import ending_started, run_alone
from galr.sweep.runs import _last_line, plan_runs
from galr.sweep.table import COLUMNS, markdown, rows_of
from tests.tiny import make_data, run_module


@pytest.fixture
def files(tmp_path):
    """Two options files on tiny data: one as it is, one without MVSA."""
    base = make_data(tmp_path)
    plain, ablated = tmp_path / "plain.yaml", tmp_path / "ablated.yaml"
    plain.write_text(f"base: {base.name}\noptim: {{epochs: 1}}\n")
    ablated.write_text(
        f"base: {plain.name}\nmodel: {{multiscale: {{enabled: false}}}}\n"
        "k_fold: {experiment_name: ablated}\n"
    )
    return plain, ablated


def test_a_sweep_joins_the_results_and_does_nothing_twice(tmp_path, files, quick_start):
    arguments = [*files, "--jobs", "2", "--out", tmp_path / "out"]
    done = run_module("galr.sweep", *arguments)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["options"], row["variant"]) for row in rows] == [
        (str(path), variant) for path in files for variant in ("without_rerank", "with_rerank")
    ]
    results = json.loads((tmp_path / "checkpoint" / "ablated" / "results.json").read_text())
    for name in COLUMNS:
        assert float(rows[2][name]) == pytest.approx(results["mean"]["without_rerank"][name])
        assert float(rows[2][f"{name}_std"]) == pytest.approx(
            results["std"]["without_rerank"][name]
        )
    again = run_module("galr.sweep", *arguments)
    assert again.returncode == 0
    assert again.stderr.count("already done") == 2
    assert "started" not in again.stderr
    assert again.stdout == done.stdout


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path, files, quick_start):
    plain, broken = files
    broken.write_text(
        f"base: {plain.name}\ndataset: {{vocab_path: nowhere.json}}\n"
        "k_fold: {experiment_name: broken}\n"
    )
    done = run_module("galr.sweep", *files, "--out", tmp_path / "out", "--set", "k_fold.nums=1")
    assert done.returncode == 1
    assert "nowhere.json: there is no such vocabulary" in done.stderr
    assert "1 of 2 runs failed (broken)" in done.stderr.splitlines()[-1]
    assert "plain.yaml | test | 1 |" in (tmp_path / "out" / "sweep.md").read_text()


def test_seeds_have_folders_of_their_own_and_one_row(tmp_path, files):
    runs = plan_runs([str(files[0])], ["optim.lr=0.1"], [3, 4])[str(files[0])]
    assert [run.options.seed for run in runs] == [3, 4]
    assert [run.name for run in runs] == ["tiny_seed3", "tiny_seed4"]
    assert {run.options.optim.lr for run in runs} == {0.1}
    for run, value in zip(runs, (10.0, 20.0), strict=True):
        run.results.parent.mkdir(parents=True)
        fold = {"without_rerank": dict.fromkeys(COLUMNS, value), "with_rerank": None}
        run.results.write_text(json.dumps({"folds": [fold], "options": {}}))
        assert not run.is_done()  # these results are of other options
    ((path, variant, row),) = rows_of({str(files[0]): runs})
    assert (variant, row["folds"], row["mR"]) == ("without_rerank", 2, 15.0)
    assert row["mR_std"] == pytest.approx(50**0.5)
    assert f"| {path} | test | 2 | 15.00 ± 7.07 |" in markdown([(path, variant, row)])


def test_two_files_must_not_share_a_folder(files):
    files[1].write_text(f"base: {files[0].name}\n")
    with pytest.raises(UserError, match=r"ablated\.yaml: would write to .*tiny, as .*plain"):
        plan_runs(list(map(str, files)), [], [])


def test_what_varies_gives_a_row_for_every_combination_on_validation(tmp_path, files, quick_start):
    arguments = [files[0], "--vary", "optim.loss=triplet,infonce", "--vary", "optim.lr=0.01"]
    done = run_module(
        "galr.sweep", *arguments, "--validation", "--set", "k_fold.nums=1", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["options"], row["variant"]) for row in rows] == [
        (f"{files[0]} optim.loss={loss} optim.lr=0.01", "validation")
        for loss in ("triplet", "infonce")
    ]
    folder = tmp_path / "checkpoint" / "tiny_loss-infonce_lr-0.01"
    with (folder / "0" / "log.csv").open() as file:
        (epoch,) = csv.DictReader(file)
    assert float(rows[1]["mR"]) == float(epoch["mR"])
    assert not (folder / "results.json").exists()  # the test part was left alone


@pytest.mark.parametrize("vary", ["optim.lr", "optim.lr=", "optim.lr=1,"])
def test_varying_nothing_is_an_error(files, vary):
    with pytest.raises(UserError, match=r"--vary optim\.lr.* is not KEY=VALUE,VALUE"):
        plan_runs([str(files[0])], [], [], [vary])


def test_what_an_earlier_run_left_does_not_stand_for_one_that_failed(tmp_path, files, request):
    arguments = [files[0], "--validation", "--out", tmp_path / "out", "--set", "k_fold.nums=1"]
    assert run_module("galr.sweep", *arguments).returncode == 0
    assert "plain.yaml | validation | 1 |" in (tmp_path / "out" / "sweep.md").read_text()
    request.getfixturevalue("quick_start")  # the first run has started Python as a sweep does
    again = run_module("galr.sweep", *arguments, "--set", "optim.lr=0.5")
    assert again.returncode == 1
    assert "was trained with optim.lr" in again.stderr
    assert "plain.yaml" not in (tmp_path / "out" / "sweep.md").read_text()


def test_a_run_without_a_validation_has_no_row(files):
    planned = plan_runs([str(files[0])], ["k_fold.nums=1"], [])
    (run,) = planned[str(files[0])]
    log = run.options.experiment_folder / "0" / "log.csv"
    log.parent.mkdir(parents=True)
    log.write_text("epoch,loss\n0,1.5\n")
    assert rows_of(planned, validation=True) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "is not what test.py writes"),
        ("{", "is not what test.py writes"),
        ('{"folds": [{"without_rerank": 3}]}', "has no number i2t_r1"),
        ('{"folds": [{"without_rerank": {"i2t_r1": "x"}}]}', "has no number i2t_r1"),
    ],
)
def test_damaged_results_and_logs_are_named(files, content, says):
    planned = plan_runs([str(files[0])], ["k_fold.nums=1"], [])
    (run,) = planned[str(files[0])]
    run.results.parent.mkdir(parents=True, exist_ok=True)
    run.results.write_text(content)
    assert not run.is_done()
    with pytest.raises(UserError, match=says):
        rows_of(planned)
    log = run.options.experiment_folder / "0" / "log.csv"
    log.parent.mkdir(exist_ok=True)
    log.write_text("epoch,mR\n0,x\n")
    with pytest.raises(UserError, match=r"log\.csv: is not a log"):
        rows_of(planned, validation=True)


def test_the_log_of_a_run_whose_folder_was_removed_need_not_be_there(tmp_path):
    assert _last_line(tmp_path / "sweep.log").startswith("its log cannot be read")


def test_a_value_may_be_a_list(files):
    planned = plan_runs([str(files[0])], [], [], ["dataset.train_sizes=[32],[32,32]", "seed=1,2"])
    assert [(runs[0].options.dataset.train_sizes, runs[0].options.seed) for runs in planned.values()
    ] == [((32,), 1), ((32,), 2), ((32, 32), 1), ((32, 32), 2)]  # fmt: skip


@pytest.mark.parametrize(
    ("seeds", "vary", "says"),
    [
        ([], ["optim.lr=0.1,0.2", "optim.lr=0.3"], r"--vary optim\.lr: is given twice"),
        ([7], ["seed=1,2"], "--vary seed: stands beside --seeds"),
        ([], ["optim.lr=0.1,,0.2"], "is not KEY=VALUE,VALUE"),
        ([1, 1], [], "name each file, value and seed once"),
    ],
)
def test_what_would_be_trained_twice_is_refused(files, seeds, vary, says):
    with pytest.raises(UserError, match=says):
        plan_runs([str(files[0])], [], seeds, vary)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, files):
    (tmp_path / "file").write_text("")
    done = run_module(
        "galr.sweep", files[0], "--out", tmp_path / "out",
        "--set", f"logs.ckpt_save_path={tmp_path / 'file'}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "sweep.log: cannot be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_a_sweep_started_ends_with_it(tmp_path):
    with (tmp_path / "log").open("w") as log, ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt), ending_started():  # noqa: PT012 - while it runs
            command = [sys.executable, "-c", "print(1, flush=True); import time; time.sleep(60)"]
            running = pool.submit(run_alone, command, log, dict(os.environ))
            while not (tmp_path / "log").read_text():
                assert not running.done()
                time.sleep(0.01)
            raise KeyboardInterrupt
        assert running.result(10) == -signal.SIGTERM
        assert run_alone(command, log, {}) == -signal.SIGTERM  # nothing new is started
    with ending_started():
        pass


def test_a_second_sweep_of_the_same_table_is_refused(tmp_path, capsys):
    options = make_data(tmp_path / "data")
    with only_writer(tmp_path / "out"):
        argv = [str(options), "--out", str(tmp_path / "out")]
        assert cli.run(main, argv) == 1
    assert "another run is writing to it" in capsys.readouterr().err
