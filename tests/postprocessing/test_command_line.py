import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from galr.common import cli
from galr.metrics.retrieval import (
    metrics_of_ranks,
    reranked_ranks,
    retrieval_metrics,
    retrieval_ranks,
)
from postprocessing.compare import main as compare_main
from postprocessing.files import read_part
from postprocessing.rerank import rerank
from postprocessing.rerank.__main__ import main
from tests.postprocessing.method_loops import scores


def expected(similarity, caption_to_image, **settings):
    plain = retrieval_ranks(similarity, caption_to_image)
    i2t, t2i = rerank(similarity, **settings), rerank(similarity.T, **settings)
    return metrics_of_ranks(reranked_ranks(plain, i2t, t2i, caption_to_image))


def test_recalls_before_and_after(saved, tmp_path, capsys):
    path = saved / "0_test_similarity.npy"
    similarity = np.load(path)
    out = tmp_path / "results.json"
    arguments = ["--captions-per-image", "5", "--k", "7", "--w-saliency", "0.1", "--out", str(out)]
    main(["--similarity", str(path), *arguments])
    results = json.loads(out.read_text())
    captions = np.arange(100) // 5
    assert results["without_rerank"] == retrieval_metrics(similarity, captions)
    assert results["with_rerank"] == expected(similarity, captions, k=7, w_saliency=0.1)
    assert results["rerank"]["k"] == 7
    assert (results["images"], results["captions"]) == (20, 100)
    printed = capsys.readouterr().out
    assert "without re-ranking" in printed
    assert f"{results['with_rerank']['mR']:.2f}" in printed


def test_ties_may_be_stable(saved, tmp_path):
    path, out = saved / "0_test_similarity.npy", tmp_path / "results.json"
    # two values alone: nearly all reverse ranks are equal
    np.save(path, (np.load(path) > 0).astype("f4"))
    captions = np.load(saved / "0_test_caption_to_image.npy")
    found = []
    for ties in ("released", "stable"):
        main(["--similarity", str(path), "--ties", ties, "--out", str(out)])
        found.append(json.loads(out.read_text())["with_rerank"])
        assert found[-1] == expected(np.load(path), captions, ties=ties)
    assert found[0] != found[1]


def test_a_method_is_chosen_with_or_without_banks(saved, tmp_path, capsys):
    path, out = saved / "0_test_similarity.npy", tmp_path / "results.json"
    similarity, own = np.load(path), np.load(saved / "0_test_caption_to_image.npy")
    banks = [saved / "bank_images.npy", saved / "bank_captions.npy"]
    np.save(banks[0], similarity[:7])
    np.save(banks[1], similarity.T[:50])
    named = ["--bank-images", str(banks[0]), "--bank-captions", str(banks[1])]
    for more, given in (([], [None, None]), (named, [similarity[:7], similarity.T[:50]])):
        main(["--similarity", str(path), "--method", "nnn", "--alpha", "0.4", "--neighbours", "3",
              *more, "--out", str(out)])  # fmt: skip
        result = json.loads(out.read_text())
        corrected = [
            np.array(scores("nnn", s, bank, beta=1, neighbours=3, alpha=0.4, activation=1))
            for s, bank in zip((similarity, similarity.T), given, strict=True)
        ]
        for name, s in (("i2t", corrected[0]), ("t2i", corrected[1].T)):
            whole = retrieval_metrics(s, own)
            for key in ("r1", "r5", "r10"):
                assert result["with_rerank"][f"{name}_{key}"] == whole[f"{name}_{key}"]
        what = "a bank" if more else "the other test queries"
        assert result["rerank"] == {
            "method": "nnn", "reads": what, "alpha": 0.4, "neighbours": 3
        }  # fmt: skip
        assert f"nnn reads {what}" in capsys.readouterr().out


def test_banks_that_do_not_fit_are_one_line(saved, capsys):
    path = str(saved / "0_test_similarity.npy")
    assert cli.run(main, ["--similarity", path, "--bank-images", path]) == 2
    assert "--bank-captions: is missing" in capsys.readouterr().err
    both = ["--bank-images", path, "--bank-captions", path]
    assert cli.run(main, ["--similarity", path, *both]) == 2
    assert "has 100 columns for 20 candidates" in capsys.readouterr().err


def test_the_file_beside_the_similarities_says_whose_captions_they_are(saved, tmp_path):
    path, out = saved / "1_test_similarity.npy", tmp_path / "results.json"
    captions = np.load(saved / "1_test_caption_to_image.npy")
    for named in ([], ["--caption-to-image", str(saved / "1_test_caption_to_image.npy")]):
        main(["--similarity", str(path), "--reverse", "absolute", "--l", "3", *named,
              "--out", str(out)])  # fmt: skip
        assert json.loads(out.read_text())["with_rerank"] == expected(
            np.load(path), captions, reverse="absolute", l=3
        )


