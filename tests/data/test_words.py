import hashlib
import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galr.common.errors import UserError
from galr.data.vocabulary import Vocabulary, build_vocabulary
from galr.language import words
from galr.language.words import PUNCTUATION, tokenize


def by_nltk(caption):
    sentences, tokenizer = words._tokenizers()
    return [
        token
        for sentence in sentences.tokenize(caption.lower())
        for token in tokenizer.tokenize(sentence)
        if token not in PUNCTUATION
    ]


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("Many planes are parked .", ["many", "planes", "are", "parked"]),
        ("a pond. it is green.", ["a", "pond", "it", "is", "green"]),
        (
            "there are 3.5 fields, (two) are bare!",
            ["there", "are", "3.5", "fields", "two", "are", "bare"],
        ),
        ("it's the water's edge", ["it", "'s", "the", "water", "'s", "edge"]),
        ("one can't see", ["one", "ca", "n't", "see"]),
        ("they cannot park", ["they", "can", "not", "park"]),
        ("well-kept trees", ["well-kept", "trees"]),
        (" . ", []),
        ("", []),
    ],
)
def test_tokens(caption, tokens):
    assert tokenize(caption) == tokens


pieces = st.sampled_from(
    [
        "a",
        "many",
        "cannot",
        "gonna",
        "gottas",
        "3",
        ".",
        "..",
        ",",
        "it's",
        " ",
        "  ",
        "\t",
        "U.S.",
        "?",
    ]
)


@given(st.lists(pieces, max_size=8).map("".join))
@example("wanna")
@example("a etc.")
@example("a .")
@example("plane.  ")
def test_plain_captions_take_a_short_way_to_the_same_tokens(caption):
    assert tokenize(caption) == by_nltk(caption)


def test_ids_follow_first_appearance_and_unknown_is_last():
    captions = ["trees near a river", "river and trees", "river river .", "trees", "bridges"]
    vocabulary = build_vocabulary(captions, threshold=3)
    assert vocabulary.words == ("trees", "river", "<unk>")
    assert vocabulary.encode("the trees . river") == [3, 1, 2]
    assert len(vocabulary) == 4
    assert vocabulary.unknown == 3


def test_stop_words_are_left_out_unless_kept():
    captions = ["the trees are near the river"]
    assert build_vocabulary(captions, threshold=1).words == ("trees", "near", "river", "<unk>")
    kept = build_vocabulary(captions, threshold=1, stop_words=True)
    assert kept.words == ("the", "trees", "are", "near", "river", "<unk>")


@given(st.lists(st.sampled_from(["red roof .", "red tree", "tree , tree", "."]), max_size=30))
def test_counts_are_those_of_every_caption(captions):
    counts = Counter(token for caption in captions for token in tokenize(caption))
    expected = [word for word, count in counts.items() if count >= 4]
    assert list(build_vocabulary(captions, threshold=4).words[:-1]) == expected


def test_saved_format_is_the_released_one(tmp_path):
    path = tmp_path / "v.json"
    Vocabulary(["red", "tree", "<unk>"]).save(path)
    assert json.loads(path.read_text()) == {
        "word2idx": {"red": 1, "tree": 2, "<unk>": 3},
        "idx2word": {"1": "red", "2": "tree", "3": "<unk>"},
        "idx": 4,
    }
    assert Vocabulary.load(path).words == ("red", "tree", "<unk>")


@pytest.mark.parametrize("name", ["rsitmd", "rsicd"])
def test_released_vocabularies_come_out_exactly(data_root, name):
    folder = data_root / f"{name}_precomp"
    captions = [
        line
        for split in ("train", "test")
        for line in (folder / f"{split}_caps.txt").read_text().splitlines()
    ]
    released = json.loads((folder / "reference_vocab.json").read_text())["word2idx"]
    assert build_vocabulary(captions).words == tuple(released)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "there is no such vocabulary"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "missing key 'word2idx'"),
        ('{"word2idx": {"a": 1, "b": 3, "<unk>": 2, "c": "x"}}', "are not 1 to 4"),
        ('{"word2idx": {"a": 0, "<unk>": 1}}', "are not 1 to 2"),
        ('{"word2idx": {"a": 1, "b": 2}}', "missing word <unk>"),
    ],
)
def test_files_that_are_no_vocabulary(tmp_path, content, what):
    path = tmp_path / "v.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"v\.json: .*vocab\.py") as caught:
        Vocabulary.load(path)
    assert what in str(caught.value)


def test_stop_words_are_those_of_the_released_vocabularies():
    digest = hashlib.sha256(" ".join(sorted(words.STOP_WORDS)).encode()).hexdigest()
    assert len(words.STOP_WORDS) == 179
    assert digest == "0c98fde29ffc5a2e6d736e91f1af1d22191952a34501cf24a1e44de651946861"


def test_a_word_twice_is_refused():
    with pytest.raises(ValueError, match="duplicate"):
        Vocabulary(["a", "a", "<unk>"])
