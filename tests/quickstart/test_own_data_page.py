"""The commands of docs/own_data.md run one after the other, on fewer scenes and for seconds."""

import importlib
import re
import shlex

import galr
from tests.quickstart.conftest import train_an_epoch
from tests.tiny import ROOT

PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
# what a command gets besides, so that it is done in seconds
SHORTER = {
    "galr.demo": ["--train", "20", "--test", "6"],
    "galr.quickstart": ["--no-serve"],
    "train.py": ["--set", "optim.budget_seconds=null", "--set", "optim.epochs=1"],
    "test.py": ["--no-report"],
}


def commands():
    """(module or script, arguments) of every command of the page."""
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            python, *words = shlex.split(line)
            assert python == "python"
            name = words.pop(0) if words[0] != "-m" else words[1]
            yield name, words[2:] if words[:1] == ["-m"] else words


def main_of(name):
    if name.endswith(".py"):
        return importlib.import_module(f"galr.commands.{name.removesuffix('.py')}").main
    return importlib.import_module(f"{name}.__main__").main


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train_an_epoch(monkeypatch)
    done = []
    for name, words in commands():
        if "serve" not in words:
            main_of(name)([*words, *SHORTER.get(name, [])])
            done.append(name)
    assert len(done) == 8
    said = capsys.readouterr().out
    assert "python train.py --path_opt options/mine_GaLR.yaml" in said
    for archive in ("my_archive/archive.index", "second_archive/archive.index", "mine.index"):
        assert len(galr.Archive.open(tmp_path / archive)) == 26
