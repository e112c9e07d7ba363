"""``python -m galr.skipthoughts_training`` as a whole, on sentences with an order to learn."""

import csv

import numpy as np
import pytest
import torch

from galr import build_skipthoughts
from galr.common import cli
from galr.common.errors import RunError
from galr.common.folder_lock import only_writer
from galr.skipthoughts_training.__main__ import main
from galr.skipthoughts_training.corpus import CorpusBuilder, text_documents
from galr.skipthoughts_training.trainer import Settings, Trainer
from tests.faults.contents import curves

SIZES = ["--word-dim", "8", "--hidden-dim", "12", "--batch-size", "8", "--device", "cpu"]
THINGS = ("plane", "ship", "river", "house", "tree", "road")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Documents in which a thing is named, then said to be there, then to be gone."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    places = ("left", "right", "middle", "corner")
    path.write_text(
        "".join(
            f"a {thing} is on the {place}\nthe {thing} is there\nno {thing} is left\n\n"
            for thing in THINGS
            for place in places
        )
    )
    return path


def train(corpus, out, *more, epochs=2):
    return cli.run(
        main, ["--corpus", str(corpus), "--out", str(out), "--epochs", str(epochs), *SIZES, *more]
    )


def log_of(folder):
    with (folder / "log.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def weights_of(folder, kind="uni"):
    table, gru = {"uni": ("utable", "uni_skip"), "bi": ("btable", "bi_skip")}[kind]
    with np.load(folder / f"{gru}.npz") as archive:
        return {"table": np.load(folder / f"{table}.npy"), **archive}


def same(first, second):
    return all(np.array_equal(first[key], second[key]) for key in first | second)


@pytest.mark.parametrize(
    ("kind", "encoders"),
    [("uni", ("UniSkip", "DropUniSkip", "BayesianUniSkip")), ("bi", ("BiSkip", "BiGRU"))],
)
def test_learns_and_writes_files_that_are_read_back(corpus, tmp_path, kind, encoders):
    assert train(corpus, tmp_path, "--kind", kind, "--lr", "0.02", epochs=12) == 0
    perplexity = [row["held_out_perplexity"] for row in log_of(tmp_path / f"{kind}_training")]
    assert min(perplexity) < perplexity[0] / 2
    assert list((tmp_path / f"{kind}_training").glob("events.out.tfevents.*"))

    words = (tmp_path / "dictionary.txt").read_text().split()
    trained = torch.load(tmp_path / f"{kind}_training" / "best.pth", weights_only=True)
    for name in encoders:
        encoder = build_skipthoughts(name, tmp_path, words).eval()
        for key, value in encoder.state_dict().items():
            assert torch.equal(value, trained[f"encoder.{key}"]), key
        assert encoder.not_found == ()
        assert encoder(torch.tensor([[3, 4, 5]])).shape == (1, 12)


def test_the_same_seed_gives_the_same_bytes_and_another_others(corpus, tmp_path):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert train(corpus, tmp_path / name, "--seed", seed, "--min-count", "1") == 0
    a, b, c = (weights_of(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not same(a, c)


@pytest.mark.parametrize("stop_at", [3, 9, 13])
def test_a_resumed_training_equals_one_never_stopped(corpus, tmp_path, monkeypatch, stop_at):
    options = ("--held-out", "0.1", "--checkpoint-steps", "2")
    assert train(corpus, tmp_path / "whole", *options) == 0

    steps, step = [], Trainer._step

    def stopping(self, *batch):
        steps.append(None)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        step(self, *batch)

    monkeypatch.setattr(Trainer, "_step", stopping)
    assert train(corpus, tmp_path / "parts", *options) == 130
    monkeypatch.setattr(Trainer, "_step", step)
    assert not (tmp_path / "parts" / "uni_skip.npz").exists()
    assert train(corpus, tmp_path / "parts", *options, "--resume") == 0
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts"))
    whole, parts = (tmp_path / name / "uni_training" for name in ("whole", "parts"))
    assert (whole / "log.csv").read_bytes() == (parts / "log.csv").read_bytes()


def test_more_epochs_go_on_from_the_last(corpus, tmp_path):
    assert train(corpus, tmp_path / "whole", epochs=3) == 0
    assert train(corpus, tmp_path / "more", epochs=1) == 0
    assert train(corpus, tmp_path / "more", "--resume", epochs=3) == 0
    assert same(weights_of(tmp_path / "whole"), weights_of(tmp_path / "more"))


def test_both_kinds_share_a_folder_when_their_words_are_the_same(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path, "--kind", "uni") == 0
    assert train(corpus, tmp_path, "--kind", "bi") == 0
    words = (tmp_path / "dictionary.txt").read_text().split()
    for kind in ("BayesianUniSkip", "BiSkip"):
        build_skipthoughts(kind, tmp_path, words)
    other = ("--kind", "bi", "--min-count", "7", "--overwrite")
    assert train(corpus, tmp_path, *other) == 2
    assert "belongs to utable.npy and has a different vocabulary" in capsys.readouterr().err


def test_files_that_are_there_are_kept(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path) == 0
    before = (tmp_path / "uni_skip.npz").read_bytes()
    assert train(corpus, tmp_path, "--seed", "3") == 2
    assert "utable.npy: already exists; choose another --out, or add --overwrite" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "uni_skip.npz").read_bytes() == before
    assert train(corpus, tmp_path, "--seed", "3", "--overwrite") == 0
    assert (tmp_path / "uni_skip.npz").read_bytes() != before


def test_another_training_is_not_resumed(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path) == 0
    assert train(corpus, tmp_path, "--resume", "--lr", "0.5") == 2
    assert "last.pth: was trained with lr 0.001, now 0.5" in capsys.readouterr().err
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text().replace("corner", "edge"))
    assert train(other, tmp_path, "--resume") == 2
    assert "was trained with corpus" in capsys.readouterr().err


def test_an_unfinished_training_is_not_written_over(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path) == 0
    for name in ("utable.npy", "uni_skip.npz"):
        (tmp_path / name).unlink()
    assert train(corpus, tmp_path) == 2
    assert "an unfinished training exists; add --resume" in capsys.readouterr().err


def test_captions_of_a_folder_train_without_its_other_splits(tmp_path):
    for split in ("train", "test"):
        captions = [f"a {split} {thing} number {c}" for thing in THINGS for c in range(5)]
        (tmp_path / f"{split}_caps.txt").write_text("\n".join(captions) + "\n")
        (tmp_path / f"{split}_filename.txt").write_text("".join(f"{t}.tif\n" for t in THINGS))
    arguments = ["--captions", str(tmp_path), "--out", str(tmp_path / "out"), "--epochs", "1"]
    assert cli.run(main, [*arguments, *SIZES, "--held-out", "0.2"]) == 0
    words = (tmp_path / "out" / "dictionary.txt").read_text().split()
    assert "train" in words
    assert "test" not in words


def test_word_vectors_widen_the_vocabulary(corpus, tmp_path, caplog):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("".join(f"{word} {i} {i * i}\n" for i, word in enumerate((*THINGS, "lake"))))
    assert train(corpus, tmp_path / "out", "--expand", str(vectors)) == 0
    words = (tmp_path / "out" / "dictionary.txt").read_text().split()
    assert words[-1] == "lake"
    encoder = build_skipthoughts("UniSkip", tmp_path / "out", ["lake", "plane"])
    table = torch.from_numpy(np.load(tmp_path / "out" / "utable.npy"))
    assert encoder.not_found == ()
    assert torch.equal(encoder.embedding.weight[1], table[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name text files with --corpus or folders with --captions"),
        (["--corpus", "nothing.txt"], "nothing.txt: cannot be read"),
        (["--captions", "nowhere"], "nowhere: there is no such data folder"),
        (["--corpus", "CORPUS", "--kind", "bi", "--hidden-dim", "7"], "--hidden-dim must be even"),
        (["--corpus", "CORPUS", "--expand", "nothing.txt"], "nothing.txt: cannot be read"),
        (["--corpus", "CORPUS", "--resume", "--overwrite"], "exclude each other"),
        (["--corpus", "CORPUS", "--epochs", "0"], "whole number of at least 1"),
        (["--corpus", "CORPUS", "--epochs", "many"], "--epochs"),
        (["--corpus", "CORPUS", "--held-out", "1"], "'1' is not a number from 0 to 0.9"),
        (["--corpus", "CORPUS", "--lr", "nan"], "'nan' is not a number from 1e-09 to 10"),
        (["--corpus", "CORPUS", "--device", "cuda:99"], "CUDA devices were found"),
        (["--corpus", "CORPUS", "--device", "gpu"], "'gpu' is none of auto, cpu, cuda, cuda:N"),
        (["--corpus", "CORPUS", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
    ],
)
def test_wrong_arguments_end_in_one_line(corpus, tmp_path, capsys, arguments, message):
    named = [str(corpus) if value == "CORPUS" else value for value in arguments]
    try:
        status = cli.run(main, [*named, "--out", str(tmp_path / "out")])
    except SystemExit as stop:  # from argparse
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_loss_that_is_no_number_stops_the_training(corpus, tmp_path):
    builder = CorpusBuilder(max_words=64)
    builder.add_all(text_documents(corpus))
    words = builder.build(max_vocabulary=99, min_count=1, held_out_share=0, seed=0)
    settings = Settings(word_dim=8, hidden_dim=12, decoder_dim=12)
    trainer = Trainer(words, settings, tmp_path, torch.device("cpu"))
    with torch.no_grad():
        trainer.model.encoder.gru.input.bias.fill_(torch.nan)
    with pytest.raises(RunError, match="the loss is NaN or infinite at epoch 1; lower --lr"):
        trainer.run(checkpoint_steps=100)
    assert not trainer.last.exists()


def test_a_folder_that_cannot_be_written_ends_in_one_line(corpus, tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert train(corpus, tmp_path / "out") == 1
    assert (
        "cannot be written (Not a directory); check it, or name another" in capsys.readouterr().err
    )


def test_a_log_that_a_killed_run_did_not_write_is_there_after_a_resume(corpus, tmp_path):
    assert train(corpus, tmp_path) == 0
    folder = tmp_path / "uni_training"
    whole, shown = log_of(folder), curves(folder)
    (folder / "log.csv").unlink()
    for path in folder.glob("events*"):
        path.unlink()
    assert train(corpus, tmp_path, "--resume") == 0
    assert log_of(folder) == whole
    assert curves(folder) == shown
    assert [step for step, _ in shown["perplexity"]] == [1, 2]


def test_a_second_training_in_the_folder_is_refused(corpus, tmp_path, capsys):
    assert train(corpus, tmp_path) == 0
    with only_writer(tmp_path / "uni_training"):
        assert train(corpus, tmp_path, "--overwrite") == 1
    assert "another run is writing to it" in capsys.readouterr().err
    assert (tmp_path / "uni_training" / "last.pth").exists()
