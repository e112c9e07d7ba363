"""Four formats of the same detections, and what does not fit."""

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galr.common.errors import UserError
from galr.local_features.detections import Detections
from galr.options import DreaOptions
from galr.options.sections.drea import DOTA_CLASSES
from tests.local_features.definition import built_slowly
from tests.local_features.detector_files import (
    SIZES,
    build,
    drawn,
    error_of,
    write_coco,
    write_dota,
    write_lines,
    write_paddledet,
    write_yolo,
)

WRITERS = {
    "paddledet": ("paddledet", lambda folder, rows: write_paddledet(folder, rows)),
    "paddledet oriented": ("paddledet", lambda f, rows: write_paddledet(f, rows, oriented=True)),
    "yolo": ("yolo", lambda folder, rows: write_yolo(folder, rows)),
    "yolo oriented": ("yolo", lambda folder, rows: write_yolo(folder, rows, oriented=True)),
    "dota task 1": ("dota", lambda folder, rows: write_dota(folder, rows, task=1)),
    "dota task 2": ("dota", lambda folder, rows: write_dota(folder, rows, task=2)),
    "coco": ("coco", lambda folder, rows: write_coco(folder, rows)),
    "coco from 1": ("coco", lambda f, rows: write_coco(f, rows, categories=False, first=1)),
    "coco from 0": ("coco", lambda f, rows: write_coco(f, rows, categories=False, first=0)),
}
DOTA = ("--classes", "dota")
STATED = {
    "yolo": DOTA,
    "yolo oriented": DOTA,
    "coco from 1": (*DOTA, "--first-category", "1"),
    "coco from 0": (*DOTA, "--first-category", "0"),
}


def check(store, rows, drea):
    assert store.names == tuple(sorted(SIZES))
    for row, name in enumerate(store.names):
        here = [entry for entry in rows if entry[0] == name]
        found = Detections(
            *SIZES[name],
            [entry[1] for entry in here],
            [entry[2] for entry in here],
            [entry[3:] for entry in here],
        )
        wanted = built_slowly(found, drea)
        np.testing.assert_allclose(store.features.representation[row], wanted[0], atol=1e-5)
        np.testing.assert_allclose(store.features.adjacency[row], wanted[1], atol=1e-5)


@pytest.mark.parametrize("writer", WRITERS)
def test_every_format_gives_what_its_definition_says(images, detections, writer):
    kind, write = WRITERS[writer]
    write(detections, drawn())
    store = build(kind, detections, images, *STATED.get(writer, ()))
    assert store.drea == DreaOptions()
    check(store, drawn(), store.drea)
    assert store.features.representation[:3].any(axis=(1, 2)).all()


def test_every_option_is_a_flag_over_those_of_a_file(images, detections, tmp_path):
    write_paddledet(detections, drawn())
    (tmp_path / "options.yaml").write_text("dataset: {drea: {gain: 3.0, objects: 4}}")
    flags = ["--path_opt", str(tmp_path / "options.yaml"), "--objects", "6", "--min-score", "0.5"]
    flags += ["--no-denoise", "--max-similarity", "0.9", "--radius", "0.1"]
    store = build("paddledet", detections, images, *flags)
    assert store.drea == DreaOptions(
        gain=3.0, objects=6, min_score=0.5, denoise=False, max_similarity=0.9, radius=0.1
    )
    check(store, drawn(), store.drea)
    store = build("paddledet", detections, images, "--no-enhance", "--min_score", "0.1")
    assert store.drea == DreaOptions(enhance=False, min_score=0.1)
    check(store, drawn(), store.drea)


def test_other_classes_change_the_numbers_of_an_object(images, detections, tmp_path):
    classes = ("tree", "hot tub", "ship 2")
    (tmp_path / "classes.txt").write_text("tree\nhot tub\nship 2\n\n")
    stored = ("--store-classes", str(tmp_path / "classes.txt"))
    rows = drawn(1, classes)
    write_paddledet(detections, rows)
    store = build("paddledet", detections, images, *stored)
    assert store.features.representation.shape == (4, 20, 8)
    check(store, rows, DreaOptions(classes=classes))
    shutil.rmtree(detections)
    write_yolo(detections, rows, classes=classes)
    store = build("yolo", detections, images, *stored, "--classes", stored[1])
    check(store, rows, DreaOptions(classes=classes))


