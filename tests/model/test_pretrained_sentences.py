"""Sentence encoders of the optional package, on a tiny model in a local folder."""

import importlib.util
from pathlib import Path

import pytest
import torch

from galr import build_skipthoughts
from galr.errors import UserError
from galr.model import pretrained_sentences
from galr.model.build import build_model, load_model
from tests.model.tiny import tiny_options

# what the package and its own dependencies remark about themselves
pytestmark = pytest.mark.filterwarnings("ignore")

KIND = "sentence-transformers"
WORDS = ("plane", "runway", "harbor", "ship", "<unk>")
TOKENS, LENGTHS = torch.tensor([[1, 2, 0], [5, 4, 3], [2, 0, 0]]), torch.tensor([2, 3, 1])


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
def test_gives_the_packages_own_vectors(folder):
    from sentence_transformers import SentenceTransformer

    encoder = build_skipthoughts(KIND, folder, WORDS).eval()
    assert encoder.sentence_dim == 16
    own = SentenceTransformer(str(folder), device="cpu").encode(
        ["plane runway", "[UNK] ship harbor", "runway"], convert_to_tensor=True
    )
    with torch.inference_mode():
        torch.testing.assert_close(encoder(TOKENS, LENGTHS), own, rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder(TOKENS), own, rtol=0, atol=1e-5)


@needs_package
@pytest.mark.parametrize("fixed", [False, True])
def test_trains_unless_it_is_fixed(folder, fixed):
    encoder = build_skipthoughts(KIND, folder, WORDS, fixed_embedding=fixed).train()
    vectors = encoder(TOKENS, LENGTHS)
    assert vectors.requires_grad != fixed
    assert encoder.model.training != fixed
    if not fixed:
        vectors.sum().backward()
        assert any(parameter.grad is not None for parameter in encoder.parameters())


@needs_package
def test_wrong_captions_are_refused(folder):
    encoder = build_skipthoughts(KIND, folder, WORDS)
    with pytest.raises(ValueError, match="token id 6 is outside"):
        encoder(torch.tensor([[6]]))
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
    model = build_model(options, WORDS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    torch.save(
        {
            "model": model.state_dict(),
            "options": options.model_dump(mode="json"),
            "vocabulary": list(WORDS),
        },
        tmp_path / "best.pth",
    )
    loaded = load_model(tmp_path / "best.pth", words=WORDS)
    with torch.inference_mode():
        expected, found = (each.encode_text(TOKENS, LENGTHS) for each in (model, loaded))
    assert torch.equal(expected, found)


@needs_package
def test_a_folder_that_holds_no_model(tmp_path):
    with pytest.raises(UserError, match=r"holds no sentence-transformers model"):
        build_skipthoughts(KIND, tmp_path, WORDS)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(UserError, match="cannot be read by sentence-transformers") as error:
        build_skipthoughts(KIND, tmp_path, WORDS)
    assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained_sentences.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        build_skipthoughts(KIND, tmp_path, WORDS)
    assert str(error.value) == (
        "model.seq2vec.type: sentence-transformers: the optional package sentence-transformers is "
        "not installed; pip install -r requirements-sentences.txt, or choose another type"
    )


def test_without_a_folder_it_says_that_one_is_needed():
    with pytest.raises(UserError, match="starts from no random weights"):
        build_skipthoughts(KIND, None, WORDS)
