"""Two ranks that share no folder: what rank 0 decides, sends and refuses."""

import json
import socket

import pytest
import torch

from galr.commands import test, train
from galr.data.vocabulary import Vocabulary
from galr.training.fold_trainer import FoldTrainer
from tests.processes import Command
from tests.tiny import make_data

# the folder of the checkpoints is relative: each rank has its own working folder
SETTINGS = ["--set", "k_fold.nums=1", "--set", "device=cpu", "--set", "logs.ckpt_save_path=runs"]


def save_state():
    """Has a rank write the weights that it ends with to its working folder."""
    fit = FoldTrainer.fit

    def fit_and_save(trainer):
        state = fit(trainer)
        torch.save(trainer.model.state_dict(), "state.pth")
        return state

    FoldTrainer.fit = fit_and_save


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("disks"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def run_ranks(folder, options, *arguments, main=train.main, setup=None, own=((), ())):
    """Runs a command as two ranks in the folders 0 and 1; their return codes and stderr."""
    port, running = free_port(), []
    for rank in (0, 1):
        work = folder / str(rank)
        work.mkdir(parents=True, exist_ok=True)
        environment = {
            "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0",
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(port),
        }  # fmt: skip
        running.append(
            Command(
                main, "--path_opt", options, *SETTINGS, *arguments, *own[rank], folder=work,
                environment=environment, setup=setup,
            )
        )  # fmt: skip
    ended = [process.wait() for process in running]
    return [each.returncode for each in ended], [each.stderr for each in ended]


def last(folder):
    return torch.load(folder / "0" / "runs" / "tiny" / "0" / "last.pth", weights_only=True)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_both_ranks_end_with_the_same_weights_and_statistics(options, tmp_path):
    epochs = ("--set", "optim.epochs=1", "--set", "optim.ema=0.9")
    codes, shown = run_ranks(tmp_path, options, *epochs, setup=save_state)
    assert codes == [0, 0], shown
    states = [torch.load(tmp_path / str(rank) / "state.pth", weights_only=True) for rank in (0, 1)]
    assert_same(*states)
    assert any("running_mean" in name for name in states[0])
    assert_same(last(tmp_path)["model"], states[0])


def test_rank_0_decides_where_a_run_resumes_and_sends_it(options, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run_ranks(whole, options, "--set", "optim.epochs=2")[0] == [0, 0]
    assert run_ranks(parts, options, "--set", "optim.epochs=1")[0] == [0, 0]
    assert not list((parts / "1").rglob("*.pth"))
    codes, shown = run_ranks(parts, options, "--set", "optim.epochs=2", "--resume")
    assert codes == [0, 0], shown
    assert "fold 0: resuming after epoch 0" in shown[0]
    assert_same(last(parts)["model"], last(whole)["model"])


def test_rank_0_alone_says_why_a_run_cannot_resume(options, tmp_path):
    assert run_ranks(tmp_path, options, "--set", "optim.epochs=1")[0] == [0, 0]
    codes, shown = run_ranks(tmp_path, options, "--resume", "--set", "optim.margin=0.3")
    assert codes == [2, 1]
    assert "was trained with optim.margin: 0.2" in shown[0]
    assert shown[1] == ""
    codes, shown = run_ranks(tmp_path, options)
    assert codes == [2, 1]
    assert "--resume continues it" in shown[0]
    assert shown[1] == ""


def test_ranks_with_other_files_are_refused_at_the_start(options, tmp_path):
    words = list(Vocabulary.load(options.parent / "vocab.json").words)
    for rank, own in enumerate((words, [words[1], words[0], *words[2:]])):
        (tmp_path / str(rank)).mkdir()
        Vocabulary(own).save(tmp_path / str(rank) / "vocab.json")
    codes, shown = run_ranks(tmp_path, options, "--set", "dataset.vocab_path=vocab.json")
    assert codes == [2, 2]
    assert "rank 1: has different words in its vocabulary from rank 0" in shown[0]
    assert not list(tmp_path.rglob("*.pth"))


def test_ranks_with_other_options_are_refused_at_the_start(options, tmp_path):
    other = ((), ("--set", "optim.lr=0.5"))
    codes, shown = run_ranks(tmp_path, options, own=other)
    assert codes == [2, 2]
    assert "rank 1: has different options from rank 0" in shown[0]


def test_rank_0_sends_the_checkpoints_that_are_tested(options, tmp_path):
    assert run_ranks(tmp_path, options, "--set", "optim.epochs=1")[0] == [0, 0]
    arguments = ("--no-report", "--out", "results.json")
    codes, shown = run_ranks(tmp_path, options, *arguments, main=test.main)
    assert codes == [0, 0], shown
    two = json.loads((tmp_path / "0" / "results.json").read_text())
    one = Command(
        test.main, "--path_opt", options, *SETTINGS, "--no-report", "--out", "one.json",
        folder=tmp_path / "0",
    ).wait()  # fmt: skip
    assert one.returncode == 0, one.stderr
    assert json.loads((tmp_path / "0" / "one.json").read_text())["mean"] == two["mean"]


def test_a_rank_without_an_image_of_its_own_takes_part(options, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    source = options.parent / "data" / "tiny_precomp"
    for split, images in (("train", 20), ("test", 1)):
        for kind, lines in (("filename", images), ("caps", 2 * images)):
            text = (source / f"{split}_{kind}.txt").read_text().splitlines()[:lines]
            (data / f"{split}_{kind}.txt").write_text("\n".join(text) + "\n")
    settings = ["--set", f"dataset.data_path={data}"]
    settings += ["--set", f"dataset.image_path={source / 'images'}", "--set", "optim.epochs=1"]
    assert run_ranks(tmp_path, options, *settings)[0] == [0, 0]
    codes, shown = run_ranks(tmp_path, options, *settings, "--no-report", main=test.main)
    assert codes == [0, 0], shown
    results = json.loads((tmp_path / "0" / "runs" / "tiny" / "results.json").read_text())
    assert results["mean"]["without_rerank"]["t2i_r1"] == 100.0