def test_both_tasks_of_dota_are_read_and_coco_takes_two_paths(images, detections, caplog):
    rows = drawn()
    write_dota(detections, rows[:20], task=1)
    write_dota(detections, rows[20:], task=2)
    check(build("dota", detections, images), rows, DreaOptions())
    assert "class plane is in files of both tasks" in caplog.text
    write_coco(detections, rows)
    moved = shutil.move(detections / "images.json", detections / "list.json")
    check(build("coco", [detections / "results.json", moved], images), rows, DreaOptions())


def test_many_images_are_built_in_processes_and_in_order(tmp_path, detections, monkeypatch):
    monkeypatch.setattr("galr.detectors.build.ALONE", 1)
    monkeypatch.setattr("galr.detectors.build.CHUNK", 2)
    monkeypatch.setattr("galr.common.parallel.cores", lambda: 2)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(7):
        Image.new("RGB", (10, 10)).save(folder / f"{number}.png")
        write_lines(detections / f"{number}.txt", [f"plane 0.{number + 3} 0 0 5 5"] * (number > 0))
    store = build("paddledet", detections, folder)
    scores = store.features.representation[:, 0, -1]
    np.testing.assert_allclose(scores, [0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], atol=1e-6)


def test_files_may_have_a_mark_of_byte_order_and_lines_of_windows(images, detections):
    (detections / "a.txt").write_bytes(b"\xef\xbb\xbfGround Track_Field 0.5 1 2 3 4\r\n\r\n  \n")
    (detections / "c.tif.txt").write_text("ship 0.5 1 2 3 4")
    store = build("paddledet", detections, images)
    assert store.features.representation[0, 0, 3] == 1
    assert store.features.representation[store.row("c.tif"), 0, 6] == 1


BAD_LINES = {
    "paddledet": {
        "ship 0.5 1 2 3": "got 4 values",
        "ship 0.5 1 2 3 4 5": "got 6 values",
        "ship 1.5 1 2 3 4": "the score is not between 0 and 1",
        "ship -0.1 1 2 3 4": "the score is not between 0 and 1",
        "ship nan 1 2 3 4": "'nan' is not a finite number",
        "ship 0.5 1 2 inf 4": "'inf' is not a finite number",
        "ship 0.5 1 2 1e999 4": "'1e999' is not a finite number",
        "ship 0.5 1 2 3_0 4": "'3_0' is not a finite number",
        "ship 0.5 1 2 ٣ 4": "is not a finite number",
        "ship 0.5 1 x 3 4": "'x' is not a finite number",
        "ship 0.5 1 2 0 4": "the box has no area",
        "ship 0.5 1 2 3 -4": "the box has no area",
        "ship 0.5 120 2 3 4": "the box lies outside the image (120 x 80 pixels)",
        "ship 0.5 1 -9 3 4": "the box lies outside the image",
        "ship 0.5 1e308 1e308 1e307 1": "is not a finite number",
        "boat 0.5 1 2 3 4": "there is no class 'boat'",
        "8 0.5 1 2 3 4": "there is no class '8'",
        "0.5 1 2 3 4": "there is no class '0.5'",
        "ship": "there is no class 'ship'",
        "ship,0.5,1,2,3,4": "there is no class",
    },
    "yolo": {
        "6 0.5 0.5 0.1 0.1": "there is no score",
        "6 0 0 0.5 0 0.5 0.5 0 0.5": "there is no score",
        "6 0.5 0.5 0.1 0.1 0.9 1": "got 7 values",
        "15 0.5 0.5 0.1 0.1 0.9": "there is no class 15 in the numbering of 15 classes",
        "-1 0.5 0.5 0.1 0.1 0.9": "there is no class -1",
        "1.5 0.5 0.5 0.1 0.1 0.9": "there is no class 1.5",
        "ship 0.5 0.5 0.1 0.1 0.9": "'ship' is not a finite number",
        "6 50 50 10 10 0.9": "the box lies outside the image",
        "6 0.5 0.5 0.1 0.1 90": "the score is not between 0 and 1",
        "6 0.5 0.5 0.0 0.1 0.9": "the box has no area",
    },
    "dota": {
        "a 0.5 1 2 3 4 5 6 7": "got 9 values",
        "x 0.5 1 2 9 2 9 9 1 9": "there is no image x",
        "a 0.5 1 2 9 2 9 9 1 ?": "'?' is not a finite number",
        "a 0.5 1 2 9 2 5 2 1 2": "the box has no area",
        "a 2 1 2 9 2 9 9 1 9": "the score is not between 0 and 1",
        "a 0.5 1 2 9 2 9 9 1 9 9": "there is no image a 0.5",
    },
}


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [(kind, line, said) for kind, table in BAD_LINES.items() for line, said in table.items()],
)
def test_a_bad_line_is_named_or_left_out_and_listed(
    images, detections, caplog, capsys, kind, line, message
):
    good = {
        "paddledet": "ship 0.5 1 2 3 4",
        "yolo": "6 0.5 0.5 0.1 0.1 0.9",
        "dota": "a 0.5 1 2 9 2 9 9 1 9",
    }[kind]
    file = detections / ("Task1_ship.txt" if kind == "dota" else "a.txt")
    file.write_text(f"{good}\n\n{line}\n{line}\n{good}\n")
    said = error_of(kind, detections, images, *STATED.get(kind, ()))
    assert said.startswith(f"{file}:3: ")
    assert message in said
    assert "(and 1 more are invalid)" in said
    assert "--skip-bad" in said
    assert not (images.parent / "out.h5").exists()
    store = build(kind, detections, images, "--skip-bad", *STATED.get(kind, ()))
    assert store.features.representation[0].any()
    assert f"left out: {file}:3: " in caplog.text
    assert f"left out: {file}:4: " in caplog.text
    assert "4 detections: 1 kept, 0 below the minimum score, 1 duplicate" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["paddledet", "yolo"])
