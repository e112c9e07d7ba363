"""galr.load, and what the model that it gives encodes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import galr
from galr.common.errors import UserError
from galr.data.part import read_split
from galr.data.vocabulary import Vocabulary
from galr.evaluation.encode import encode_part
from galr.export.folder import export
from galr.local_features.store import read_local_features
from galr.model.build import build_model
from tests.tiny import make_data


@pytest.fixture(scope="module")
def fold(tmp_path_factory) -> Path:
    """A fold's folder with the checkpoint of a model at random weights."""
    options = galr.load_options(make_data(tmp_path_factory.mktemp("load")))
    words = Vocabulary.load(options.dataset.vocab_path).words
    torch.manual_seed(0)
    folder = options.experiment_folder / "0"
    folder.mkdir(parents=True)
    entries = {
        "model": build_model(options, words).state_dict(),
        "options": options.model_dump(mode="json"),
        "vocabulary": list(words),
    }
    torch.save(entries, folder / "best.pth")
    return folder


@pytest.fixture(scope="module")
def model(fold) -> galr.TrainedModel:
    return galr.load(fold)


def data_of(model):
    folder = Path(model.options.dataset.data_path)
    return folder / "images", model.options.dataset.local_path


def test_it_encodes_the_test_part_as_evaluation_does(model):
    images, local = data_of(model)
    split = read_split(model.options, "test")
    part = split.at(model.side)
    wanted = encode_part(model.model, part, model.vocabulary, model.options.dataset)
    files = [images / name for name in split.annotations.images]
    assert model.encode_images(files, local) == pytest.approx(wanted.images, abs=1e-6)
    assert model.encode_texts(split.annotations.captions) == pytest.approx(
        wanted.captions, abs=1e-6
    )
    similarity = model.similarity(model.encode_images(files, local), split.annotations.captions)
    assert similarity == pytest.approx(wanted.similarity(), abs=1e-6)
    metrics = galr.evaluate(similarity, split.annotations.caption_to_image)
    assert metrics == galr.retrieval_metrics(similarity, split.annotations.caption_to_image)


def test_a_folder_a_file_and_an_export_give_the_same_model(model, fold, tmp_path):
    export(fold / "best.pth", tmp_path / "shared")
    for path in (fold / "best.pth", str(fold), tmp_path / "shared"):
        other = galr.load(path, device="cpu")
        assert torch.equal(other.encode_texts("a red square"), model.encode_texts("a red square"))


def test_a_file_a_picture_an_array_and_a_tensor_are_the_same_image(model):
    images, _ = data_of(model)
    path = images / "test_0.png"
    with Image.open(path) as picture:
        array = np.array(picture)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    given = [path, str(path), Image.fromarray(array), array, tensor, array / 255, tensor / 255]
    rows = model.encode_images(given, batch_size=3)
    assert rows.shape == (7, model.model.embed_dim)
    assert rows.norm(dim=1) == pytest.approx(torch.ones(7))
    for row in rows:
        assert row == pytest.approx(rows[0], abs=1e-6)
    for single in (path, array, tensor):
        assert model.encode_images(single) == pytest.approx(rows[:1], abs=1e-6)
    batch = torch.stack([tensor, tensor.flip(1)])
    assert model.encode_images(batch)[0] == pytest.approx(rows[0], abs=1e-6)
    assert not torch.allclose(*model.encode_images(batch), atol=1e-4)


def test_local_features_come_from_a_store_or_as_matrices(model, caplog):
    images, local = data_of(model)
    files = [images / f"test_{i}.png" for i in range(3)]
    stored = model.encode_images(files, local)
    assert "without objects" not in caplog.text
    drea = model.options.dataset.drea
    matrices = read_local_features(local, [file.name for file in files], drea)
    arrays = [np.asarray(Image.open(file)) for file in files]
    assert model.encode_images(arrays, matrices) == pytest.approx(stored, abs=1e-6)
    bare = model.encode_images(files)
    assert "all images are taken to be without objects" in caplog.text
    assert not torch.allclose(bare, stored, atol=1e-3)
    none = galr.LocalFeatures.zeros(3, drea)
    assert model.encode_images(files, none) == pytest.approx(bare, abs=1e-6)


def test_no_images_and_no_texts_have_no_rows(model):
    assert model.encode_images([]).shape == model.encode_texts([]).shape == (0, 16)
    assert model.similarity([], ["a red square"]).shape == (0, 1)


