"""What runs leave behind and read again, with the reader of each: see tests/fuzz_readers.py."""

import shutil
import time
from pathlib import Path

import numpy as np
from torch import nn

from galr.common.atomic import write_json
from galr.common.events import Events
from galr.data.annotations import Annotations
from galr.demo.folder import DemoOptions, make_demo
from galr.evaluation.results import RECALLS
from galr.images import content as image_content
from galr.images.content import digest_of_file, image_contents
from galr.leakage.hash_cache import image_hashes
from galr.localise.encode import _done
from galr.localise.evaluate import read_annotations
from galr.monitoring.epoch_log import read_log, write_log
from galr.options import DatasetOptions, load_options
from galr.report.experiment import read_experiment
from galr.sweep.runs import plan_runs
from galr.sweep.table import rows_of
from galr.training.checkpoint import Checkpoint, TrainerState

NAMES = tuple(f"test_{number}.png" for number in range(4))
DEMO = DemoOptions(train=1, test=1)


def make_run_files(root):
    """Writes them below ``root``; what is read -> the file that is mutated, and its reader."""
    options = load_options(root / "tiny.yaml", ["k_fold.nums=1", "device=cpu"])
    folder = root / "checkpoint" / "tiny"
    (folder / "0").mkdir(parents=True)
    shutil.copy(root / "best.pth", folder / "0" / "best.pth")
    rows = [
        {"epoch": epoch, "loss": 0.5, "cpu_seconds": 2.5, **dict.fromkeys(RECALLS, 3.5 + epoch)}
        for epoch in range(3)
    ]
    write_log(folder / "0" / "log.csv", rows)
    tested = options.model_dump(mode="json")
    metrics = {"without_rerank": rows[0], "with_rerank": rows[1], "fold": 0}
    results = {"options": tested, "test_options": tested, "versions": {"galr": "1"}}
    write_json(folder / "results.json", {**results, "differences": [], "folds": [metrics]})
    with Events(folder / "0", rows):
        pass
    last = folder / "0" / "last.pth"
    checkpoint_of(options).save(last, {"model": nn.Linear(2, 2)}, TrainerState(1, history=rows))
    make_demo(root / "demo", DEMO)
    shapes = [{"jpg_name": "a.jpg", "caption": "a ship", "points": [[[0, 0], [9, 0], [9, 9]]]}]
    write_json(root / "localise.json", shapes)
    write_json(root / "progress.json", {"key": "k", "done": 7})
    while not (root / "image_digests.json").exists():  # of images older than two seconds alone
        read_digests(root)
        time.sleep(0.2)
    read_hashes(root)
    files = dict(FILES)
    files["events"] = (lambda root: next((folder / "0").glob("events*")), read_events)
    return files


def checkpoint_of(options):
    return Checkpoint(options, ["a"], fold=0, train=["x.png"], validation=["y.png"])


def read_digests(root):
    image_content._seen.clear()
    folder = root / "data/tiny_precomp/images"
    memo = root / "image_digests.json"
    found = image_contents(folder, NAMES, [memo], keep=not memo.exists())
    assert found.digests.tolist() == [digest_of_file(folder / name) for name in NAMES]


def read_hashes(root):
    options = DatasetOptions(data_path=str(root / "data/tiny_precomp"), image_cache=str(root / "h"))
    found = image_hashes(options, Annotations("test", NAMES, NAMES, np.arange(4)))
    assert found.shape == (4, 64)


def read_events(root):
    """A run that goes on in a folder that has them."""
    folder, scratch = root / "checkpoint/tiny/0", root / "scratch"
    scratch.mkdir(exist_ok=True)
    for path in [*folder.glob("events*"), *scratch.glob("events*")]:
        path.unlink() if path.parent == scratch else shutil.copy(path, scratch)
    with Events(scratch, read_log(folder / "log.csv")):
        pass
    assert len(list(scratch.glob("events*"))) == 1


def read_run_log(root):
    rows = read_log(root / "checkpoint/tiny/0/log.csv")
    assert all(isinstance(value, float) for row in rows for value in row.values())
    planned = planned_runs(root)
    rows_of(planned, validation=True)


def planned_runs(root):
    keep = f"logs.ckpt_save_path={root / 'checkpoint'}"
    return plan_runs([str(root / "tiny.yaml")], ["k_fold.nums=1", "device=cpu", keep], [])


def read_results(root):
    for runs in planned_runs(root).values():
        assert isinstance(runs[0].is_done(), bool)
    rows_of(planned_runs(root))
    read_experiment(root / "checkpoint/tiny")


def read_last(root):
    options = load_options(root / "tiny.yaml", ["k_fold.nums=1", "device=cpu"])
    path = root / "checkpoint/tiny/0/last.pth"
    found = checkpoint_of(options).load(path, {"model": nn.Linear(2, 2)})
    assert isinstance(found, TrainerState)
    assert isinstance(found.is_finished(options.optim), bool)
    write_log(root / "scratch.csv", found.history)


FILES = {
    "image digests": ("image_digests.json", read_digests),
    "hash cache": (lambda root: next((root / "h").rglob("*.h5")), read_hashes),
    "resumed checkpoint": ("checkpoint/tiny/0/last.pth", read_last),
    "epoch log": ("checkpoint/tiny/0/log.csv", read_run_log),
    "results": ("checkpoint/tiny/results.json", read_results),
    "demo stamp": ("demo/demo.json", lambda root: make_demo(root / "demo", DEMO)),
    "localise annotations": (
        "localise.json", lambda root: read_annotations(root / "localise.json"),
    ),
    "localise progress": (
        "progress.json", lambda root: _done(Path(root / "progress.json"), "k", 9),
    ),
}  # fmt: skip