def test_detections_of_unknown_images_are_bad(images, detections, kind):
    line = {"paddledet": "ship 0.5 1 2 3 4", "yolo": "6 0.5 0.5 0.1 0.1 0.9"}[kind]
    write_lines(detections / "a.txt", [line])
    write_lines(detections / "empty.txt", ["", " "])
    build(kind, detections, images, *STATED.get(kind, ()))
    write_lines(detections / "x.txt", [line, line])
    said = error_of(kind, detections, images, *STATED.get(kind, ()))
    assert f"x.txt:1: there is no image x.txt in {images} (and 1 more" in said


def test_two_images_or_two_files_of_a_name_are_bad(images, detections):
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"])
    write_lines(detections / "a.png.txt", ["ship 0.5 1 2 3 4"])
    assert "belongs to the same image, a.png" in error_of("paddledet", detections, images)
    Image.new("RGB", (9, 9)).save(images / "a.bmp")
    assert "a.txt is ambiguous: a.bmp or a.png" in error_of("paddledet", detections, images)


def test_other_files_of_dota_are_bad(images, detections):
    write_lines(detections / "Task1_boat.txt", ["a 0.5 1 2 9 2 9 9 1 9"])
    assert "Task1_boat.txt:1: there is no class 'boat'" in error_of("dota", detections, images)
    (detections / "Task1_boat.txt").rename(detections / "Task3_ship.txt")
    assert "Task3_ship.txt:1: is not named" in error_of("dota", detections, images)


def test_what_is_no_text_is_bad_as_a_whole(images, detections, caplog):
    (detections / "a.txt").write_bytes(b"ship 0.5 1 2 3 4\nship 0.5 \xff 2 3 4\n")
    (detections / "x.txt").write_bytes(b"\xff")
    assert "is not text: line 1 is not UTF-8" in error_of("paddledet", detections, images)
    build("paddledet", detections, images, "--skip-bad")
    assert "a.txt: is not text: line 2 is not UTF-8" in caplog.text
    assert "x.txt: is not text" in caplog.text
    (detections / "Task1_ship.txt").write_bytes(b"\xff")
    build("dota", detections / "Task1_ship.txt", images, "--skip-bad")
    assert "Task1_ship.txt: is not text" in caplog.text


def test_a_damaged_image_takes_its_detections_with_it(images, detections, caplog):
    (images / "a.png").write_bytes(b"no image")
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"] * 2)
    assert "cannot be opened as an image" in error_of("paddledet", detections, images)
    build("paddledet", detections, images, "--skip-bad")
    assert caplog.text.count("left out") == 2


