import csv
import json
import math

import numpy as np
import pytest
import torch

from galr.common import cli
from galr.data.annotations import caption_groups
from galr.metrics.retrieval import Ranks, metrics_of_ranks, retrieval_metrics
from postprocessing.compare import main
from postprocessing.comparison import PairedBootstrap, hubness, k_occurrences
from postprocessing.methods import METHODS
from postprocessing.tuning import GRIDS
from tests.postprocessing.method_loops import scores


def write_features(folder, images, seed, with_text=True):
    r = np.random.default_rng(seed)
    image = r.standard_normal((images, 8))
    caption = np.repeat(image, 3, axis=0) + 1.2 * r.standard_normal((images * 3, 8))
    order = r.permutation(images * 3)
    folder.mkdir()
    for name, rows in (("images", image), ("captions", caption[order])):
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(folder / f"{name}.npy", rows.astype(np.float32))
    np.save(folder / "caption_to_image.npy", (np.arange(images * 3) // 3)[order])
    if with_text:
        text = "".join(f"caption {number % 20}\n" for number in range(images * 3))
        (folder / "captions.txt").write_text(text)
    return folder


@pytest.fixture
def folders(tmp_path):
    sizes = {"test": 20, "validation": 12, "train": 25}
    return {
        name: write_features(tmp_path / name, images, number)
        for number, (name, images) in enumerate(sizes.items())
    }


def compared(folders, tmp_path, *more):
    out = tmp_path / "compared"
    main(["--features", str(folders["test"]), "--draws", "50", "--out", str(out), *more])
    rows = json.loads((out / "compare.json").read_text())["methods"]
    return {row["name"]: row for row in rows}, out


def test_every_method_with_and_without_a_bank(folders, tmp_path, capsys):
    rows, out = compared(folders, tmp_path, "--bank", str(folders["train"]))
    expected = [
        name + bank
        for name, method in METHODS.items()
        for bank in ("", ", bank")
        if not (bank == "" and method.bank == "required") and not (bank and method.bank == "never")
    ]
    assert sorted(rows) == sorted(expected)
    assert rows["nnn"]["reads"] == "the other test queries"
    assert rows["nnn, bank"]["reads"] == rows["dual_bank, bank"]["reads"] == "a bank"
    test, train = folders["test"], folders["train"]
    images, captions, bank_images, bank_captions = (
        np.load(folder / f"{name}.npy")
        for folder in (test, train)
        for name in ("images", "captions")
    )
    own = np.load(test / "caption_to_image.npy")
    groups = caption_groups((test / "captions.txt").read_text().splitlines())
    numbers = {"beta": 20.0, "neighbours": 10, "alpha": 0.75, "activation": 1}
    both = (
        (images @ captions.T, bank_images @ captions.T, bank_captions @ captions.T),
        (captions @ images.T, bank_captions @ images.T, bank_images @ images.T),
    )
    for name in ("none", "csls", "nnn, bank", "dual_bank, bank", "qb_norm, bank"):
        method, _, bank = name.partition(", ")
        i2t, t2i = (
            np.array(scores(method, s, first if bank else None, second, **numbers))
            for s, first, second in both
        )
        for kind, group in (("metrics", None), ("duplicate_aware", groups)):
            a, b = (retrieval_metrics(s, own, caption_group=group) for s in (i2t, t2i.T))
            for key, value in rows[name][kind].items():
                if key != "mR":
                    assert value == (a if key.startswith("i2t") else b)[key], (name, key)
    printed = capsys.readouterr().out
    assert "csls, bank" in printed
    assert "mR* gain over" in printed
    with (out / "compare.csv").open(newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert float(table["csls"]["mR"]) == rows["csls"]["metrics"]["mR"]
    assert float(table["csls"]["i2t_skewness"]) == rows["csls"]["hubness"]["i2t"]["skewness"]
    assert (out / "k_occurrences.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_are_chosen_on_validation_alone(folders, tmp_path):
    named = ["--bank", str(folders["train"]), "--validation", str(folders["validation"])]
    rows, _ = compared(folders, tmp_path, *named, "--methods", "nnn,qb_norm")
    assert [*rows] == [
        "none", "multivariate", "multivariate, bank", "nnn", "nnn, bank", "qb_norm",
        "qb_norm, bank",
    ]  # fmt: skip
    for row in rows.values():
        for name, values in GRIDS[row["method"]].items():
            assert row["parameters"][name] in values
    path = folders["test"] / "images.npy"
    np.save(path, -np.load(path))
    again, _ = compared(folders, tmp_path, *named, "--methods", "nnn,qb_norm")
    for name, row in rows.items():
        assert again[name]["parameters"] == row["parameters"]
    assert again["nnn"]["metrics"] != rows["nnn"]["metrics"]


def test_similarities_of_any_model(saved, tmp_path, capsys):
    path, out = saved / "0_test_similarity.npy", tmp_path / "out"
    s = np.load(path)
    np.save(saved / "bank_images.npy", s[:4])
    np.save(saved / "bank_captions.npy", s.T[:40])
    main([
        "--similarity", str(path), "--methods", "csls", "--draws", "20", "--out", str(out),
        "--bank-images", f"{saved}/bank_images.npy",
        "--bank-captions", f"{saved}/bank_captions.npy",
    ])  # fmt: skip
    rows = json.loads((out / "compare.json").read_text())["methods"]
    assert [row["name"] for row in rows] == [
        "none", "multivariate", "multivariate, bank", "csls", "csls, bank"
    ]  # fmt: skip
    own = np.load(saved / "0_test_caption_to_image.npy")
    assert rows[0]["metrics"] == retrieval_metrics(s, own)
    assert rows[0]["duplicate_aware"] is None
    assert "mR* minus" not in capsys.readouterr().out
    validation = str(saved / "0_validation_similarity.npy")
    main(["--similarity", str(path), "--methods", "csls", "--validation", validation])
    assert cli.run(main, ["--similarity", str(path), "--methods", "dual_bank"]) == 2
    assert "dual_bank: needs a bank of both modalities" in capsys.readouterr().err


def test_several_inputs_are_compared_one_by_one_and_averaged(folders, tmp_path, capsys):
    named = [str(folders[name]) for name in ("test", "validation")]
    out, again = tmp_path / "several", tmp_path / "single"
    more = ["--methods", "csls", "--bank", str(folders["train"]), "--draws", "20", "--out"]
    main(["--features", *named, *more, str(out)])
    printed = capsys.readouterr().out
    assert "mean of 2 ± standard deviation" in printed
    means = json.loads((out / "compare.json").read_text())
    assert means["runs"] == named
    runs = []
    for number, path in enumerate(named):
        main(["--features", path, *more, str(again)])
        alone = json.loads((again / "compare.json").read_text())
        found = json.loads((out / str(number) / "compare.json").read_text())
        assert found["input"] == path
        for row in (*alone["methods"], *found["methods"]):
            row.pop("seconds")
        assert found == alone
        runs.append({row["name"]: row for row in found["methods"]})
    for row in means["methods"]:
        values = [own[row["name"]]["metrics"]["mR"] for own in runs]
        assert row["metrics"]["mR"]["mean"] == pytest.approx(np.mean(values))
        assert row["metrics"]["mR"]["std"] == pytest.approx(np.std(values, ddof=1))
        gains = [own[row["name"]]["metrics"]["mR"] - own["none"]["metrics"]["mR"] for own in runs]
        if row["name"] != "none":
            assert row["mR_minus_none"]["mean"] == pytest.approx(np.mean(gains))
    assert means["methods"][-1]["name"] == "csls, bank"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "give either --similarity or --features"),
        (["--features", "F", "F", "F", "--bank", "F", "F"], "--bank: has 2 values; give 1 or 3"),
        (["--features", "F", "--similarity", "s.npy"], "give either --similarity or --features"),
        (["--features", "F", "--methods", "csls,best"], "no method 'best'"),
        (["--features", "F", "--captions", "F/images.npy"], "cannot be read"),
        (["--features", "F", "--captions", "F/short.txt"], "has 1 lines"),
        (["--features", "F", "--bank", "narrow"], "has embeddings of 4 and 8 dimensions"),
        (["--features", "F", "--bank", "bad"], "row 1, column 0 is nan"),
        (["--features", "nowhere"], "No such file"),
        (["--similarity", "F/images.npy", "--bank", "F"], "--bank: requires --features"),
    ],
)
def test_bad_input_is_one_line(more, message, folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders["test"].rename("F")
    (tmp_path / "F" / "short.txt").write_text("one\n")
    for name, rows in (("narrow", np.ones((3, 4))), ("bad", np.full((3, 8), np.nan))):
        (tmp_path / name).mkdir()
        rows[0] = 1
        np.save(tmp_path / name / "images.npy", rows)
        np.save(tmp_path / name / "captions.npy", np.ones_like(rows))
    assert cli.run(main, more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_hubness_of_known_counts():
    counts = np.array([0] * 150 + [1] * 48 + [30, 22])
    found = hubness(counts)
    mean = counts.mean()
    third = sum((c - mean) ** 3 for c in counts) / 200
    assert found.skewness == pytest.approx(
        third / (sum((c - mean) ** 2 for c in counts) / 200) ** 1.5
    )
    assert found.never == 75.0
    assert found.top == 52.0  # two of two hundred
    assert hubness(np.ones(5, dtype=np.int64)) == (0.0, 0.0, 20.0)
    first = torch.tensor([[0, 3], [3, 1]])
    assert k_occurrences(first, 5).tolist() == [1, 1, 0, 2, 0]


def loop_difference(one, two, own, images, draws, seed):
    """Draws of images with their captions, by the recalls' definition."""
    rng = np.random.default_rng(seed)
    found = []
    for counts in rng.multinomial(images, np.full(images, 1 / images), size=draws):
        i = np.repeat(np.arange(images), counts)
        c = np.concatenate([np.flatnonzero(own == image) for image in i])
        parts = [metrics_of_ranks(Ranks(each.i2t[i], each.t2i[c]))["mR"] for each in (one, two)]
        found.append(parts[0] - parts[1])
    return np.array(found)


def test_the_bootstrap_equals_drawing_images_with_their_captions():
    r = np.random.default_rng(0)
    own = np.sort(np.concatenate([np.arange(15), r.integers(0, 15, 25)]))  # uneven captions
    one, two = (
        Ranks(*(torch.from_numpy(r.integers(1, most, size)) for size in (15, 40)))
        for most in (15, 25)
    )
    found = PairedBootstrap(own, 15, draws=200, seed=3).difference(one, two)
    draws = loop_difference(one, two, own, 15, 200, 3)
    assert found.value == pytest.approx(metrics_of_ranks(one)["mR"] - metrics_of_ranks(two)["mR"])
    np.testing.assert_allclose((found.low, found.high), np.quantile(draws, (0.025, 0.975)))
    below = min((draws <= 1e-9).sum(), (draws >= -1e-9).sum())
    assert found.p == pytest.approx(min(1.0, 2 * (1 + below) / 201))
    same = PairedBootstrap(own, 15, draws=50).difference(one, one)
    assert same[:3] == (0.0, 0.0, 0.0)
    assert math.isclose(same.p, 1.0)
