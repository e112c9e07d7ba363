"""From images and captions to an archive, stopped and gone on with."""

import json

import pytest

import galr
from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.options import load_options
from galr.preparation.own_data import Choices
from galr.quickstart.__main__ import main
from galr.quickstart.run import Request, quickstart
from galr.training.trainer import Trainer
from tests.preparation.conftest import write_table
from tests.quickstart.conftest import train_an_epoch


def request(own, captions, **changes):
    choices = Choices(split="80/0/20", val_into_train=True)
    values = {"images": own.images, "captions": captions, "out": own.root / "archive",
              "minutes": 30.0, "checkpoint": None, "choices": choices}  # fmt: skip
    return Request(**{**values, **changes})


def test_it_trains_tests_and_goes_on_where_it_was_stopped(own, monkeypatch, capsys):
    train_an_epoch(monkeypatch)
    table = write_table(own)

    def stopped(trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "test", stopped)
        with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
            quickstart(request(own, table))
    out = own.root / "archive"
    best = out / "checkpoint" / "model" / "0" / "best.pth"
    trained = best.stat().st_mtime_ns
    assert {"prepare", "regions", "options", "training"} == set(
        json.loads((out / "quickstart.json").read_text())["stages"]
    )
    capsys.readouterr()
    archive = quickstart(request(own, table))
    assert best.stat().st_mtime_ns == trained
    said = capsys.readouterr().out
    assert "fold 0, with rerank" in said
    assert f"python -m galr.search serve --index {archive}" in said
    assert (out / "checkpoint" / "model" / "report.html").is_file()
    assert len(read_annotations(out / "data", "test").images) == 4
    options = load_options(out / "options.yaml")
    assert options.optim.budget_clock == "wall"
    assert 1000 < options.optim.budget_seconds < 1800
    assert options.dataset.local_path == str(out / "local_features.h5")
    assert len(galr.Archive.open(archive)) == 20
    # a model trained before makes an archive of its own
    assert len(
        galr.Archive.open(
            quickstart(request(own, None, checkpoint=best, out=own.root / "second"))
        )
    ) == 20  # fmt: skip
    with pytest.raises(UserError, match=r"was started with a different minutes \(30.0, now 5\)"):
        quickstart(request(own, table, minutes=5))
    table.write_text(table.read_text() + "plane_0.png,one more\n")
    with pytest.raises(UserError, match="different state of the captions"):
        quickstart(request(own, table))


def test_too_few_minutes_are_said_before_the_training_and_may_be_more_then(own):
    table = write_table(own)
    with pytest.raises(UserError, match="leaves no time for training"):
        quickstart(request(own, table, minutes=0.1))
    with pytest.raises(UserError, match=r"minutes 0[.]15"):
        quickstart(request(own, table, minutes=0.15))


def test_a_wrong_path_may_be_corrected(own):
    with pytest.raises(UserError, match="there is no such file or folder"):
        quickstart(request(own, own.root / "nowhere.csv"))
    with pytest.raises(UserError, match="leaves no time for training"):
        quickstart(request(own, write_table(own), minutes=0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs either captions to train on or a trained model"),
        (["--captions", "c.csv", "--checkpoint", "b.pth"], "give either --captions"),
        (["--checkpoint", "b.pth"], "--images: is missing"),
        (["--template", "a {class}"], "--images: is missing"),
        (["--captions", "nowhere.csv"], "nowhere.csv: there is no such file or folder"),
    ],
)
def test_wrong_calls(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        main(["--out", str(tmp_path / "out"), *arguments])


def test_a_folder_of_others_is_not_touched(own):
    (own.root / "archive").mkdir()
    (own.root / "archive" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="contains other files"):
        quickstart(request(own, write_table(own)))
