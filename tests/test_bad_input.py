"""Bad input of every kind, given to the scripts: one line, status 2, nothing half-written."""

import importlib
import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch
import yaml

from galr.common import cli
from tests.tiny import make_data, run_script

TRAIN, TEST, SINGLE = "train", "test", "test_single"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A data set, and a trained fold, that nothing is wrong with."""
    root = tmp_path_factory.mktemp("good")
    options = make_data(root)
    done = run_script(
        "train.py", "--path_opt", options, "--set", "optim.epochs=1", "--set", "k_fold.nums=1"
    )
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def root(good, tmp_path):
    """A copy to spoil."""
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    text = (copy / "tiny.yaml").read_text().replace(str(good), str(copy))
    (copy / "tiny.yaml").write_text(text)
    return copy


def run(script, *arguments):
    return cli.run(importlib.import_module(script).main, [str(a) for a in arguments])


def edit(path, change):
    def spoil(root):
        file = root / path
        file.write_bytes(change(file.read_bytes()))

    return spoil


def write(path, content):
    return edit(path, lambda _: content) if isinstance(content, bytes) else edit(path, content)


def remove(path):
    def spoil(root):
        target = root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return spoil


def option(**sections):
    def spoil(root):
        tree = yaml.safe_load((root / "tiny.yaml").read_text())
        for section, values in sections.items():
            tree.setdefault(section, {}).update(values)
        (root / "tiny.yaml").write_text(yaml.safe_dump(tree))

    return spoil


def store(change):
    def spoil(root):
        with h5py.File(root / DATA / "local.h5", "r+") as file:
            change(file)

    return spoil


def replace(file, name, value):
    del file[name]
    file[name] = value


def checkpoint(change):
    def spoil(root):
        path = root / BEST
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)

    return spoil


class Malicious:
    def __init__(self, root):
        self.trace = root / "code_was_run"

    def __reduce__(self):
        return (exec, (f"open({str(self.trace)!r}, 'w').close()",))


def malicious(root):
    torch.save({"model": {}, "epoch": Malicious(root)}, root / BEST)


def malicious_pickle(root):
    (root / BEST).write_bytes(pickle.dumps(Malicious(root)))


DATA, BEST = "data/tiny_precomp", "checkpoint/tiny/0/best.pth"

CASES = {
    # options
    "no options file": (TRAIN, remove("tiny.yaml"), ["tiny.yaml", "no such"]),
    "broken yaml": (TRAIN, write("tiny.yaml", b"model: [1\n"), ["tiny.yaml"]),
    "yaml that is a list": (TRAIN, write("tiny.yaml", b"- 1\n"), ["tiny.yaml"]),
    "unknown key": (
        TRAIN, option(optim={"epoch": 1}), ["optim.epoch", "did you mean optim.epochs"],
    ),
    "wrong type": (TRAIN, option(optim={"epochs": "many"}), ["tiny.yaml", "optim.epochs", "many"]),
    "impossible value": (TRAIN, option(optim={"lr": -1}), ["tiny.yaml", "optim.lr"]),
    "sizes that do not fit": (TRAIN, option(dataset={"image_size": 64}), ["resize_size"]),
    # annotations
    "no data folder": (TRAIN, remove(DATA), ["tiny_precomp", "no such data folder"]),
    "no captions": (TRAIN, remove(f"{DATA}/train_caps.txt"), ["train_caps.txt"]),
    "a caption too many": (
        TRAIN, edit(f"{DATA}/train_caps.txt", lambda t: t + b"one more\n"),
        ["train_caps.txt", "41 captions for 20 lines"],
    ),
    "an empty caption": (
        TRAIN, edit(f"{DATA}/train_caps.txt", lambda t: b"\n" + t.split(b"\n", 1)[1]),
        ["train_caps.txt:1", "empty caption"],
    ),
    "an empty test caption": (
        TEST, edit(f"{DATA}/test_caps.txt", lambda t: b"\n" + t.split(b"\n", 1)[1]),
        ["test_caps.txt:1", "empty caption"],
    ),
    # images
    "a missing image": (
        TRAIN, remove(f"{DATA}/images/train_3.png"), ["train_filename.txt:4", "train_3.png"],
    ),
    "a truncated image": (
        TRAIN, edit(f"{DATA}/images/train_3.png", lambda b: b[: len(b) // 2]), ["train_3.png"],
    ),
    "text as an image": (
        TRAIN, write(f"{DATA}/images/train_3.png", b"text"), ["train_3.png", "not an image"],
    ),
    "an empty image": (TEST, write(f"{DATA}/images/test_0.png", b""), ["test_0.png"]),
    # vocabulary
    "no vocabulary": (TRAIN, remove("vocab.json"), ["vocab.json", "vocab.py"]),
    "vocabulary of something else": (TRAIN, write("vocab.json", b"{}"), ["vocab.json", "word2idx"]),
    "vocabulary of another size": (
        TEST, write("vocab.json", b'{"word2idx": {"a": 1, "<unk>": 2}}'),
        ["best.pth", "12 words", "has 2"],
    ),
    # local features
    "no store": (TRAIN, remove(f"{DATA}/local.h5"), ["local.h5"]),
    "a store that is text": (TRAIN, write(f"{DATA}/local.h5", b"text"), ["local.h5"]),
    "an image without an entry": (
        TRAIN, store(lambda f: replace(f, "names", [b"x%d.png" % i for i in range(26)])),
        ["local.h5", "train_0.png"],
    ),
    "a matrix of the wrong shape": (
        TRAIN, store(lambda f: replace(f, "representation", np.zeros((26, 4, 3), np.float32))),
        ["local.h5", "representation"],
    ),
    "a number that is none": (
        TRAIN, store(lambda f: f["adjacency"].__setitem__((0, 0, 0), np.nan)),
        ["local.h5", "train_0.png"],
    ),
    "a store of other options": (
        TRAIN, option(dataset={"drea": {"classes": ["x"], "objects": 4, "radius": 0.5}}),
        ["local.h5", "radius", "0.5", "0.2"],
    ),
    # checkpoints
    "no checkpoint": (SINGLE, remove(BEST), ["best.pth"]),
    "no checkpoint of a fold": (TEST, remove(BEST), ["best.pth", "train.py"]),
    "noise": (SINGLE, write(BEST, np.random.default_rng(0).bytes(5000)), ["best.pth"]),
    "nothing": (SINGLE, write(BEST, b""), ["best.pth"]),
    "cut short": (SINGLE, edit(BEST, lambda b: b[: len(b) // 2]), ["best.pth"]),
    "malicious": (SINGLE, malicious, ["best.pth"]),
    "a malicious pickle": (SINGLE, malicious_pickle, ["best.pth"]),
    "another architecture": (
        TEST, option(model={"embed": {"embed_dim": 32}, "multiscale": {"enabled": False},
                            "fusion": {"type": "addition"}}),
        ["best.pth"],
    ),
    "without a model": (SINGLE, checkpoint(lambda s: s.pop("model")), ["best.pth", "model"]),
    "with numbers that are none": (
        SINGLE, checkpoint(lambda s: next(iter(s["model"].values())).fill_(np.nan)), ["best.pth"],
    ),
    "an earlier run": (TRAIN, lambda root: None, ["checkpoint/tiny", "--resume", "--overwrite"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_line_names_place_and_remedy(root, capfd, name):
    script, spoil, parts = CASES[name]
    spoil(root)
    arguments = ["--path_opt", root / "tiny.yaml", "--set", "k_fold.nums=1"]
    if script == SINGLE:
        arguments += ["--resume", root / BEST]
    if script == TRAIN and name != "an earlier run":
        arguments += ["--set", "k_fold.experiment_name=new"]
    before = sorted(path for path in root.rglob("*") if "image_cache" not in path.parts)
    assert run(script, *arguments) == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1
    for part in parts:
        assert part in errors[0]
    assert errors[0].count("; ") >= 1  # what is wrong; what to do
    after = sorted(path for path in root.rglob("*") if "image_cache" not in path.parts)
    assert after == before
    assert not list(root.rglob("*.tmp"))


@pytest.mark.parametrize("spoil", [malicious, malicious_pickle])
def test_nothing_of_a_malicious_file_is_run(root, spoil):
    spoil(root)
    assert run(SINGLE, "--path_opt", root / "tiny.yaml", "--resume", root / BEST) == 2
    assert not (root / "code_was_run").exists()
    pickle.loads(pickle.dumps(Malicious(root)))  # noqa: S301 - that it would leave its trace
    assert (root / "code_was_run").exists()


def test_the_process_ends_with_the_status_and_no_traceback(root):
    write(BEST, b"noise")(root)
    done = run_script("test_single.py", "--path_opt", root / "tiny.yaml", "--resume", root / BEST)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("script", ["train.py", "test.py", "test_single.py", "vocab.py"])
def test_help_explains_and_unknown_arguments_are_one_line(script):
    help_text = run_script(script, "--help")
    assert help_text.returncode == 0
    assert "--path_opt FILE" in help_text.stdout
    assert "--set KEY=VALUE" in help_text.stdout
    wrong = run_script(script, "--no-such-thing")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
