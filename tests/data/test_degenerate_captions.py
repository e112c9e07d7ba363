"""Captions that say nothing to a model are told of; other languages are split by an option."""

import json

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.data.annotations import Annotations
from galr.data.captions import Captions
from galr.data.vocabulary import Vocabulary, build_vocabulary, read_tokenizer
from galr.language.words import tokenize
from galr.options import load_options
from galr.preparation.check import check_folder, described
from tests.tiny import make_data, run_module, run_script

CHINESE = "许多绿树围绕着2栋A座建筑。"
WORDS = Vocabulary(["plane", "<unk>"])


def annotations(*captions):
    images = tuple(f"{number}.png" for number in range(len(captions)))
    return Annotations("train", images, captions, np.arange(len(captions)))


@pytest.mark.parametrize(
    ("tokenizer", "caption", "tokens"),
    [
        ("nltk", "Two planes, parked.", ["two", "planes", "parked"]),
        ("whitespace", "Beaucoup d'arbres, «verts» !", ["beaucoup", "d'arbres", "verts"]),
        ("whitespace", "Много  деревьев.", ["много", "деревьев"]),
        ("characters", CHINESE, [*"许多绿树围绕着", "2", "栋", "a", *"座建筑"]),
        ("characters", "。 ,", []),
    ],
)
def test_a_caption_is_split_as_the_option_says(tokenizer, caption, tokens):
    assert tokenize(caption, tokenizer) == tokens


def test_a_vocabulary_keeps_its_tokeniser(tmp_path):
    vocabulary = build_vocabulary([CHINESE] * 5, tokenizer="characters")
    vocabulary.save(tmp_path / "v.json")
    again = Vocabulary.load(tmp_path / "v.json")
    assert again.tokenizer == "characters"
    assert (
        again.words == vocabulary.words == (*"许多绿树围绕着", "2", "栋", "a", *"座建筑", "<unk>")
    )
    assert again.encode("绿树。") == [again.words.index("绿") + 1, again.words.index("树") + 1]
    WORDS.save(tmp_path / "plain.json")
    assert "tokenizer" not in json.loads((tmp_path / "plain.json").read_text())


def test_another_tokeniser_than_the_vocabulary_has_is_an_error(tmp_path):
    options = make_data(tmp_path)
    with pytest.raises(UserError, match=r"by the tokeniser nltk, and dataset\.tokenizer is char"):
        read_tokenizer(load_options(options, ["dataset.tokenizer=characters"]))


def test_captions_of_unknown_words_are_told_of(caplog):
    Captions(annotations(*["a plane"] * 99, "ship"), WORDS, 10)
    assert "no word of the vocabulary" not in caplog.text
    Captions(annotations("a plane", "ship", "."), WORDS, 10)
    assert "train captions: 2 of 3 have no word of the vocabulary" in caplog.text
    with pytest.raises(UserError, match=r"none of the 2 has a word of the vocabulary"):
        Captions(annotations(CHINESE, "ship"), WORDS, 10)


def test_one_caption_for_everything_is_told_of(caplog):
    Captions(annotations("a plane"), WORDS, 10)
    assert not caplog.records
    Captions(annotations("a plane", "a plane"), WORDS, 10)
    assert "all 2 read alike" in caplog.text


def test_a_data_set_in_chinese_is_refused_or_read_by_its_characters(tmp_path):
    options = make_data(tmp_path)
    data = tmp_path / "data" / "tiny_precomp"
    for split, count in (("train", 20), ("test", 6)):
        lines = [f"{'红蓝'[number % 2]}色的正方形{number}。" for number in range(2 * count)]
        (data / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    train = ("train.py", "--path_opt", options, "--set", "optim.epochs=1", "--set", "k_fold.nums=1")
    done = run_script(*train)
    assert done.returncode == 2
    assert "none of the 32 has a word of the vocabulary" in done.stderr
    done = run_module("galr.data", "check", data, "--no-images")
    assert done.returncode == 2
    assert "train_caps.txt: no caption has a word of the vocabulary" in done.stderr
    done = run_script("vocab.py", "--path_opt", options)
    assert done.returncode == 2
    assert "no word is frequent enough" in done.stderr
    own = ("--set", "dataset.tokenizer=characters")
    assert run_script("vocab.py", "--path_opt", options, *own).returncode == 0
    report = check_folder(data, None, tmp_path / "vocab.json")
    assert report["splits"]["train"]["captions_of_unknown_words_only"] == 0
    assert "captions of unknown words only" in described(report)
    done = run_script(*train, *own)
    assert done.returncode == 0, done.stderr