@pytest.mark.parametrize(
    ("written", "arguments", "message"),
    [
        (None, [], "cannot be read (No such file or directory)"),
        (b"", ["--captions-per-image", "5"], "is not an array of numbers"),
        (b"text", ["--captions-per-image", "5"], "is not an array of numbers"),
        (np.ones(5), ["--captions-per-image", "5"], "shape (5,)"),
        (np.ones((0, 5)), ["--captions-per-image", "5"], "shape (0, 5)"),
        (np.full((1, 5), "a"), ["--captions-per-image", "5"], "<U1 of shape (1, 5)"),
        (np.full((1, 5), None), ["--captions-per-image", "5"], "is not an array of numbers"),
        (
            np.full((1, 5), np.nan),
            ["--captions-per-image", "5"],
            "row 0, column 0 is nan (5 in all)",
        ),
        (np.ones((2, 9)), ["--captions-per-image", "5"], "has 9 columns, but 2 images"),
        (np.ones((2, 9)), [], "add --captions-per-image 5 or --caption-to-image FILE"),
        (np.ones((2, 9)), ["--captions-per-image", "0"], "not a whole number of at least 1"),
        (np.ones((2, 2)), ["--captions-per-image", "1", "--k", "0"], "at least 1"),
        (np.ones((2, 2)), ["--captions-per-image", "1", "--xi", "nan"], "'nan' is not a number"),
        (np.ones((2, 2)), ["--captions-per-image", "1", "--w-rank", "-1"], "of at least 0"),
        (np.ones((2, 2)), ["--captions-per-image", "1", "--reverse", "paper"], "invalid choice"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, written, arguments, message):
    path = tmp_path / "sims.npy"
    if isinstance(written, bytes):
        path.write_bytes(written)
    elif written is not None:
        np.save(path, written, allow_pickle=True)
    try:
        status = cli.run(main, ["--similarity", str(path), *arguments])
    except SystemExit as stop:  # of argparse
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def write_csv(path, array, form="%.9g"):
    np.savetxt(path, array, delimiter=",", fmt=form)


def test_csv_and_torch_files_are_read_as_numpy_files(saved):
    similarity = np.load(saved / "0_test_similarity.npy")
    own = np.load(saved / "0_test_caption_to_image.npy")
    paths = [saved / f"sims.{kind}" for kind in ("npy", "csv", "pt")]
    np.save(paths[0], similarity)
    write_csv(paths[1], similarity)
    torch.save(torch.from_numpy(similarity), paths[2])
    images = [saved / f"images.{kind}" for kind in ("npy", "csv", "pt")]
    np.save(images[0], own)
    write_csv(images[1], own, "%d")
    torch.save(torch.from_numpy(own), images[2])
    for path, image in zip(paths, images, strict=True):
        part = read_part(path, caption_to_image=image)
        np.testing.assert_array_equal(part.similarity.astype(np.float32), similarity)
        np.testing.assert_array_equal(part.caption_to_image, own)
    torch.save(torch.from_numpy(similarity).bfloat16(), paths[2])
    np.testing.assert_allclose(read_part(paths[2], 5).similarity, similarity, rtol=0.01)


class Mischief:
    def __reduce__(self):
        return print, ("loaded",)


@pytest.mark.parametrize(
    ("kind", "write", "message"),
    [
        ("csv", lambda path: path.write_text("a,b\n1,2\n"), "is not an array of numbers"),
        ("csv", lambda path: path.write_text("1,2\n3\n"), "is not an array of numbers"),
        ("csv", lambda path: path.write_text(""), "of shape (0, 1), not similarities"),
        ("csv", lambda path: path.write_text("0.1,nan\n"), "row 0, column 1 is nan"),
        ("pt", lambda path: path.write_bytes(b"text"), "cannot be loaded: damaged"),
        ("pt", lambda path: torch.save(Mischief(), path), "or not a single tensor"),
        ("pt", lambda path: torch.save({"sims": torch.ones(1, 5)}, path), "a dict, not a tensor"),
        ("pt", lambda path: torch.save(torch.ones(5), path), "float32 of shape (5,)"),
        ("pt", lambda path: torch.save(torch.ones(1, 5) * 1j, path), "complex64 of shape (1, 5)"),
        ("pt", lambda path: torch.save(torch.eye(5).to_sparse(), path), "is not an array"),
    ],
)
def test_bad_csv_and_torch_files_are_one_line(tmp_path, capsys, kind, write, message):
    path = tmp_path / f"sims.{kind}"
    write(path)
    for command in (main, compare_main):
        assert cli.run(command, ["--similarity", str(path), "--captions-per-image", "5"]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
        assert printed.out == ""  # nothing was loaded


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([0, 0, 1], "int64 of shape (3,)"),
        ([0.0, 0.0, 1.0, 1.0], "float64 of shape (4,)"),
        ([0, 0, 1, 2], "image indices from 0 to 2"),
        ([0, 0, 0, 0], "image 1 has no caption"),
    ],
)
def test_captions_that_do_not_fit_are_one_line(tmp_path, capsys, images, message):
    np.save(tmp_path / "sims.npy", np.ones((2, 4)))
    np.save(tmp_path / "images.npy", np.array(images))
    arguments = ["--similarity", f"{tmp_path}/sims.npy"]
    assert cli.run(main, [*arguments, "--caption-to-image", f"{tmp_path}/images.npy"]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_command_is_one_line(capsys):
    assert cli.run(main, ["tune"]) == 2
    assert "no command 'tune'" in capsys.readouterr().err


def test_runs_as_a_module(saved):
    done = subprocess.run(
        [sys.executable, "-m", "postprocessing.rerank",
         "--similarity", saved / "0_test_similarity.npy"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "with re-ranking" in done.stdout