def test_wrong_places_are_errors(images, detections, tmp_path):
    assert "no .txt files" in error_of("paddledet", detections, images)
    assert "there is no such file" in error_of("yolo", tmp_path / "none", images)
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"])
    assert "2 paths" in error_of("yolo", [detections, images], images)
    assert "there is no such image folder" in error_of("paddledet", detections, tmp_path / "none")
    assert "contains no image files" in error_of("paddledet", detections, detections)


@pytest.mark.parametrize("name", [b"\xff.png", b"a\nb.png"])
def test_names_that_no_text_file_can_hold_are_passed_over(images, detections, caplog, name):
    write_paddledet(detections, drawn())
    before = build("paddledet", detections, images).names
    shutil.copy(images / "a.png", os.fsencode(images) + b"/" + name)
    assert build("paddledet", detections, images).names == before
    assert "1 with line breaks" in caplog.text


def entry(**changes):
    return {"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4], "score": 0.5, **changes}


BAD_ENTRIES = [
    (7, "is not an object"),
    ({}, "image_id None"),
    (entry(image_id=9), "image_id 9 is not in the list of images"),
    (entry(image_id=[1]), "image_id [1] is not in the list of images"),
    (entry(image_id=2), "there is no image gone.png"),
    (entry(image_id=3), "has 50 x 200 pixels, but 7 x 7 in the list of images"),
    (entry(category_id=6), "there is no class 6 in the numbering"),
    (entry(category_id="6"), "there is no class '6'"),
    (entry(category_id=True), "category_id True is neither a number nor a name"),
    (entry(category_id=[5]), "category_id [5] is neither a number nor a name"),
    (entry(category_id=8), "class 8 is 'boat', and there is no such class in the store's list"),
    (entry(category_id="boat"), "there is no class 'boat'"),
    (entry(bbox=[1, 2, 3]), "bbox is not"),
    (entry(bbox="1 2 3 4"), "bbox is not"),
    (entry(bbox=[1, 2, 3, None]), "None is not a finite number"),
    (entry(bbox=[1, 2, 3, 10**400]), "is not a finite number"),
    (entry(bbox=[1, 2, 0, 4]), "the box has no area"),
    (entry(score=float("nan")), "nan is not a finite number"),
    (entry(score="0.5"), "'0.5' is not a finite number"),
    (entry(score=2), "the score is not between"),
]
LISTED = {
    "images": [
        {"id": 1, "file_name": "test/a.png", "width": 120, "height": 80},
        {"id": 2, "file_name": "gone.png"},
        {"id": 3, "file_name": "b b.jpg", "width": 7, "height": 7},
    ],
    "categories": [{"id": 5, "name": "Ship"}, {"id": 8, "name": "boat"}],
}


@pytest.mark.parametrize(("bad", "message"), BAD_ENTRIES)
def test_a_bad_entry_of_coco_is_named_or_left_out(images, detections, caplog, bad, message):
    (detections / "images.json").write_text(json.dumps(LISTED))
    (detections / "results.json").write_text(json.dumps([entry(), bad]))
    said = error_of("coco", detections, images)
    assert f"{detections / 'results.json'}: entry 2: " in said
    assert message in said
    store = build("coco", detections, images, "--skip-bad")
    assert store.features.representation[0].any()
    assert caplog.text.count("left out") == 1


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("results.json", "[\n{]", "results.json:2: not JSON"),
        ("results.json", "{}", "is not a list of detections"),
        ("results.json", "[" * 100_000, "not readable as JSON"),
        ("results.json", "[" + "1" * 9999 + "]", "not readable as JSON"),
        ("results.json", b"\xff\xfe\xfd", "not readable as JSON"),
        ("images.json", "7", "has no list of images"),
        ("images.json", '[{"id": 1}]', "image 1: has no id and file_name"),
        (
            "images.json",
            '[{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]',
            "duplicate id 1",
        ),
        ("images.json", '[{"id": 1, "file_name": "a", "width": 0, "height": 1}]', "write pixels"),
        ("images.json", '{"images": [], "categories": {}}', "its categories are not"),
        (
            "images.json",
            '{"images": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "its categories have duplicate ids",
        ),
    ],
)
def test_bad_json_is_an_error(images, detections, file, text, message):
    write_coco(detections, drawn())
    (detections / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in error_of("coco", detections, images)
    (detections / file).unlink()
    assert f"{file}: cannot be read" in error_of("coco", detections, images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "contains no classes"),
        ("a\nb\na\n", "classes.txt:3: the class a is already on line 1"),
        ("a\n\nb\n", "classes.txt:2: the line is blank"),
    ],
)
def test_a_bad_list_of_classes_is_an_error(images, detections, tmp_path, text, message):
    path = tmp_path / "classes.txt"
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"])
    path.write_text(text)
    assert message in error_of("paddledet", detections, images, "--store-classes", str(path))
    path.unlink()
    assert "neither a file" in error_of(
        "paddledet", detections, images, "--store-classes", str(path)
    )


