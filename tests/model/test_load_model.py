import os
import zipfile

import pytest
import torch

import galr
from galr.common.errors import UserError
from galr.model.build import build_model, load_model
from tests.model.tiny import WORDS, tiny_options


def checkpoint_of(options):
    torch.manual_seed(0)
    return {
        "model": build_model(options, WORDS).state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": list(WORDS),
    }


@pytest.fixture(scope="module")
def checkpoint():
    return checkpoint_of(tiny_options())


@pytest.fixture(scope="module")
def path(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "best.pth"
    torch.save(checkpoint, path)
    return path


def error_of(path, *args, **kwargs):
    with pytest.raises(UserError) as error:
        load_model(path, *args, **kwargs)
    assert error.value.status == 2
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


class RunsCode:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def write_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no checkpoint")


NO_CHECKPOINT = {
    "missing": (lambda path: None, "there is no such file"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "empty": (lambda path: path.touch(), "cannot be read"),
    "text": (lambda path: path.write_text("hello\n"), "cannot be read"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 40), "cannot be read"),
    "an archive": (write_archive, "cannot be read"),
    "a list": (lambda path: torch.save([1], path), "is not a checkpoint (missing key 'model')"),
    "no model": (
        lambda path: torch.save({"epoch": 1}, path),
        "is not a checkpoint (missing key 'model')",
    ),
    "no tensors": (lambda path: torch.save({"model": {"a": 1}}, path), "holds no weights"),
    "nothing": (lambda path: torch.save({"model": {}}, path), "holds no weights"),
    "another network": (
        lambda path: torch.save({"model": {"weight": torch.ones(2)}}, path),
        "holds no retrieval model",
    ),
    "a module": (
        lambda path: torch.save({"model": torch.nn.Linear(1, 1)}, path),
        "holds torch.nn.modules.linear.Linear, which may run code",
    ),
}


@pytest.mark.parametrize(("write", "message"), NO_CHECKPOINT.values(), ids=NO_CHECKPOINT)
def test_what_is_no_checkpoint_is_an_error_in_one_line(tmp_path, write, message):
    write(tmp_path / "best.pth")
    assert message in error_of(tmp_path / "best.pth")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_file_cut_short_is_an_error(path, tmp_path, share):
    content = path.read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: int(share * len(content))])
    assert "cannot be read" in error_of(tmp_path / "cut.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_file_runs_nothing(tmp_path, zipped):
    marker = tmp_path / "it ran"
    checkpoint = {"model": RunsCode(marker)}
    torch.save(checkpoint, tmp_path / "bad.pth", _use_new_zipfile_serialization=zipped)
    assert "system, which may run code" in error_of(tmp_path / "bad.pth")
    assert not marker.exists()


def test_a_checkpoint_gives_the_model_that_was_saved(checkpoint, path, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    random_state = torch.get_rng_state()
    model = galr.load_model(path)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not model.training
    loaded = model.state_dict()
    assert loaded.keys() == checkpoint["model"].keys()
    for name, tensor in checkpoint["model"].items():
        assert torch.equal(loaded[name], tensor), name
    fresh = build_model(tiny_options(), WORDS)
    assert {name: weight.requires_grad for name, weight in model.named_parameters()} == {
        name: weight.requires_grad for name, weight in fresh.named_parameters()
    }


def test_pretrained_options_need_neither_their_files_nor_a_download(checkpoint, tmp_path):
    options = tiny_options(
        model__seq2vec__pretrained=True,
        model__seq2vec__dir_st="nowhere",
        model__backbone__weights="imagenet",
    )
    torch.save({**checkpoint, "options": options.model_dump(mode="json")}, tmp_path / "best.pth")
    assert load_model(tmp_path / "best.pth").text_encoder.sentence_encoder.sentence_dim == 6
    load_model(tmp_path / "best.pth", options)


def test_a_data_parallel_half_precision_checkpoint_is_taken(checkpoint, tmp_path):
    half = {
        f"module.{name}": tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint["model"].items()
    }
    torch.save({**checkpoint, "model": half}, tmp_path / "best.pth")
    model = load_model(tmp_path / "best.pth")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_local_branch_comes_with_the_checkpoint(path):
    model = load_model(path, tiny_options(dataset__local_path=None))
    assert model.local_feature(torch.zeros(1, 3, 6), torch.zeros(1, 3, 3)).shape == (1, 8)


OTHER_OPTIONS = {
    "gate": ({"model__fusion__gate": "released"}, "trained with model.fusion.gate: paper"),
    "fusion": ({"model__fusion__type": "addition"}, "trained with model.fusion.type: midf"),
    "text encoder": ({"model__seq2vec__type": "UniSkip"}, "model.seq2vec.type: BayesianUniSkip"),
    "width": (
        {"model__embed__embed_dim": 4, "model__fusion__type": "midf"}
        | {"model__fusion__mca_HIDDEN_SIZE": 4, "model__fusion__mca_MULTI_HEAD": 1},
        "was trained with model.embed.embed_dim: 8, and the options say 4",
    ),
    "image size": (
        {"dataset__image_size": 64, "dataset__resize_size": 64},
        "was trained with dataset.image_size: 32, and the options say 64",
    ),
    "objects": ({"dataset__drea__objects": 4}, "trained with dataset.drea.objects: 3"),
    "scores": ({"dataset__drea__min_score": 0.5}, "trained with dataset.drea.min_score: 0.3"),
    "words": ({"dataset__max_words": 1}, "trained with dataset.max_words: 64"),
    "no MVSA": ({"model__multiscale__enabled": False}, "with model.multiscale.enabled: true"),
    "no local branch": ({"model__local": False}, "has a local branch, and model.local is false"),
    "word vectors": ({"model__seq2vec__word_dim": 9}, "has shape (6, 5), not (6, 9)"),
}


@pytest.mark.parametrize(("changes", "message"), OTHER_OPTIONS.values(), ids=OTHER_OPTIONS)
def test_options_of_another_architecture_are_an_error(path, changes, message):
    assert message in error_of(path, tiny_options(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__seq2vec__dropout": 0.5, "model__fusion__mca_DROPOUT_R": 0.5},
        {"model__backbone__train": "none", "optim__lr": 1.0, "seed": 9},
        {"dataset__resize_size": 64, "dataset__batch_size": 7},
        {"dataset__local_path": "another.h5"},
    ],
)
def test_options_of_the_training_alone_may_differ(path, changes):
    load_model(path, tiny_options(**changes))


def test_a_model_that_never_saw_an_object_is_not_given_any(tmp_path):
    torch.save(checkpoint_of(tiny_options(dataset__local_path="zeros")), tmp_path / "best.pth")
    load_model(tmp_path / "best.pth", tiny_options(dataset__local_path="zeros"))
    assert "so that it never saw an object" in error_of(tmp_path / "best.pth", tiny_options())


def test_options_of_the_local_branch_do_not_matter_without_one(tmp_path):
    torch.save(checkpoint_of(tiny_options(model__local=False)), tmp_path / "best.pth")
    load_model(
        tmp_path / "best.pth",
        tiny_options(model__local=False, dataset__drea__objects=7, model__fusion__type="addition"),
    )


def test_local_features_for_a_model_without_a_local_branch_are_an_error(tmp_path):
    torch.save(checkpoint_of(tiny_options(model__local=False)), tmp_path / "best.pth")
    load_model(tmp_path / "best.pth")
    load_model(tmp_path / "best.pth", tiny_options(dataset__local_path=None))
    assert "has no local branch" in error_of(tmp_path / "best.pth", tiny_options())


def test_a_checkpoint_that_names_no_options_needs_them(checkpoint, tmp_path):
    torch.save({"model": checkpoint["model"]}, tmp_path / "best.pth")
    assert "does not contain the options it was trained with" in error_of(tmp_path / "best.pth")
    load_model(tmp_path / "best.pth", tiny_options())


def test_stored_options_that_are_wrong_are_an_error(checkpoint, tmp_path):
    options = {**checkpoint["options"], "sed": 3}
    torch.save({**checkpoint, "options": options}, tmp_path / "best.pth")
    assert "did you mean seed" in error_of(tmp_path / "best.pth")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_an_error(checkpoint, tmp_path, value):
    name = "text_encoder.projection.bias"
    bias = checkpoint["model"][name].clone()
    bias[3] = value
    state = {**checkpoint["model"], name: bias}
    torch.save({**checkpoint, "model": state}, tmp_path / "best.pth")
    assert f"{name} holds NaN or infinity" in error_of(tmp_path / "best.pth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS[:-1], "was trained with 5 words, and the vocabulary has 4"),
        (WORDS[::-1], "was trained with 'plane' as word 1, and the vocabulary has '<unk>'"),
    ],
)
def test_another_vocabulary_is_an_error(path, words, message):
    assert message in error_of(path, words=words)
    load_model(path, words=WORDS)
