"""What the surroundings may lack, and files of others that hold plain data."""

import argparse
import json
import os
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from PIL import Image

from galr.common import cli
from galr.common.atomic import check_room
from galr.common.device import choose_device
from galr.common.errors import RunError, UserError
from galr.data.annotations import read_annotations
from galr.options import load_options, options_from_dict
from galr.preparation.prepare import prepare
from galr.search.build import LEAST_IVFPQ, too_few
from galr.weights.files import read_torch_file
from tests.tiny import ROOT


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran_this",)


def test_numbers_of_numpy_and_namespaces_are_read_as_plain_data(tmp_path):
    saved = {
        "best": np.float64(31.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
        "kind": np.dtype("float32"),
        "args": argparse.Namespace(lr=np.float32(0.5), sizes=[np.int32(1)], inner=(np.uint8(2),)),
        "mean": np.arange(3.0),
        "model": OrderedDict(weight=torch.ones(2)),
    }
    torch.save(saved, tmp_path / "a.pth")
    found = read_torch_file(tmp_path / "a.pth", "")
    assert found["args"] == {"lr": 0.5, "sizes": [1], "inner": (2,)}
    assert (found["best"], found["epoch"], found["flag"]) == (31.5, 3, True)
    assert type(found["best"]) is float
    assert type(found["epoch"]) is int
    assert found["kind"] == np.dtype("float32")
    assert found["mean"].tolist() == [0, 1, 2]
    assert torch.equal(found["model"]["weight"], torch.ones(2))


@pytest.mark.parametrize(
    "value", [Runs(), argparse.Namespace(inner=Runs()), [np.float64(1), Runs()]]
)
def test_what_would_run_something_is_refused_still(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    torch.save({"epoch": value}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="may run code"):
        read_torch_file(tmp_path / "a.pth", "take another")
    assert not os.path.exists("ran_this")


def test_a_container_that_holds_itself_is_read(tmp_path):
    ring = [1]
    ring.append(ring)
    torch.save(ring, tmp_path / "a.pth")
    found = read_torch_file(tmp_path / "a.pth", "")
    assert found[1] is found


def test_the_home_folder_is_known_in_options_and_arguments(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = options_from_dict({"dataset": {"data_path": "~/d"}}, "x", ["logs.ckpt_save_path=~/c"])
    assert options.dataset.data_path == f"{tmp_path}/d"
    assert options.logs.ckpt_save_path == f"{tmp_path}/c"
    parser = cli.ArgumentParser("x")
    parser.add_argument("--out")
    parser.add_argument("--images", nargs="+")
    found = parser.parse_args(["--out=~/x", "--images", "~/a", "~b"])
    assert (found.out, found.images) == (f"{tmp_path}/x", [f"{tmp_path}/a", "~b"])


def test_a_terminal_that_lacks_letters_gets_a_line():
    code = (
        "from galr.common import cli\n"
        "from galr.common.errors import UserError\n"
        "def main(argv):\n"
        "    print('a\u00e9roport\u202f1')\n"
        "    raise UserError('a\u00e9', 'is bad', 'mend it')\n"
        "raise SystemExit(cli.run(main))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "a\\xe9roport\\u202f1\n"
    assert done.stderr == "error: a\\xe9: is bad; mend it\n"


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "mps", "cuda:x"])
def test_a_device_that_is_not_there_is_an_error(device):
    with pytest.raises(UserError, match=f"device: {device}: "):
        choose_device(device)


def test_a_file_system_without_links_leaves_the_folder_to_be_named(tmp_path, monkeypatch):
    images = []
    (tmp_path / "images").mkdir()
    for number, split in enumerate(["train"] * 5 + ["test"]):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{number}.png")
        images.append(
            {"filename": f"{number}.png", "split": split, "sentences": [{"raw": "a field"}]}
        )
    (tmp_path / "d.json").write_text(json.dumps({"images": images}))

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refused)
    places = (tmp_path / name for name in ("d.json", "images", "out", "vocab.json"))
    said = prepare(*places)
    assert any("no link to" in line and "dataset.image_path" in line for line in said)


def test_a_disk_without_room_is_told_of_at_once(tmp_path):
    check_room(tmp_path, 1)
    with pytest.raises(RunError, match=r"its disk has [\d.]+ GB left of the 1000000000.00 GB"):
        check_room(tmp_path, 10**18)


def test_too_few_images_for_an_index_are_told_of():
    assert f"needs at least {LEAST_IVFPQ} images, got 5" in str(too_few(5))


def test_a_blank_last_line_of_captions_is_named(tmp_path):
    (tmp_path / "train_filename.txt").write_text("a.png\nb.png\n")
    (tmp_path / "train_caps.txt").write_text("one\ntwo\n\n")
    with pytest.raises(UserError, match=r"train_caps.txt:3: is a blank line after the last"):
        read_annotations(tmp_path, "train")


def test_a_name_that_yaml_reads_as_a_number_is_to_be_quoted(tmp_path):
    (tmp_path / "a.yaml").write_text("k_fold: {experiment_name: 001}\n")
    with pytest.raises(UserError, match=r"got 1; put the text in quotes in the file, or twice"):
        load_options(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("{}\n")
    options = load_options(tmp_path / "b.yaml", ["k_fold.experiment_name='001'"])
    assert options.k_fold.experiment_name == "001"
