"""The doctor on real folders, as people spoil them: each fault is one marked line, and status 1."""

import shutil

import pytest
import yaml

from galr.common import cli
from galr.doctor import __main__ as doctor
from galr.doctor.machine import available_memory, memory, shared_memory, threads
from galr.doctor.planned_run import disks
from tests.tiny import make_data


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("doctor")
    make_data(root)
    return root


@pytest.fixture
def root(good, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(good, copy)
    file = copy / "tiny.yaml"
    file.write_text(file.read_text().replace(str(good), str(copy)))
    return copy


def run(capfd, *arguments):
    """The exit status, the lines that say ``wrong``, and all lines."""
    status = cli.run(doctor.main, list(map(str, arguments)))
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    lines = printed.out.splitlines()
    assert all(line.startswith(("ok ", "wrong ")) for line in lines)
    return status, [line for line in lines if line.startswith("wrong")], lines


def test_nothing_is_wrong_with_a_good_run_and_nothing_is_written(root, capfd):
    before = sorted(root.rglob("*"))
    status, wrong, lines = run(capfd, "--path_opt", root / "tiny.yaml")
    assert (status, wrong) == (0, [])
    text = "\n".join(lines)
    for part in (
        "python 3", "torch ", "CPU", "threads on", "GB available", "20 images, 40 captions",
        "6 images, 12 captions", "no image is in both", "million parameters, 12 words", "GB free",
    ):  # fmt: skip
        assert part in text
    assert sorted(root.rglob("*")) == before


def test_without_options_the_machine_is_looked_at(capfd):
    status, wrong, lines = run(capfd)
    assert (status, wrong) == (0, [])
    assert len(lines) == 5


def lose_image(root):
    (root / "data/tiny_precomp/images/train_3.png").unlink()


def spoil_image(root):
    (root / "data/tiny_precomp/images/train_0.png").write_bytes(b"text")


def shift_captions(root):
    file = root / "data/tiny_precomp/test_caps.txt"
    file.write_text(file.read_text() + "one more\n")


def test_in_training(root):
    file = root / "data/tiny_precomp/test_filename.txt"
    file.write_text(file.read_text().replace("test_0.png", "train_0.png"))


def spoil_store(root):
    (root / "data/tiny_precomp/local.h5").write_bytes(b"text")


def lose_vocabulary(root):
    (root / "vocab.json").unlink()


test_in_training.__test__ = False

FAULTS = {
    "lost": (lose_image, ["train part", "train_3.png"]),
    "spoiled": (spoil_image, ["train part", "train_0.png"]),
    "captions": (shift_captions, ["test part", "13 captions"]),
    "leak": (test_in_training, ["parts", "1 test images are also training images", "train_0.png"]),
    "store": (spoil_store, ["part", "local.h5"]),
    "vocabulary": (lose_vocabulary, ["model", "vocab.json"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_data_is_a_marked_line_and_status_1(root, capfd, name):
    spoil, parts = FAULTS[name]
    spoil(root)
    status, wrong, _ = run(capfd, "--path_opt", root / "tiny.yaml")
    assert status == 1
    assert wrong
    for part in parts:
        assert part in wrong[0]


def test_a_device_that_is_not_there_and_too_many_folds(root, capfd):
    status, wrong, _ = run(
        capfd, "--path_opt", root / "tiny.yaml", "--set", "device=cuda:99",
        "--set", "k_fold.nums=21", "--set", "k_fold.mode=kfold",
    )  # fmt: skip
    assert status == 1
    assert "CUDA devices were found" in wrong[0]
    assert any("folds" in line for line in wrong)


def test_wrong_options_are_one_line_and_status_2(root, capfd):
    tree = yaml.safe_load((root / "tiny.yaml").read_text())
    tree["optim"]["lr"] = -1
    (root / "tiny.yaml").write_text(yaml.safe_dump(tree))
    assert run(capfd, "--path_opt", root / "tiny.yaml")[0] == 2


def test_too_little_room_memory_and_too_many_threads(tmp_path):
    folder = tmp_path / "not" / "yet"
    free = shutil.disk_usage(tmp_path).free
    (full,) = disks({folder: free // 2, tmp_path: free // 2 + 10**9})
    assert full.problem
    (enough,) = disks({folder: 1000, tmp_path: 1000})
    assert not enough.problem
    assert shared_memory(free * 10**6, tmp_path).problem
    assert not shared_memory(1000, tmp_path).problem
    assert threads(3, 2).problem == "more threads than cores: set OMP_NUM_THREADS=2"
    assert not threads(2, 2).problem
    assert memory(10, 11, "x").problem
    assert not memory(11, 11, "x").problem
    assert not memory(None, 11, "x").problem


def test_a_folder_that_is_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    (found,) = disks({tmp_path / "file" / "checkpoint": 10})
    assert "cannot be written" in found.problem


def test_available_memory_is_read_as_linux_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("galr.doctor.machine.LIMITS", (str(tmp_path / "limit"),))
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:  100 kB\nMemAvailable:   30 kB\n")
    assert available_memory(file) == 30 * 1024
    (tmp_path / "limit").write_text("2048\n")
    assert available_memory(file) == 2048
    (tmp_path / "limit").write_text("max\n")
    assert available_memory(file) == 30 * 1024
    assert available_memory(tmp_path / "none") is None
