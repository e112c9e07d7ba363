"""Input that is well-formed and wrong: said in a line, or read right (docs/reliability.md)."""

import importlib
import json
import re
import shutil
import unicodedata

import h5py
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import galr
from galr.common import cli
from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.data.part import read_split
from galr.data.vocabulary import Vocabulary
from galr.detectors.command import main as local_features
from galr.images.decoding import decode_image
from galr.options import load_options
from galr.preparation.check import check_folder
from galr.training.data import read_training_data
from tests.tiny import make_data, make_images

DATA = "data/tiny_precomp"
TRAINING = [
    "--set",
    "optim.epochs=1",
    "--set",
    "dataset.local_path=null",
    "--set",
    "model.local=false",
]


def run(script, root, *arguments):
    given = ["--path_opt", root / "tiny.yaml", *arguments]
    return cli.run(importlib.import_module(script).main, [str(each) for each in given])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A data set, two folds that were trained on it, and a copy of all that."""
    root, copy = (tmp_path_factory.mktemp(name) / "root" for name in ("good", "copy"))
    root.mkdir()
    make_data(root)
    assert run("train", root, *TRAINING) == 0
    shutil.copytree(root, copy)
    return root, copy


@pytest.fixture
def root(good):
    """To spoil, where it was trained."""
    root, copy = good
    shutil.rmtree(root)
    shutil.copytree(copy, root)
    return root


@pytest.fixture
def data(tmp_path):
    """A data set alone."""
    make_data(tmp_path)
    return tmp_path


def error_of(capfd):
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return errors[0]


def swap(root):
    for of in ("caps", "filename"):
        train, test = (root / DATA / f"{split}_{of}.txt" for split in ("train", "test"))
        contents = test.read_bytes(), train.read_bytes()
        train.write_bytes(contents[0])
        test.write_bytes(contents[1])


def other_images(folder):
    for number, path in enumerate(sorted(folder.iterdir())):
        Image.new("RGB", (40, 40), (number, 99, 200)).save(path)


def split_of(root, split="train", *overrides):
    return read_split(load_options(root / "tiny.yaml", ["device=cpu", *overrides]), split)


def test_parts_that_are_swapped_are_said_when_trained_on(data, caplog):
    split_of(data)
    assert caplog.text == ""
    swap(data)
    split_of(data)
    assert (
        "names 20 images, more than the 6 that are trained on: are the parts swapped" in caplog.text
    )


def test_parts_that_are_swapped_after_the_training_are_said_and_counted(root, caplog):
    out = root / "results.json"
    assert run("test", root, *TRAINING, "--no-report", "--out", out) == 0
    folds = json.loads(out.read_text())["folds"]
    assert [fold["split"]["test_images_in_training"] for fold in folds] == [0, 0]
    assert "used in its training" not in caplog.text
    swap(root)
    assert run("test", root, *TRAINING, "--no-report", "--out", out) == 0
    folds = json.loads(out.read_text())["folds"]
    assert [fold["split"]["test_images_in_training"] for fold in folds] == [20, 20]
    said = "20 of the 20 test images were used in its training, for example train_0.png"
    assert said in caplog.text


def test_images_that_are_in_both_parts_are_said(data, caplog):
    for of in ("caps", "filename"):
        train, test = (data / DATA / f"{split}_{of}.txt" for split in ("train", "test"))
        count = 2 if of == "caps" else 1
        train.write_bytes(b"".join(test.read_bytes().splitlines(True)[:count]) + train.read_bytes())
    split_of(data)
    assert "names 1 images that are trained on, for example test_0.png" in caplog.text


@pytest.mark.parametrize("shift", [0, 1, -1])
def test_captions_that_are_shifted_are_said(data, caplog, shift):
    make_images(data / DATA, "train", 60, np.random.default_rng(0))
    path = data / DATA / "train_caps.txt"
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[shift:] + lines[:shift]))
    split_of(data, "train", "dataset.local_path=null", "model.local=false")
    said = f"{path}: from line 1 on, or earlier, the captions seem shifted"
    assert (said in caplog.text) == (shift != 0)
    assert (caplog.text == "") == (shift == 0)


def test_captions_that_are_shifted_from_a_line_on_are_said_from_there(data, caplog):
    make_images(data / DATA, "train", 400, np.random.default_rng(0))
    path = data / DATA / "train_caps.txt"
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[:400] + lines[401:] + lines[:1]))
    split_of(data, "train", "dataset.local_path=null", "model.local=false")
    found = re.search(
        rf"{re.escape(str(path))}: from line (\d+) on, or earlier, the captions seem", caplog.text
    )
    assert 400 < int(found[1]) <= 601


def other_words(root):
    words = Vocabulary.load(root / "vocab.json").words
    Vocabulary([f"word{number}" for number in range(len(words) - 3)] + ["a", "red", "<unk>"]).save(
        root / "vocab.json"
    )


def test_a_vocabulary_of_another_data_set_is_said_when_trained_with(data, caplog):
    options = load_options(data / "tiny.yaml", ["dataset.local_path=null", "model.local=false"])
    read_training_data(options, torch.device("cpu"))
    assert caplog.text == ""
    other_words(data)
    read_training_data(options, torch.device("cpu"))
    assert (
        "lacks 2 words that are common in the captions, for example 'ground' (20 times)"
        in caplog.text
    )


def test_a_vocabulary_of_the_same_length_is_refused_by_its_words(root, capfd):
    other_words(root)
    assert run("test", root, *TRAINING) == 2
    error = error_of(capfd)
    assert "was trained with 'a' as word 1, and the vocabulary has 'word0'" in error


def test_other_images_of_the_same_names_are_refused_when_resumed(root, capfd):
    other_images(root / DATA / "images")
    assert run("train", root, *TRAINING, "--resume", "--set", "optim.epochs=2") == 2
    assert "was trained with other images of the same names: 20 differ" in error_of(capfd)


def test_a_run_of_an_earlier_version_is_resumed_without_their_digests(root):
    for path in root.glob("checkpoint/tiny/*/last.pth"):
        entries = torch.load(path, weights_only=True)
        assert entries.pop("image_digests").keys() == {"train", "validation"}
        torch.save(entries, path)
    other_images(root / DATA / "images")
    assert run("train", root, *TRAINING, "--resume", "--set", "optim.epochs=2") == 0


def test_other_images_of_the_same_names_are_said_when_tested(root, caplog):
    other_images(root / DATA / "images")
    assert run("test", root, *TRAINING, "--no-report") == 0
    assert "20 of its 20 training images have changed" in caplog.text


def test_one_image_without_its_fifth_caption_is_refused_or_read_right(data):
    folder = data / DATA
    path = folder / "train_caps.txt"
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[:5] + lines[6:]))  # the third image has one for two
    with pytest.raises(Exception, match=r"39 captions for 20 lines of train_filename\.txt"):
        read_annotations(folder, "train")
    names = (folder / "train_filename.txt").read_text().split()
    owners = [name for name in names for _ in range(1 if name == names[2] else 2)]
    (folder / "train_filename.txt").write_text("\n".join(owners))
    found = read_annotations(folder, "train", folder / "images")
    assert np.bincount(found.caption_to_image).tolist() == [2, 2, 1, *[2] * 17]
    assert found.captions[5] == lines[6].strip()
    assert found.images[found.caption_to_image[5]] == "train_3.png"


def build_store(root, images):
    detections = root / "detections"
    detections.mkdir()
    (detections / "train_0.txt").write_text("ship 0.9 2 2 10 10\n")
    given = ["--detections", detections, "--images", images, "--out", root / "own.h5"]
    local_features(["build", "--format", "paddledet", *map(str, given)])
    tree = yaml.safe_load((root / "tiny.yaml").read_text())
    tree["dataset"] |= {"local_path": str(root / "own.h5"), "drea": {}}
    (root / "tiny.yaml").write_text(yaml.safe_dump(tree))


def test_local_features_of_another_folder_are_refused(data, capfd):
    elsewhere = data / "elsewhere"
    shutil.copytree(data / DATA / "images", elsewhere)
    other_images(elsewhere)
    shutil.copy(data / DATA / "images/train_1.png", elsewhere / "train_1.png")
    build_store(data, elsewhere)
    assert run("train", data) == 2
    error = error_of(capfd)
    assert "own.h5: was built for other images: 19 of 20 differ, for example train_0.png" in error
    assert len(split_of(data, "train", f"dataset.image_path={elsewhere}").local.adjacency) == 20


def test_a_checkpoint_in_the_folder_of_another_fold_is_refused(root, capfd):
    folds = root / "checkpoint/tiny"
    shutil.copy(folds / "0/best.pth", folds / "1/best.pth")
    assert run("test", root, *TRAINING) == 2
    assert "1/best.pth: holds fold 0, and lies where fold 1 should" in error_of(capfd)
    shutil.copy(folds / "0/last.pth", folds / "1/last.pth")
    assert run("train", root, *TRAINING, "--resume", "--set", "optim.epochs=2") == 2
    assert "1/last.pth: was trained with other images" in error_of(capfd)


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "A.png"),
        (unicodedata.normalize("NFC", "é.png"), unicodedata.normalize("NFD", "é.png")),
    ],
    ids=["case", "Unicode form"],
)
def test_names_that_differ_in_case_or_form_are_two_images(tmp_path, caplog, names):
    (tmp_path / "images").mkdir()
    for name, colour in zip(names, ("red", "blue"), strict=True):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "images" / name)
    if len(list((tmp_path / "images").iterdir())) < 2:
        pytest.skip("this file system has one name for both")
    (tmp_path / "train_filename.txt").write_text("\n".join(names), encoding="utf-8")
    (tmp_path / "train_caps.txt").write_text("a red one\na blue one\n")
    found = read_annotations(tmp_path, "train", tmp_path / "images")
    assert found.images == names
    pixels = [decode_image(tmp_path / "images" / name).getpixel((0, 0)) for name in found.images]
    assert pixels == [(255, 0, 0), (0, 0, 255)]
    assert caplog.text == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"\ufeff{text}",
        lambda text: text.replace("\n", "  \t\n"),
        lambda text: text.replace("\n", "\n ").removesuffix(" "),
        lambda text: text.removesuffix("\n"),
    ],
    ids=["CRLF", "BOM", "trailing", "leading", "no last line end"],
)
def test_line_ends_and_spaces_do_not_matter(data, spoil):
    folder = data / DATA
    plain = read_annotations(folder, "train", folder / "images")
    for of in ("caps", "filename"):
        path = folder / f"train_{of}.txt"
        path.write_bytes(spoil(path.read_text()).encode())
    found = read_annotations(folder, "train", folder / "images")
    assert found.images == plain.images
    assert found.captions == plain.captions
    assert found.caption_to_image.tolist() == plain.caption_to_image.tolist()


def test_tabs_in_captions_part_words():
    vocabulary = Vocabulary(["a", "red", "square", "ground", "<unk>"])
    for caption in ("a red square on ground", "a\tred\t square on\tground\t"):
        assert vocabulary.encode(caption) == [1, 2, 3, 5, 4]


def frames():
    return [Image.new("RGB", (12, 10), colour) for colour in ("red", "lime", "blue")]


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_picture_is_read(tmp_path, ending):
    first, *others = frames()
    how = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"a.{ending}", save_all=True, append_images=others, **how)
    image = decode_image(tmp_path / f"a.{ending}")
    assert (image.size, image.getpixel((5, 5))) == ((12, 10), (255, 0, 0))


@pytest.mark.parametrize(
    ("mode", "ending"),
    [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "png"), ("P", "bmp"), ("YCbCr", "jpg")],
)
def test_colours_are_those_of_the_picture(tmp_path, mode, ending):
    colour = (200, 40, 90)
    image = Image.new("RGB", (16, 16), colour)
    stored = image.quantize(4) if mode == "P" else image.convert(mode)
    stored.save(tmp_path / f"a.{ending}", quality=100)
    found = np.array(decode_image(tmp_path / f"a.{ending}").getpixel((8, 8)))
    assert np.abs(found - colour).max() <= 3


def test_train_verifies_caches_and_local_features_first(data, caplog, capfd):
    build_store(data, data / DATA / "images")
    caplog.set_level("INFO")
    given = ["--set", "optim.epochs=1", "--set", "k_fold.nums=1"]
    assert run("train", data, *given, "--verify") == 0
    assert "own.h5: 26 images" in caplog.text
    caplog.clear()
    assert run("test", data, *given, "--no-report", "--verify") == 0
    for said in ("train_36px.h5: 20 rows and images unchanged", "detections unchanged"):
        assert said in re.sub(r"in \S+/", "", caplog.text)
    (data / "detections/train_0.txt").write_text("ship 0.8 2 2 10 10\n")
    capfd.readouterr()
    best = data / "checkpoint/tiny/0/best.pth"
    assert run("test", data, *given, "--verify") == 2
    assert "changed since it was built" in error_of(capfd)
    assert run("test_single", data, *given, "--verify", "--resume", best) == 2
    assert "changed since it was built" in error_of(capfd)
    image, model = data / DATA / "images/test_2.png", galr.load(best)
    assert model.encode_images([image], local=data / "own.h5").shape[0] == 1
    Image.new("RGB", (40, 40)).save(image)
    with pytest.raises(UserError, match=r"was built for other images: 1 of 1 differ"):
        model.encode_images([image], local=data / "own.h5")


def test_inspect_verifies_a_store(data, capfd):
    build_store(data, data / DATA / "images")
    local_features(["inspect", str(data / "own.h5"), "--verify"])
    assert "own.h5: 26 images in" in capfd.readouterr().out
    Image.new("RGB", (40, 40)).save(data / DATA / "images/test_2.png")
    with pytest.raises(UserError, match=r"was built for other contents of test_2\.png in .*images"):
        local_features(["inspect", str(data / "own.h5"), "--verify"])
    with h5py.File(data / "own.h5", "r+") as file:
        file["adjacency"][0, 0, 0] += 1
    with pytest.raises(UserError, match="its matrices have changed since they were written"):
        local_features(["inspect", str(data / "own.h5"), "--verify"])


def test_check_says_both_of_a_data_folder(data, caplog):
    make_images(data / DATA, "train", 40, np.random.default_rng(0))
    make_images(data / DATA, "test", 50, np.random.default_rng(0))
    path = data / DATA / "test_caps.txt"
    lines = path.read_text().splitlines(True)
    path.write_text("".join(lines[1:] + lines[:1]))
    check_folder(data / DATA, None, None)
    assert f"{path}: from line 1 on, or earlier, the captions seem shifted" in caplog.text
    assert "names 50 images, more than the 40 that are trained on" in caplog.text
    assert "train_caps.txt" not in caplog.text
