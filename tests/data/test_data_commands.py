import json

import numpy as np
import pytest
from PIL import Image

from galr.data.annotations import read_annotations
from galr.data.vocabulary import Vocabulary
from galr.leakage.hashes import near_pairs, perceptual_hash
from galr.preparation.check import check_folder
from tests.tiny import run_module

WORDS = ("red", "green", "blue", "bare")


def picture(seed, side=64):
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def published(tmp_path):
    """A folder of images and the content of a JSON as the data sets are published."""
    (tmp_path / "pictures").mkdir()
    images = []
    for number, split in enumerate(["train"] * 5 + ["val"] * 2 + ["test"] * 2):
        name = f"scene_{number}.png"
        picture(number).save(tmp_path / "pictures" / name)
        raw = [f"a {WORDS[number % 4]}  field {k} ." for k in range(3)]
        images.append(
            {
                "filename": name,
                "imgid": number,
                "split": split,
                "sentences": [{"raw": text, "tokens": text.split()} for text in raw],
            }
        )
    return {"images": images, "dataset": "scenes"}


def prepare(folder, content, *arguments):
    (folder / "d.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return run_module(
        "galr.data", "prepare", "--json", folder / "d.json", "--images", folder / "pictures",
        "--out", folder / "data" / "scenes_precomp", "--vocab", folder / "v.json", *arguments,
    )  # fmt: skip


def test_prepared_folder_is_read_back(tmp_path, published):
    published["images"][0]["sentences"].append({"raw": "one more caption"})
    done = prepare(tmp_path, published)
    assert done.returncode == 0, done.stderr
    assert "9 images, 28 captions" in done.stdout
    folder = tmp_path / "data" / "scenes_precomp"
    train, val, test = (
        read_annotations(folder, split, folder / "images") for split in ("train", "val", "test")
    )
    assert [len(part.images) for part in (train, val, test)] == [5, 2, 2]
    assert train.captions[0] == "a red field 0 ."
    assert np.bincount(train.caption_to_image).tolist() == [4, 3, 3, 3, 3]
    # 21 + 1 captions of train and test: "field" occurs 21 times, each colour fewer than 5 or more
    assert "field" in Vocabulary.load(tmp_path / "v.json").words


def test_val_into_train(tmp_path, published):
    assert prepare(tmp_path, published, "--val-into-train").returncode == 0
    folder = tmp_path / "data" / "scenes_precomp"
    assert len(read_annotations(folder, "train").images) == 7
    assert not (folder / "val_caps.txt").exists()


def test_images_without_captions_are_left_out_and_counted(tmp_path, published):
    for sentence in published["images"][1]["sentences"]:
        sentence["raw"] = " "
    done = prepare(tmp_path, published)
    assert "left out: 3 empty captions; 1 images have no caption otherwise" in done.stdout
    images = read_annotations(tmp_path / "data" / "scenes_precomp", "train").images
    assert "scene_1.png" not in images


