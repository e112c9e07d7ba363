"""Documents, vocabulary and neighbours."""

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.skipthoughts_training.corpus import CorpusBuilder, caption_documents, text_documents

TEXT = """A plane is parked.
Two planes, near a runway!

\t
the river runs
a bridge crosses the river
a boat is on the river

a lone line
"""


def build(documents, excluded=(), max_words=64, **changes):
    builder = CorpusBuilder(max_words, excluded)
    builder.add_all(documents)
    settings = {"max_vocabulary": 100, "min_count": 1, "held_out_share": 0.0, "seed": 0} | changes
    return builder, builder.build(**settings)


def text_of(corpus, sentence):
    ids = corpus.tokens[corpus.starts[sentence] : corpus.starts[sentence + 1]]
    return " ".join(corpus.words[i - 1] for i in ids)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_blank_lines_part_documents(file):
    documents = [[line.strip() for line in document] for document in text_documents(file)]
    assert [len(document) for document in documents] == [2, 3, 1]
    assert documents[1][0] == "the river runs"


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(file, tmp_path):
    other = tmp_path / "windows.txt"
    other.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    ours, theirs = (build(text_documents(path))[1] for path in (file, other))
    assert ours.words == theirs.words
    assert np.array_equal(ours.tokens, theirs.tokens)
    assert np.array_equal(ours.document, theirs.document)


def test_neighbours_stay_in_their_document_and_lone_sentences_teach_nothing(file):
    _, corpus = build(text_documents(file))
    assert corpus.training.tolist() == [0, 1, 2, 3, 4]
    assert corpus.with_neighbour(corpus.training, -1).tolist() == [False, True, False, True, True]
    assert corpus.with_neighbour(corpus.training, 1).tolist() == [True, False, True, True, False]


def test_words_come_by_frequency_behind_the_end_and_the_unknown(file):
    _, corpus = build(text_documents(file))
    assert corpus.words[:4] == ("eos", "UNK", "a", "the")
    assert text_of(corpus, 1) == "two planes near a runway"


def test_rare_words_and_those_beyond_the_vocabulary_are_unknown(file):
    _, corpus = build(text_documents(file), min_count=2)
    assert text_of(corpus, 3) == "a UNK UNK the river"
    _, corpus = build(text_documents(file), max_vocabulary=1)
    assert corpus.words == ("eos", "UNK", "a")


def test_the_words_eos_and_unk_of_a_text_are_not_the_dictionarys():
    _, corpus = build([["eos UNK eos", "a plane"]])
    assert text_of(corpus, 0) == "UNK unk UNK"


def test_padded_gives_ids_and_lengths(file):
    _, corpus = build(text_documents(file))
    ids, lengths = corpus.padded(np.array([5, 2]))
    assert lengths.tolist() == [3, 3]
    ids, lengths = corpus.padded(np.array([2, 3]))
    assert ids.shape == (2, 5)
    assert ids[0, 3:].tolist() == [0, 0]
    assert corpus.padded(np.array([], np.int64))[0].shape == (0, 0)


def test_long_sentences_are_cut_and_counted(file):
    builder, corpus = build(text_documents(file), max_words=4)
    assert builder.truncated == 3
    assert np.diff(corpus.starts).max() == 4


def test_excluded_sentences_are_left_out_however_they_are_written(file):
    builder, corpus = build(text_documents(file), excluded=["The  RIVER runs ."])
    assert builder.left_out == 1
    assert all(text_of(corpus, s) != "the river runs" for s in range(len(corpus.document)))


def test_held_out_documents_are_whole_and_seeded():
    documents = [[f"a{i} b", f"c{i} d", f"e{i} f"] for i in range(40)]
    _, corpus = build(documents, held_out_share=0.25)
    parts = [set(corpus.document[part].tolist()) for part in (corpus.training, corpus.held_out)]
    assert not parts[0] & parts[1]
    assert [len(part) for part in parts] == [30, 10]
    assert np.array_equal(corpus.held_out, build(documents, held_out_share=0.25)[1].held_out)
    assert not np.array_equal(
        corpus.held_out, build(documents, held_out_share=0.25, seed=1)[1].held_out
    )


def test_words_of_held_out_documents_are_not_learnt():
    documents = [[f"a{i} b", f"c{i} d"] for i in range(40)]
    _, corpus = build(documents, held_out_share=0.5)
    held_out = {int(corpus.document[s]) for s in corpus.held_out}
    assert not {f"a{i}" for i in held_out} & set(corpus.words)


def test_held_out_sentences_that_training_has_too_are_counted():
    documents = [["a plane", "a river"] for _ in range(10)]
    assert build(documents, held_out_share=0.2)[1].held_out_repeats() == 4


@pytest.mark.parametrize(
    ("documents", "share", "message"),
    [
        ([], 0.0, "no document has two sentences"),
        ([["a"], ["b"]], 0.0, "no document has two sentences"),
        ([["a", "b"], ["c", "d"]], 0.05, "would hold out 0 of 2 documents"),
    ],
)
def test_too_little_text(documents, share, message):
    with pytest.raises(UserError, match=message):
        build(documents, held_out_share=share)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt: cannot be read"):
        list(text_documents(tmp_path / "nothing.txt"))
    (tmp_path / "bad.txt").write_bytes(b"a plane\n\xff\n")
    with pytest.raises(UserError, match=r"bad\.txt:2: is not UTF-8"):
        list(text_documents(tmp_path / "bad.txt"))


def test_captions_of_an_image_are_a_document_and_only_training_ones(tmp_path):
    for split, word in (("train", "plane"), ("test", "secret"), ("val", "hidden")):
        captions = [f"{word} {image} {c}" for image in "ab" for c in (1, 2, 2, 3, 4)]
        (tmp_path / f"{split}_caps.txt").write_text("\n".join(captions) + "\n")
        (tmp_path / f"{split}_filename.txt").write_text("a.tif\nb.tif\n")
    assert list(caption_documents(tmp_path)) == [
        [f"plane {image} {c}" for c in (1, 2, 3, 4)] for image in "ab"
    ]


def test_captions_of_all_real_sets(data_root):
    for name in ("rsicd", "rsitmd", "ucm", "sydney"):
        documents = list(caption_documents(data_root / f"{name}_precomp"))
        lines = (data_root / f"{name}_precomp" / "train_caps.txt").read_text().splitlines()
        assert {caption for document in documents for caption in document} == {
            line.strip() for line in lines
        } - {""}
