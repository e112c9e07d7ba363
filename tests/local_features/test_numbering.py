"""Class numbers mean what somebody stated, and nothing without that."""

import json

import h5py
import pytest

from galr.common.errors import UserError
from galr.detectors.command import main
from galr.detectors.scene import read_scenes
from galr.local_features.numbering import read_classes, read_numbering
from galr.options.sections.drea import DOTA_CLASSES
from tests.local_features.detector_files import (
    build,
    drawn,
    error_of,
    write_coco,
    write_lines,
    write_paddledet,
    write_yolo,
)

# as the data file of ultralytics spells and numbers them
ULTRALYTICS = (
    "plane", "ship", "storage tank", "baseball diamond", "tennis court", "basketball court",
    "ground track field", "harbor", "bridge", "large vehicle", "small vehicle", "helicopter",
    "roundabout", "soccer ball field", "swimming pool",
)  # fmt: skip
HYPHENED = [name.replace(" ", "-") for name in ULTRALYTICS]


@pytest.fixture
def rows():
    """Detections of all classes."""
    return [
        (image, DOTA_CLASSES[number % 15], *rest)
        for number, (image, _, *rest) in enumerate(drawn(seed=3))
    ]


@pytest.fixture
def reference(images, tmp_path, rows):
    """The store of the same detections by name."""
    write_paddledet(tmp_path / "named", rows)
    build("paddledet", tmp_path / "named", images)
    return datasets(images)


def datasets(images):
    with h5py.File(images.parent / "out.h5") as file:
        matrices = [file[name][()].tobytes() for name in ("representation", "adjacency")]
        return [*file["names"].asstr(), *matrices]


def stated_ways(folder):
    """What --classes takes, for the numbering of ultralytics."""
    (folder / "lines.names").write_text("\n".join(ULTRALYTICS) + "\n")
    (folder / "list.yaml").write_text(json.dumps({"path": "x", "names": [*ULTRALYTICS]}))
    mapping = "".join(f"  {number}: {name}\n" for number, name in enumerate(ULTRALYTICS))
    (folder / "mapping.YML").write_text(f"# DOTA\ntrain: images\nnames:\n{mapping}")
    files = [str(folder / name) for name in ("lines.names", "list.yaml", "mapping.YML")]
    return ["ultralytics-dota", "ultralytics-dota-v2.0", *files]


def test_two_numberings_of_the_same_detections_give_the_same_store(
    images, detections, tmp_path, rows, reference
):
    write_yolo(detections, rows)
    build("yolo", detections, images, "--classes", "dota")
    assert datasets(images) == reference
    write_yolo(tmp_path / "ultralytics", rows, classes=HYPHENED)
    for stated in stated_ways(tmp_path):
        build("yolo", tmp_path / "ultralytics", images, "--classes", stated)
        assert datasets(images) == reference, stated
    build("yolo", tmp_path / "ultralytics", images, "--classes", "dota")
    assert datasets(images) != reference


def test_class_numbers_without_a_stated_meaning_are_an_error(images, detections):
    write_lines(detections / "a.txt", ["1 0.5 0.5 0.1 0.1 0.9"])
    said = error_of("yolo", detections, images)
    assert said.startswith(f"{detections}: contains class numbers whose meaning is not defined")
    for choice in (
        "--classes",
        "one class per line",
        "YAML",
        "dota,",
        "ultralytics-dota",
        "coco80",
    ):
        assert choice in said
    assert "not defined" in error_of("yolo", detections, images, "--skip-bad")
    assert not (images.parent / "out.h5").exists()


def test_a_number_outside_the_numbering_is_named(images, detections):
    write_lines(detections / "a.txt", ["14 0.5 0.5 0.1 0.1 0.9", "15 0.5 0.5 0.1 0.1 0.9"])
    said = error_of("yolo", detections, images, "--classes", "ultralytics-dota")
    assert said.startswith(f"{detections / 'a.txt'}:2: there is no class 15 in the numbering of 15")


def test_classes_that_the_store_does_not_have_are_left_out_and_counted(
    images, detections, capsys, caplog
):
    lines = [f"{number} 0.5 0.5 0.{number} 0.2 0.9" for number in (1, 15, 16, 15)]
    write_lines(detections / "a.txt", lines)
    flags = ("--classes", "ultralytics-dota-v2.0")
    said = error_of("yolo", detections, images, *flags)
    assert "a.txt:2: class 15 is 'container-crane', and there is no such class in the st" in said
    assert "(and 2 more are invalid)" in said
    store = build("yolo", detections, images, *flags, "--skip-bad")
    assert store.features.representation[0, :, :15].sum(axis=0).nonzero()[0].tolist() == [6]  # ship
    told = capsys.readouterr().out
    assert "of classes not in the store: container-crane 2, airport 1\n" in told
    assert caplog.text.count("left out") == 3
    store = build("yolo", detections, images, *flags, "--store-classes", "dota-v2.0")
    assert store.drea.classes[15:] == ("container-crane", "airport", "helipad")
    assert store.features.representation[0, :, 15].sum() == 1  # of two that are alike