def test_a_sentence_of_unknown_words_is_warned_of(model, caplog):
    model.encode_texts(["a red square", "zeppelin zebra"])
    assert "knows no word of 1 of 2 texts, such as 'zeppelin zebra'" in caplog.text


def test_the_earlier_name_of_encode_texts_warns(model):
    with pytest.warns(FutureWarning, match="texts is now encode_texts"):
        rows = model.texts(["a red square"])
    assert (rows == model.encode_texts("a red square").numpy()).all()


def test_a_checkpoint_without_options_and_vocabulary_is_completed(fold, model, tmp_path):
    entries = torch.load(fold / "best.pth", weights_only=True)
    torch.save({"model": entries["model"]}, tmp_path / "bare.pth")
    with pytest.raises(UserError, match=r"does not hold the options .* options= in Python"):
        galr.load(tmp_path / "bare.pth")
    completed = galr.load(
        tmp_path / "bare.pth",
        options=fold.parents[2] / "tiny.yaml",
        vocabulary=model.options.dataset.vocab_path,
    )
    text = "one blue frame"
    assert torch.equal(completed.encode_texts(text), model.encode_texts(text))


def test_another_vocabulary_is_refused(fold, tmp_path):
    Vocabulary(["red", "<unk>"]).save(tmp_path / "vocab.json")
    with pytest.raises(UserError, match=r"vocab\.json: is not the vocabulary that the checkpoint"):
        galr.load(fold, vocabulary=tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["nowhere.png"], "nowhere.png: there is no such image file"),
        ([np.zeros((8, 8, 4), np.uint8)], r"images\[0\]: has the shape \(8, 8, 4\)"),
        (torch.zeros(1, 3, 0, 8), r"images\[0\]: has the shape \(3, 0, 8\)"),
        (np.zeros((8, 8)), r"images\[0\]: has the shape \(8, 8\)"),
        ([torch.full((3, 8, 8), 0.5), torch.randn(3, 8, 8)], r"images\[1\]: holds float32 from -"),
        ([np.full((8, 8, 3), np.nan)], "holds float64 from nan to nan"),
        ([np.full((8, 8, 3), 4095)], "holds int64 from 4095 to 4095; give an array"),
        ([Image.fromarray(np.zeros((8, 8), np.uint16))], r"has the shape \(8, 8\)"),
        ([None], r"images\[0\]: has the shape \(\)"),
    ],
)
def test_images_that_are_none_are_one_line(model, images, message):
    with pytest.raises(UserError, match=message) as error:
        model.encode_images(images)
    assert "\n" not in str(error.value)


def test_wrong_calls_are_one_line(model, fold, tmp_path):
    _, local = data_of(model)
    array = np.zeros((8, 8, 3), np.uint8)
    calls = [
        (lambda: galr.load(tmp_path), "holds no best.pth and no exported model"),
        (lambda: galr.load(fold.parent), f"name a fold: {fold}"),
        (lambda: galr.load(tmp_path / "no.pth"), "there is no such file"),
        (lambda: model.encode_texts(["a", " "]), r"texts\[1\]: is empty"),
        (lambda: model.encode_texts([3]), r"texts\[0\]: is int, no text"),
        (lambda: model.encode_images([array], local), "some are no files"),
        (lambda: model.encode_images([tmp_path / "x.png"], local), "x.png"),
        (
            lambda: model.encode_images([array], galr.LocalFeatures(*np.zeros((2, 1, 2, 2)))),
            r"local: has matrices of shape \(1, 2, 2\)",
        ),
    ]
    for call, message in calls:
        with pytest.raises(UserError, match=message):
            call()


def test_evaluate_takes_features_and_reranks():
    torch.manual_seed(0)
    images, captions = torch.randn(12, 8).double(), torch.randn(36, 8).double()
    own = np.arange(36) // 3
    plain = galr.evaluate(images @ captions.T, own)
    assert galr.evaluate((images, captions), own) == plain
    reranked = galr.evaluate((images, captions), own, rerank={"k": 5, "w_reverse": 2.0})
    i2t = galr.rerank(images @ captions.T, k=5, w_reverse=2.0)
    first = float(100 * np.mean(own[i2t.candidates[:, 0]] == np.arange(12)))
    assert reranked["i2t_r1"] == pytest.approx(first)
    assert reranked["mR"] != plain["mR"]
    nothing = galr.evaluate((images, captions), own, rerank={"w_saliency": 0, "w_reverse": 0})
    assert json.dumps(nothing) == json.dumps(plain)
    with pytest.raises(ValueError, match="k must be an integer"):
        galr.evaluate((images, captions), own, rerank={"k": 0})