def test_impossible_options_are_errors(images, detections):
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"])
    assert "min_score" in error_of("paddledet", detections, images, "--min-score", "7")
    assert "objects" in error_of("paddledet", detections, images, "--objects", "2.5")
    said = error_of("paddledet", detections, images, "--set", "dataset.drea.gain=2")
    assert "add --path_opt" in said
    with pytest.raises(SystemExit):
        build("paddledet", detections, images, "--gain", "much")


WORDS = "ship plane ground track field 0.5 0 1 3 20 -4 nan 1e5 a x inf 0x1 é , 1_0 c.tif 6 NaN"
words = st.sampled_from([*WORDS.split(), "\x00", "\t", "\x0c", "\u2028"])
lines = st.lists(words, max_size=12).map(" ".join)


@pytest.mark.parametrize("kind", ["paddledet", "yolo", "dota"])
@settings(max_examples=60, deadline=None)
@given(st.lists(lines, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_nothing_is_lost_in_silence(tmp_path_factory, kind, content, end):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "images").mkdir()
    for name in ("a.png", "c.tif"):
        Image.new("RGB", (40, 30)).save(folder / "images" / name)
    path = folder / ("Task2_ship.txt" if kind == "dota" else "a.txt")
    path.write_bytes(end.join(content).encode())
    from galr.detectors.build import build_store

    arguments = (kind, [path], folder / "images", folder / "out.h5", DreaOptions())
    stated = {"numbering": dict(enumerate(DOTA_CLASSES))} if kind == "yolo" else {}
    report = build_store(*arguments, skip_bad=True, **stated)
    assert report.detections == sum(1 for line in content if line.strip())
    good = report.detections - len(report.left_out)
    assert report.kept + report.weak <= good
    if report.left_out:
        with pytest.raises(UserError):
            build_store(*arguments, **stated)


def test_ids_of_images_are_found_as_text_or_number(images, detections):
    listed = [{"id": 1, "file_name": "sub\\A.PNG"}, {"id": "2", "file_name": "c.png"}]
    (detections / "images.json").write_text(json.dumps({"images": listed}))
    boxes = [entry(image_id=key, category_id="ship") for key in ("1", 2)]
    (detections / "results.json").write_text(json.dumps(boxes))
    store = build("coco", detections, images)
    found = store.features.adjacency.any(axis=(1, 2))
    assert [name for name, any_there in zip(store.names, found, strict=True) if any_there] == [
        "a.png", "c.tif"
    ]  # fmt: skip


def test_class_folders_give_one_store_by_names_with_their_folder(images, detections):
    for folder in ("airport", "beach"):
        (images / folder).mkdir()
        (detections / folder).mkdir()
        shutil.copy(images / "a.png", images / folder / "001.png")
        write_lines(detections / folder / "001.txt", ["ship 0.5 1 2 3 4"])
        (images / folder / "._001.png").write_bytes(b"\x00\x05\x16\x07")
        (detections / folder / "._001.txt").write_bytes(b"\x00\x05\x16\x07")
    store = build("paddledet", detections, images)
    assert {"airport/001.png", "beach/001.png", "a.png"} <= set(store.names)
    rows = [store.names.index(f"{folder}/001.png") for folder in ("airport", "beach")]
    assert store.features.representation[rows].any(axis=(1, 2)).all()
