"""Sentence encoders of the optional package, on a tiny model in a local folder."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from galr import build_skipthoughts
from galr.common.errors import UserError
from galr.data.annotations import Annotations, read_lines
from galr.data.captions import Captions
from galr.data.vocabulary import RawText
from galr.encoders import pretrained_sentences
from galr.evaluation.evaluator import evaluate_experiment
from galr.model.build import build_model, load_model
from galr.options import load_options
from galr.trained_model import load
from galr.training.trainer import Trainer
from tests.model.tiny import tiny_options
from tests.tiny import make_data

# what the package and its own dependencies remark about themselves
pytestmark = pytest.mark.filterwarnings("ignore")

KIND = "sentence-transformers"
WORDS = ("plane", "runway", "harbor", "ship", "the", "at", "[UNK]")
CAPTIONS = ["a plane at the runway", "The ships, harbor!", "runway"]


def as_tokens(captions):
    annotations = Annotations("test", ("a.png",), tuple(captions), np.zeros(len(captions), int))
    return Captions(annotations, RawText(), max_words=2).padded(range(len(captions)))


TOKENS, LENGTHS = as_tokens(CAPTIONS)


def installed() -> bool:
    return importlib.util.find_spec("sentence_transformers") is not None


needs_package = pytest.mark.skipif(not installed(), reason="sentence-transformers is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A BERT of two layers and 16 numbers with random weights, saved by the package."""
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel, BertTokenizer

    root = tmp_path_factory.mktemp("model")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS[:-1]]
    (root / "vocab.txt").write_text("\n".join(pieces) + "\n")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
    )
    BertModel(config).save_pretrained(root / "bert")
    BertTokenizer(str(root / "vocab.txt")).save_pretrained(root / "bert")
    bert = models.Transformer(str(root / "bert"))
    whole = SentenceTransformer(modules=[bert, models.Pooling(16)], device="cpu")
    whole.save(str(root / "saved"))
    return root / "saved"


@needs_package
def test_gives_the_packages_own_vectors_of_the_raw_captions(folder):
    from sentence_transformers import SentenceTransformer

    encoder = build_skipthoughts(KIND, folder).eval()
    assert encoder.sentence_dim == 16
    own = SentenceTransformer(str(folder), device="cpu").encode(CAPTIONS, convert_to_tensor=True)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(TOKENS, LENGTHS), own, rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder(TOKENS), own, rtol=0, atol=1e-5)


@needs_package
@pytest.mark.parametrize("fixed", [False, True])
def test_trains_unless_it_is_fixed(folder, fixed):
    encoder = build_skipthoughts(KIND, folder, fixed_embedding=fixed).train()
    vectors = encoder(TOKENS, LENGTHS)
    assert vectors.requires_grad != fixed
    assert encoder.model.training != fixed
    if not fixed:
        vectors.sum().backward()
        assert any(parameter.grad is not None for parameter in encoder.parameters())


@needs_package
def test_wrong_captions_are_refused(folder):
    encoder = build_skipthoughts(KIND, folder)
    with pytest.raises(ValueError, match="token id 257 is outside"):
        encoder(torch.tensor([[257]]))
    with pytest.raises(ValueError, match="caption 0 of the batch is empty"):
        encoder(torch.tensor([[0, 0]]))
    assert encoder(torch.empty(0, 2, dtype=torch.int64)).shape == (0, 16)


@needs_package
def test_a_checkpoint_keeps_what_was_trained(folder, tmp_path):
    options = tiny_options(
        model__seq2vec__type=KIND,
        model__seq2vec__pretrained=True,
        model__seq2vec__dir_st=str(folder),
        dataset__local_path=None,
    )
    model = build_model(options, ()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    torch.save(
        {
            "model": model.state_dict(),
            "options": options.model_dump(mode="json"),
            "vocabulary": [],
        },
        tmp_path / "best.pth",
    )
    loaded = load_model(tmp_path / "best.pth", words=())
    with torch.inference_mode():
        expected, found = (each.encode_text(TOKENS, LENGTHS) for each in (model, loaded))
    assert torch.equal(expected, found)


@needs_package
def test_a_checkpoint_of_captions_without_stop_words_is_refused(folder, tmp_path):
    options = tiny_options(
        model__seq2vec__type=KIND,
        model__seq2vec__pretrained=True,
        model__seq2vec__dir_st=str(folder),
        dataset__local_path=None,
    )
    checkpoint = {
        "model": build_model(options, ()).state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": ["plane", "<unk>"],
    }
    torch.save(checkpoint, tmp_path / "best.pth")
    with pytest.raises(UserError, match="was trained by an earlier version"):
        load_model(tmp_path / "best.pth")


@needs_package
def test_a_training_reads_raw_captions_and_needs_no_vocabulary(folder, tmp_path, monkeypatch):
    path = make_data(tmp_path)
    seen = []
    forward = pretrained_sentences.PretrainedSentences.forward

    def watched(encoder, tokens, lengths=None):
        rows = zip(tokens.tolist(), lengths.tolist(), strict=True)
        seen.extend(RawText.decode(row[:length]) for row, length in rows)
        return forward(encoder, tokens, lengths)

    monkeypatch.setattr(pretrained_sentences.PretrainedSentences, "forward", watched)
    changes = [f"model.seq2vec.type={KIND}", "model.seq2vec.pretrained=true",
               f"model.seq2vec.dir_st={folder}", "dataset.vocab_path=nowhere.json", "device=cpu",
               "k_fold.nums=1", "optim.epochs=1"]  # fmt: skip
    options = load_options(path, changes)
    Trainer(options).fit()
    evaluate_experiment(options)
    assert "there is one square , it is red" in seen
    data = Path(options.dataset.data_path)
    written = [line for part in ("train", "test") for line in read_lines(data / f"{part}_caps.txt")]
    assert set(seen) <= set(written)
    encoder = load(options.experiment_folder / "0" / "best.pth")
    assert encoder.knows_a_word("an unseen word")
    assert encoder.unknown_words("an unseen word") == []
    assert encoder.texts(["a red square", "harbor"]).shape == (2, 16)


@needs_package
def test_a_folder_that_holds_no_model(tmp_path):
    with pytest.raises(UserError, match=r"holds no sentence-transformers model"):
        build_skipthoughts(KIND, tmp_path)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(UserError, match="cannot be read by sentence-transformers") as error:
        build_skipthoughts(KIND, tmp_path)
    assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        build_skipthoughts(KIND, tmp_path)
    assert str(error.value) == (
        "model.seq2vec.type: sentence-transformers: the optional package sentence-transformers is "
        "not installed; pip install sentence-transformers, or choose another type"
    )


def test_without_a_folder_it_says_that_one_is_needed():
    with pytest.raises(UserError, match="cannot be initialised at random"):
        build_skipthoughts(KIND, None)