@pytest.mark.parametrize("first", [0, 1])
def test_categories_of_coco_count_from_where_it_is_said(
    images, detections, tmp_path, rows, reference, first
):
    write_coco(detections, rows, categories=False, first=first, classes=HYPHENED)
    for stated in stated_ways(tmp_path):
        flags = ("--classes", stated, "--first-category", str(first))
        build("coco", detections, images, *flags)
        assert datasets(images) == reference, stated


def test_categories_of_coco_may_be_named_by_its_files(images, detections, rows, reference):
    write_coco(detections, rows, classes=HYPHENED)
    build("coco", detections, images)
    assert datasets(images) == reference
    write_coco(detections, rows, categories=False, first=0, classes=HYPHENED)
    results = json.loads((detections / "results.json").read_text())
    for entry in results:
        entry["category_id"] = ULTRALYTICS[entry["category_id"]]
    (detections / "results.json").write_text(json.dumps(results))
    build("coco", detections, images)
    assert datasets(images) == reference


def test_categories_of_coco_without_a_stated_meaning_are_an_error(images, detections, rows):
    write_coco(detections, rows, categories=False, first=1)
    said = error_of("coco", detections, images)
    assert said.startswith(f"{detections / 'results.json'}: contains class numbers (category_id)")
    assert "ultralytics-dota" in said
    said = error_of("coco", detections, images, "--classes", "dota")
    assert "--first-category: 1" in said
    said = error_of("coco", detections, images, "--first-category", "1")
    assert "needs --format coco and --classes" in said
    flags = ("--classes", "dota", "--first-category", "0")
    assert "there is no class 15 in the numbering" in error_of("coco", detections, images, *flags)
    write_coco(detections, rows)
    assert "has categories" in error_of("coco", detections, images, *flags)


def test_formats_that_hold_names_take_no_numbering(images, detections):
    write_lines(detections / "a.txt", ["ship 0.5 1 2 3 4"])
    said = error_of("paddledet", detections, images, "--classes", "dota")
    assert "format paddledet has class names" in said
    assert "--store-classes" in said
    said = error_of("yolo", detections, images, "--classes", "dota", "--first-category", "1")
    assert "needs --format coco" in said


def test_known_numberings_are_those_of_their_sources():
    assert read_classes("dota") == DOTA_CLASSES
    assert read_classes("ultralytics-dota") == tuple(HYPHENED)
    for known in ("dota", "ultralytics-dota"):
        later = read_classes(f"{known}-v2.0")
        assert later == (*read_classes(known), "container-crane", "airport", "helipad")
        assert read_classes(f"{known}-v1.5") == later[:16]
    coco80, coco91 = read_numbering("coco80"), read_numbering("coco91")
    assert (len(coco80), coco80[0], coco80[11], coco80[79]) == (
        80, "person", "stop sign", "toothbrush"
    )  # fmt: skip
    assert (len(coco91), coco91[1], coco91[13], coco91[90]) == (
        80, "person", "stop sign", "toothbrush"
    )  # fmt: skip
    assert 12 not in coco91
    assert read_numbering("coco80", first=1)[1] == "person"
    assert read_numbering("coco91", first=1) == coco91


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path: x", "has no names of classes"),
        ("names: plane", "has no names of classes"),
        ("names: []", "has no names of classes"),
        ("- plane", "has no names of classes"),
        ("names: {a: plane}", "names: 'a' is not a class number"),
        ("names: {-1: plane}", "names: -1 is not a class number"),
        ("names: {true: plane}", "names: True is not a class number"),
        ("names: [plane, 7]", "names: class 1 is 7"),
        ("names: [no, ship]", "names: class 0 is False"),
        ("names: [' ']", "names: class 0 is ' '"),
        ("names:\n  0: plane\n  0: ship\n", "data.yaml:3: not valid YAML (the key 0 occurs twice)"),
        ("names: [", "data.yaml:1: not valid YAML"),
    ],
)
def test_a_bad_data_file_is_an_error(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_numbering(tmp_path / "data.yaml")
    assert message in str(caught.value)


def test_what_is_neither_a_file_nor_a_numbering_is_an_error():
    with pytest.raises(UserError, match=r"is neither a file nor a known numbering; give .*dota"):
        read_numbering("ultralytics")


def test_show_reads_class_numbers_as_the_build_did(images, detections, tmp_path, caplog):
    lines = ["1 0.5 0.5 0.2 0.2 0.9", "1 0.5 0.5 0.2 0.2 0.8", "7 0.2 0.2 0.1 0.1 0.1"]
    write_lines(detections / "a.txt", lines)
    store = build("yolo", detections, images, "--classes", "ultralytics-dota")
    assert store.origin.numbering == dict(enumerate(HYPHENED))
    (scene,) = read_scenes(store, ["a.png"])
    assert (scene.labels, len(scene.dropped)) == (["ship"], 2)
    detections.rename(tmp_path / "moved")
    moved = ["--format", "yolo", "--detections", str(tmp_path / "moved")]
    out = ["--image", "a.png", "--out", str(tmp_path / "o.png")]
    main(["show", str(store.path), *out, *moved])
    assert not caplog.records
