"""The built-in demo data: its files, that its captions are true, that it is whole or not there."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from galr.common.cli import run
from galr.common.errors import UserError
from galr.data.annotations import read_annotations
from galr.data.vocabulary import build_vocabulary, tokenize
from galr.demo import DemoOptions, make_demo
from galr.demo.__main__ import main
from galr.demo.canvas import Box
from galr.demo.scenes import SCENES, SMALL_OBJECTS, draw_scene
from galr.demo.story import NUMBERS, side_of
from galr.options.sections.drea import DOTA_CLASSES
from tests.tiny import hear_interrupts

SMALL = DemoOptions(seed=3, train=36, test=18)

NOUNS = {
    "plane": "plane", "planes": "plane", "airplane": "plane", "airplanes": "plane",
    "aircraft": "plane", "helicopter": "helicopter", "helicopters": "helicopter",
    "ship": "ship", "ships": "ship", "vessel": "ship", "vessels": "ship", "boat": "ship",
    "boats": "ship", "yacht": "ship", "yachts": "ship", "tank": "storage-tank",
    "tanks": "storage-tank", "tennis court": "tennis-court", "tennis courts": "tennis-court",
    "basketball court": "basketball-court", "basketball courts": "basketball-court",
    "football field": "soccer-ball-field", "football fields": "soccer-ball-field",
    "soccer field": "soccer-ball-field", "soccer fields": "soccer-ball-field",
    "baseball field": "baseball-diamond", "baseball fields": "baseball-diamond",
    "baseball diamond": "baseball-diamond", "baseball diamonds": "baseball-diamond",
    "track": "ground-track-field", "bridge": "bridge", "roundabout": "roundabout",
    "traffic circle": "roundabout", "car": "small-vehicle", "cars": "small-vehicle",
    "vehicle": "small-vehicle", "vehicles": "small-vehicle", "truck": "large-vehicle",
    "trucks": "large-vehicle", "lorry": "large-vehicle", "lorries": "large-vehicle",
    "pier": "harbor", "piers": "harbor", "jetty": "harbor", "jetties": "harbor",
    "pool": "swimming-pool", "pools": "swimming-pool",
}  # fmt: skip
AMOUNTS = {
    "a": (1, 1), "an": (1, 1), "several": (3, 999), "some": (3, 999), "many": (7, 999),
    "lots of": (7, 999), "plenty of": (11, 999),
} | {word: (number, number) for number, word in enumerate(NUMBERS)}  # fmt: skip
COUNTED = re.compile(
    rf"\b({'|'.join(AMOUNTS)})((?: [a-z]+){{0,2}}?) ({'|'.join(sorted(NOUNS, key=len)[::-1])})\b"
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demo_precomp"
    assert make_demo(folder, SMALL)
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_it_is_read_as_any_data_set(demo):
    train = read_annotations(demo, "train", demo / "images")
    test = read_annotations(demo, "test", demo / "images")
    assert (len(train.images), len(test.images)) == (36, 18)
    assert np.bincount(train.caption_to_image).tolist() == [5] * 36
    assert not set(train.images) & set(test.images)
    names = (demo / "train_filename.txt").read_text().splitlines()
    assert names == [name for name in train.images for _ in range(5)]
    with Image.open(demo / "images" / train.images[0]) as image:
        assert image.size == (128, 128)


def test_detections_are_what_paddledetection_saves(demo):
    files = sorted((demo / "detections").iterdir())
    assert {path.stem for path in files} == {path.stem for path in (demo / "images").iterdir()}
    lines = [line.split() for path in files for line in path.read_text().splitlines()]
    assert {line[0] for line in lines} <= set(DOTA_CLASSES)
    scores, xmin, ymin, width, height = np.array([line[1:] for line in lines], dtype=float).T
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert min(xmin.min(), ymin.min()) >= 0
    assert min(width.min(), height.min()) >= 1
    assert max((xmin + width).max(), (ymin + height).max()) <= 128
    assert any(path.stat().st_size == 0 for path in files)  # an image without objects


def test_captions_differ_in_words_and_length(demo):
    captions = read_annotations(demo, "train", demo / "images").captions
    for index in range(0, len(captions), 5):
        assert len(set(captions[index : index + 5])) == 5
    lengths = [len(tokenize(caption)) for caption in captions]
    assert min(lengths) <= 6
    assert max(lengths) >= 18
    counts = Counter(word for caption in captions for word in tokenize(caption))
    assert sum(count < 5 for count in counts.values()) > 20  # they become <unk>
    assert "<unk>" in build_vocabulary(captions).words


@pytest.mark.parametrize("draw", [*SCENES, *SMALL_OBJECTS], ids=lambda draw: draw.__name__)
def test_captions_count_what_was_drawn(draw):
    checked = 0
    for seed in range(6):
        scene = draw_scene(draw, np.random.default_rng(seed))
        kinds = [box.kind for box in scene.boxes]
        assert len(scene.captions) == 5
        for caption in scene.captions:
            for amount, _, noun in COUNTED.findall(caption.lower()):
                low, high = AMOUNTS[amount]
                assert low <= kinds.count(NOUNS[noun]) <= high, caption
                checked += 1
    uncounted = {"farmland", "forest", "desert", "beach", "houses"}
    assert checked >= 8 or draw.__name__ in uncounted


@pytest.mark.parametrize(
    ("boxes", "side"),
    [
        ([(5, 5, 30, 30), (10, 20, 50, 45)], "in the upper left corner"),
        ([(60, 5, 90, 95)], "on the right side"),
        ([(5, 60, 90, 95)], "in the lower part"),
        ([(30, 30, 60, 60)], "in the middle"),
        ([(5, 5, 30, 30), (60, 60, 90, 90)], None),
        ([], None),
    ],
)
def test_a_side_is_named_where_all_objects_are_on_it(boxes, side):
    assert side_of([Box("ship", *box) for box in boxes]) == side


def test_the_seed_decides_every_byte(demo, tmp_path):
    make_demo(tmp_path / "same", SMALL)
    make_demo(tmp_path / "other", DemoOptions(seed=4, train=36, test=18))
    assert contents(tmp_path / "same") == contents(demo)
    captions = "train_caps.txt"
    assert (tmp_path / "other" / captions).read_text() != (demo / captions).read_text()


def test_a_longer_part_begins_with_the_shorter_one(demo, tmp_path):
    make_demo(tmp_path / "longer", DemoOptions(seed=3, train=40, test=18))
    longer = (tmp_path / "longer" / "train_caps.txt").read_text()
    assert longer.startswith((demo / "train_caps.txt").read_text())


def test_what_is_there_is_left_and_what_is_not_is_made(tmp_path):
    folder, options = tmp_path / "demo", DemoOptions(seed=0, train=3, test=2)
    assert make_demo(folder, options)
    before = contents(folder)
    (folder / "local_features.h5").write_bytes(b"built from it")
    assert not make_demo(folder, options)
    assert (folder / "local_features.h5").exists()
    next((folder / "images").iterdir()).unlink()
    assert make_demo(folder, options)
    assert contents(folder) == before  # what was built from other files is gone as well
    assert make_demo(folder, DemoOptions(seed=1, train=3, test=2))
    assert contents(folder) != before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not demo data"):
        make_demo(tmp_path, SMALL)
    assert run(main, ["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interruption_leaves_nothing_half_made(tmp_path):
    out = tmp_path / "demo"
    make_demo(out, DemoOptions(seed=0, train=3, test=2))
    before = contents(out)
    command = [sys.executable, "-m", "galr.demo", "--out", str(out), "--train", "5000"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_interrupts
    ) as process:
        while not any(len(list(path.glob("images/*"))) > 5 for path in tmp_path.glob("*.tmp")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1].count("\n") == 1
    assert process.returncode == 130
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_the_command_says_in_one_line_what_there_is(tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "d"), "--train", "2", "--test", "1", "--small-objects"]
    for said in ("drawn in", "already there"):
        assert run(main, arguments) == 0
        line = capsys.readouterr().out
        assert "2 training and 1 test images with 15 captions" in line
        assert said in line
        assert line.count("\n") == 1


@pytest.mark.parametrize("wrong", [["--seed", "-1"], ["--train", "0"], ["--test", "x"]])
def test_wrong_numbers_are_one_line(wrong, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
