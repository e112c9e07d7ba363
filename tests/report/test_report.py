"""The report as people make and read it."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from galr.common.cli import run
from galr.common.errors import RunError
from galr.data.vocabulary import Vocabulary
from galr.evaluation.evaluator import evaluate_experiment
from galr.model.build import build_model
from galr.options import load_options
from galr.options.reading import options_from_dict
from galr.report.__main__ import main
from galr.report.chance import chance_curves
from galr.report.page import part, table
from galr.report.paper import PAPER
from galr.report.write import report_of_test

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """Tags that are open when the page ends or closed in a wrong order, addresses, texts."""

    def __init__(self, text):
        super().__init__()
        self.scripts = 0
        self.open, self.wrong, self.addresses, self.images, self.texts = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.scripts += tag == "script" or any(name.startswith("on") for name in attrs)
        if tag not in ("img", "meta"):
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs)
        self.addresses += [attrs[name] for name in ("src", "href") if name in attrs]

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def read(path):
    page = Page(Path(path).read_text())
    assert page.wrong == []
    assert page.open == []
    return page


def failing(capsys, *arguments):
    """The one line of an error with status 2."""
    assert run(main, [str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def made(experiment, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "page.html"
    assert run(main, [str(experiment), "--out", str(out)]) == 0
    return out


def test_the_page_is_whole_and_loads_nothing(made):
    page = read(made)
    for address in page.addresses:
        assert address.startswith(("data:image/", "#")), address[:80]
    assert 'http-equiv="Content-Security-Policy"' in made.read_text()
    assert all(image["alt"] for image in page.images)
    assert made.stat().st_size < 10_000_000


def test_every_figure_has_its_numbers_beside_the_page(made):
    names = {path.name for path in (made.parent / "page_files").iterdir()}
    figures = {"recall", "recall_at_k", "rank_histogram", "similarities", "training_curves"}
    figures |= {"rerank_moves", "attention"}
    for figure in figures:
        assert {f"{figure}.png", f"{figure}.svg", f"{figure}.csv"} <= names
    assert {"objects_1.png", "objects_1.csv", "queries_t2i.csv"} <= names
    assert not any(name.endswith(".tmp") for name in names)


def test_a_test_gives_the_report_its_similarities(experiment, tmp_path, monkeypatch):
    options = load_options(experiment / "0" / "options.yaml")
    out = tmp_path / "k50.json"
    similarities = evaluate_experiment(options, out).similarities
    assert sorted(similarities) == [0, 1]
    monkeypatch.setattr("galr.evaluation.trained_fold.encode_part", None)
    assert report_of_test(options, similarities, out) == tmp_path / "k50_report.html"
    results = json.loads(out.read_text())
    with (tmp_path / "k50_report_files" / "recall.csv").open(newline="") as file:
        rows = {(row["part"], row["variant"]): row for row in csv.DictReader(file)}
    for variant in ("without_rerank", "with_rerank"):
        for row_name in ("mean", "std"):
            row = rows[f"{row_name} of 2", variant]
            for name in ("i2t_r1", "t2i_r10", "mR"):
                assert float(row[name]) == pytest.approx(results[row_name][variant][name], abs=1e-9)


def test_another_method_with_a_bank_has_the_recalls_of_the_test(experiment, tmp_path):
    overrides = ["rerank.method=csls", "rerank.bank=train", "rerank.tune=validation"]
    options = load_options(experiment / "0" / "options.yaml", overrides)
    out = tmp_path / "csls.json"
    similarities = evaluate_experiment(options, out).similarities
    page = report_of_test(options, similarities, out)
    assert "csls, which reads a bank (train); numbers chosen on each fold" in page.read_text()
    results = json.loads(out.read_text())
    with (tmp_path / "csls_report_files" / "recall.csv").open(newline="") as file:
        rows = {(row["part"], row["variant"]): row for row in csv.DictReader(file)}
    for name in ("i2t_r1", "i2t_r5", "t2i_r1", "t2i_r5", "mR"):
        expected = results["mean"]["with_rerank"][name]
        assert float(rows["mean of 2", "with_rerank"][name]) == pytest.approx(expected, abs=1e-9)


def test_bad_input_is_told_in_one_line(capsys, experiment, tmp_path):
    assert "there is no such experiment" in failing(capsys, tmp_path / "none")
    assert "holds no checkpoints" in failing(capsys, tmp_path)
    assert "there is no fold 7" in failing(capsys, experiment, "--fold", "7")
    assert "name the experiment" in failing(capsys, experiment / "0")
    assert "is a folder" in failing(capsys, experiment, "--out", tmp_path)
    missing = failing(capsys, experiment, "--set", "dataset.data_path=nowhere")
    assert "nowhere: there is no such data folder" in missing
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "best.pth").write_bytes(b"no checkpoint")
    assert "best.pth" in failing(capsys, tmp_path)


def test_damaged_results_and_logs_are_named(capsys, experiment, tmp_path):
    fold = tmp_path / "0"
    fold.mkdir()
    (fold / "best.pth").write_bytes((experiment / "0" / "best.pth").read_bytes())
    (fold / "log.csv").write_text("epoch,loss\n0,much\n")
    assert "log.csv: is not a log" in failing(capsys, tmp_path)
    for content in ("[]", "{", '{"options": {}, "versions": []}'):
        (tmp_path / "results.json").write_text(content)
        assert "results.json: is not what test.py writes" in failing(capsys, tmp_path)


def test_texts_are_escaped():
    bad = "<script>alert('x')</script>"
    figure = part("figure", bad + '"', bad + '"', bad)
    for html in (part("note", bad), figure, table([bad], [[bad, bad]], bad)):
        assert "<script" not in html
        assert '""' not in html


def test_the_papers_numbers_are_those_of_the_documentation():
    text = (ROOT / "docs" / "reproduce.md").read_text()
    rows = re.findall(r"\| (RSITMD|RSICD) \| GaLR( with rerank)? \| ([\d. |]+) \|", text)
    documented = {
        (name.lower(), "with_rerank" if rerank else "without_rerank"): tuple(
            map(float, numbers.split("|"))
        )
        for name, rerank, numbers in rows
    }
    ours = {(name, variant): row for name, by in PAPER.items() for variant, row in by.items()}
    assert documented == ours


def test_chance_against_random_orders():
    own = np.array([0, 0, 0, 1, 1, 2])
    rng = np.random.default_rng(0)
    found = np.zeros((2, 4))
    orders = 4000
    for _ in range(orders):
        order = own[rng.permutation(len(own))]
        for image in range(3):
            first = int(np.argmax(order == image))
            found[0] += np.arange(4) >= first
        place = rng.permutation(3)
        found[1] += (np.arange(4) >= place[own][:, None]).mean(axis=0)
    curves = chance_curves(own, 4)
    np.testing.assert_allclose(curves["i2t"], 100 * found[0] / orders / 3, atol=2)
    np.testing.assert_allclose(curves["t2i"], 100 * found[1] / orders, atol=2)


def test_hostile_names_and_captions_stay_text_without_rerank(experiment, tmp_path):
    data = tmp_path / "data"
    source = experiment.parents[1] / "data" / "tiny_precomp"
    (data / "images").mkdir(parents=True)
    bad = '<script>alert(1)</script> $\\frac$ & "it\'s" 机场 \x07'
    names = (source / "test_filename.txt").read_text().split()
    new = [f"<img src=x onerror=alert({number})>_{number}.png" for number in range(len(names))]
    for old, name in zip(names, new, strict=True):
        (data / "images" / name).write_bytes((source / "images" / old).read_bytes())
    (data / "test_filename.txt").write_text("\n".join(new) + "\n")
    captions = (source / "test_caps.txt").read_text().splitlines()
    (data / "test_caps.txt").write_text("\n".join(f"{text} {bad}" for text in captions) + "\n")
    out = tmp_path / "page.html"
    options = {"dataset.data_path": data, "dataset.local_path": "zeros"}
    options |= {"rerank.enabled": "false", "k_fold.nums": 1}
    arguments = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    assert run(main, [str(experiment), *arguments, "--out", str(out)]) == 0
    page = read(out)
    told = " ".join(page.texts)
    assert "off (rerank.enabled)" in told
    assert "with rerank" not in told
    assert "The local branch was given no objects" in told
    assert page.scripts == 0
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert any(bad.split("\x07")[0].strip() in text for text in page.texts)


def test_a_missing_image_is_named(capsys, experiment, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    source = experiment.parents[1] / "data" / "tiny_precomp" / "images"
    for path in source.glob("test_*.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "test_3.png").unlink()
    told = failing(capsys, experiment, "--set", f"dataset.image_path={folder}")
    assert "test_3.png" in told


def test_one_checkpoint_of_the_global_branch_alone(experiment, tmp_path):
    """No local features, no MVSA, no log; weights that nobody trained."""
    tree = load_options(experiment / "0" / "options.yaml").model_dump(mode="json")
    tree["dataset"]["local_path"] = None
    tree["model"]["multiscale"]["enabled"] = False
    options = options_from_dict(tree, "test")
    vocabulary = Vocabulary.load(options.dataset.vocab_path)
    torch.manual_seed(0)
    model = build_model(options, vocabulary.words)
    torch.save(
        {"model": model.state_dict(), "options": tree, "vocabulary": list(vocabulary.words)},
        tmp_path / "noise.pth",
    )
    assert run(main, [str(tmp_path / "noise.pth")]) == 0
    text = " ".join(read(tmp_path / "report.html").texts)
    assert "noise.pth: report" in text
    assert "This model has no local branch" in text
    assert "This model has no MVSA" in text
    assert "There is no log.csv" in text


def test_what_stands_against_the_report_is_said(experiment, tmp_path, monkeypatch):
    options = load_options(experiment / "0" / "options.yaml")
    out = tmp_path / "file" / "results.json"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match="cannot be written") as caught:
        report_of_test(options, {0: torch.ones(6, 12), 1: torch.ones(6, 12)}, out)
    assert f"python -m galr.report {experiment} tries again" in str(caught.value)
    monkeypatch.setattr("galr.report.write.evaluate_folds", None)
    with pytest.raises(RunError, match=r"no report was written \(TypeError: "):
        report_of_test(options, {})