def change(index, key, value):
    return lambda content: content["images"][index].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change(3, "split", "training"), "images[3]: scene_3.png is of split 'training'"),
        (change(3, "filename", "scene_1.png"), "images[3]: scene_1.png is images[1] already"),
        (change(3, "filename", "../x.png"), "images[3]: filename '../x.png' leads out"),
        (change(3, "filename", "a\nb.png"), "images[3]: filename 'a\\nb.png' cannot stand"),
        (change(3, "filename", "nowhere.png"), "images[3]: there is no image"),
        (change(3, "filename", 7), "images[3]: has no `filename`"),
        (change(3, "sentences", None), "images[3]: has no list `sentences`"),
        (change(3, "sentences", [{"tokens": []}]), "images[3]: has a sentence without `raw`"),
        (lambda content: content.update(images=[]), "has no list `images`"),
        (lambda content: content.update(images=content["images"][:5]), "of split 'test'"),
    ],
)
def test_bad_json_is_one_line_and_writes_nothing(tmp_path, published, spoil, message):
    spoil(published)
    done = prepare(tmp_path, published)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": 3}', "[" * 100_000])
def test_no_json_at_all(tmp_path, published, text):
    done = prepare(tmp_path, text)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_damaged_image_stops_before_anything_is_written(tmp_path, published):
    path = tmp_path / "pictures" / "scene_4.png"
    path.write_bytes(path.read_bytes()[:200])
    done = prepare(tmp_path, published)
    assert done.returncode == 2
    assert "scene_4.png: cannot be decoded" in done.stderr
    assert not (tmp_path / "data").exists()


def test_another_folder_of_images_is_not_replaced(tmp_path, published):
    assert prepare(tmp_path, published).returncode == 0
    assert prepare(tmp_path, published).returncode == 0
    link = tmp_path / "data" / "scenes_precomp" / "images"
    link.unlink()
    link.mkdir()
    done = prepare(tmp_path, published)
    assert done.returncode == 2
    assert "images: already exists" in done.stderr


def test_check_counts_what_the_parts_hold_and_share(tmp_path, published):
    published["images"][8]["sentences"][0]["raw"] = "a lone barn ."
    prepare(tmp_path, published)
    # a test image that is a training image saved anew, smaller and compressed
    picture(2).resize((48, 48)).save(tmp_path / "pictures" / "scene_8.png", "JPEG", quality=80)
    folder = tmp_path / "data" / "scenes_precomp"
    for name, line in (("train_caps.txt", "\n"), ("train_filename.txt", "scene_4.png\n")):
        (folder / name).write_text((folder / name).read_text() + line)
    done = run_module("galr.data", "check", folder, "--out", tmp_path / "report.json")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    train = report["splits"]["train"]
    assert (train["images"], train["captions"], train["words"]) == (5, 15, 60)
    assert train["captions_of_several_images"] == 6  # scenes 0 and 4 are both red
    assert train["empty_caption_lines"] == [16]
    assert train["unknown_words"] > 0
    shared = report["shared"]["train and test"]
    assert shared["captions"] == 5  # two of scene_8, red; three of scene_7, bare
    assert shared["files"] == []
    assert [pair[:2] for pair in shared["near_duplicate_images"]] == [
        ["scene_2.png", "scene_8.png"]
    ]
    assert "near-duplicate images: 1: scene_2.png ~ scene_8.png" in done.stdout


def test_check_reports_bad_images_and_fails(tmp_path, published):
    prepare(tmp_path, published)
    (tmp_path / "pictures" / "scene_1.png").write_text("text")
    done = run_module("galr.data", "check", tmp_path / "data" / "scenes_precomp")
    assert done.returncode == 2
    assert "scene_1.png: is not an image" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("1 images are bad; replace them")


def test_the_figures_of_the_published_test_part(data_root):
    report = check_folder(data_root / "rsicd_precomp", None, None)
    assert report["splits"]["test"]["captions_of_several_images"] == 641
    assert report["vocabulary"]["words"] == 1225


def test_hashes_tell_a_copy_from_another_scene(tmp_path):
    scenes = [picture(seed, 200) for seed in range(20)]
    copies = []
    for scene in scenes:
        scene.resize((120, 120)).save(tmp_path / "c.jpg", quality=70)
        with Image.open(tmp_path / "c.jpg") as copy:
            copies.append(perceptual_hash(copy))
    pairs = near_pairs(np.stack([perceptual_hash(scene) for scene in scenes]), np.stack(copies))
    assert sorted(map(tuple, pairs[:, :2].tolist())) == [(n, n) for n in range(20)]


def test_skip_bad_goes_on_without_what_is_missing_or_damaged(tmp_path, published):
    (tmp_path / "pictures" / "scene_1.png").unlink()
    (tmp_path / "pictures" / "scene_2.png").write_bytes(b"no image")
    assert prepare(tmp_path, published).returncode == 2
    done = prepare(tmp_path, published, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "left out: there is no image" in done.stdout
    assert "scene_2.png: is not an image of a known kind" in done.stdout
    images = read_annotations(tmp_path / "data" / "scenes_precomp", "train").images
    assert images == ("scene_0.png", "scene_3.png", "scene_4.png")


def test_the_folder_of_an_image_may_stand_apart(tmp_path, published):
    (tmp_path / "pictures" / "train2014").mkdir()
    for image in published["images"][:5]:
        name = image["filename"]
        (tmp_path / "pictures" / name).rename(tmp_path / "pictures" / "train2014" / name)
        image["filepath"] = "train2014"
    assert prepare(tmp_path, published).returncode == 0
    images = read_annotations(tmp_path / "data" / "scenes_precomp", "train").images
    assert images[0] == "train2014/scene_0.png"


def test_restval_is_training(tmp_path, published):
    published["images"][3]["split"] = "restval"
    assert prepare(tmp_path, published).returncode == 0
    images = read_annotations(tmp_path / "data" / "scenes_precomp", "train").images
    assert "scene_3.png" in images
