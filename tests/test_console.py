"""The console command, and options files by their names."""

import os
import subprocess
import sys

import pytest

from galr import __main__ as console
from galr import __version__
from galr.common.errors import UserError
from galr.common.options_files import find_options
from galr.options import load_options
from tests.tiny import ROOT, make_data


def run_galr(folder, *arguments):
    code = "import sys; from galr.__main__ import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=folder, text=True,
        capture_output=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_every_command_has_a_main_and_help_lists_it(tmp_path):
    shown = run_galr(tmp_path, "--help")
    assert shown.returncode == 0
    for name, (module, what) in console.COMMANDS.items():
        assert f"  {name:16}{what}\n" in shown.stdout
        path = ROOT / f"{module.replace('.', '/')}.py"
        assert "def main(argv" in path.read_text(), name
    assert run_galr(tmp_path, "--version").stdout == f"galr {__version__}\n"


def test_help_does_not_wait_for_torch():
    code = "import sys; sys.argv = ['galr']; from galr.__main__ import main; main(); "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_a_command_runs_in_any_folder_and_is_called_by_its_name(tmp_path):
    path = make_data(tmp_path)
    arguments = ("--path_opt", path, "--set", "optim.epochs=1", "--set", "k_fold.nums=1")
    (tmp_path / "elsewhere").mkdir()
    done = run_galr(tmp_path / "elsewhere", "train", *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "checkpoint" / "tiny" / "0" / "best.pth").is_file()
    wrong = run_galr(tmp_path, "train", "--pathopt", path)
    assert wrong.returncode == 2
    assert "galr train: unrecognized arguments" in wrong.stderr


@pytest.mark.parametrize(
    ("name", "hint"), [("tran", "did you mean train?"), ("xyz", "galr --help")]
)
def test_an_unknown_command_is_one_line(tmp_path, name, hint):
    done = run_galr(tmp_path, name)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert hint in done.stderr


@pytest.mark.parametrize(
    "name",
    ["UCM_GaLR", "UCM_GaLR.yaml", "options/UCM_GaLR.yaml", "recipes/rsicd_cpu_30min",
     "options/recipes/rsicd_cpu_30min.yaml"],
)  # fmt: skip
def test_shipped_options_are_found_by_name_from_any_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    stem = name.removeprefix("options/").removesuffix(".yaml")
    assert find_options(name).resolve() == ROOT / "options" / f"{stem}.yaml"
    assert load_options(name) == load_options(ROOT / "options" / f"{stem}.yaml")


def test_a_file_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options").mkdir()
    (tmp_path / "options" / "UCM_GaLR.yaml").write_text("seed: 77\n")
    assert load_options("UCM_GaLR").seed == 77
    (tmp_path / "UCM_GaLR.yaml").write_text("seed: 78\n")
    assert load_options("UCM_GaLR").seed == 78


def test_a_name_that_is_none_lists_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"did you mean .*RSITMD_GaLR") as error:
        load_options("RSITMD_GALR")
    assert str(tmp_path) in str(error.value)
