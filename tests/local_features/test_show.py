import numpy as np
import pytest
from PIL import Image

from galr.common.errors import UserError
from galr.detectors.command import main
from galr.detectors.scene import read_scenes
from galr.local_features.store import read_store, write_local_features


@pytest.fixture
def store(tmp_path):
    for folder in ("images", "detections"):
        (tmp_path / folder).mkdir()
    for name, size in (("a.png", (80, 60)), ("b.png", (30, 90)), ("c.png", (50, 50))):
        Image.new("RGB", size, (90, 120, 90)).save(tmp_path / "images" / name)
    ships = ["ship 0.9 0 0 40 30", "ship 0.9 0 0 40 29", "plane 0.8 50 40 9 9", "ship 0.1 1 1 9 9"]
    (tmp_path / "detections" / "a.txt").write_text("\n".join(ships))
    (tmp_path / "detections" / "b.txt").write_text("harbor 0.8 0 0 30 30\n")
    paths = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "s.h5")]
    main(["build", "--format", "paddledet", "--detections", str(tmp_path / "detections"), *paths])
    return str(tmp_path / "s.h5")


def test_the_scene_of_an_image_has_what_was_kept_and_what_was_dropped(store):
    (scene,) = read_scenes(read_store(store), ["a"])
    assert scene.labels == ["ship", "plane"]
    assert scene.picture.size == (80, 60)
    np.testing.assert_allclose(scene.objects[0].centre * [80, 60], [20, 15], atol=1e-5)
    assert scene.dropped.tolist() == [[0, 0, 40, 29], [1, 1, 10, 10]]
    assert scene.caption == "a.png: 2 objects kept, 2 detections dropped"


def test_one_image_and_several_are_drawn(store, tmp_path, capsys):
    main(["show", store, "--image", "a.png", "--out", str(tmp_path / "one.png")])
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width > 800
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (np.abs(colours - (214, 39, 40)).sum(axis=1) < 40).any()  # the red of ships
    main(["show", store, "--image", "a", "b", "c", "--out", str(tmp_path / "sheet.png")])
    assert "c.png: 0 objects kept, 0 detections dropped" in capsys.readouterr().out
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 800


def test_without_the_detections_the_kept_objects_are_drawn(store, tmp_path, caplog):
    (tmp_path / "detections").rename(tmp_path / "moved")
    (tmp_path / "images").rename(tmp_path / "pictures")
    pictures = str(tmp_path / "pictures")
    main(["show", store, "--image", "a", "--images", pictures, "--out", str(tmp_path / "o.png")])
    assert "dropped detections are not drawn" in caplog.text
    moved = ["--format", "paddledet", "--detections", str(tmp_path / "moved")]
    caplog.clear()
    out = ["--out", str(tmp_path / "o.png")]
    main(["show", store, "--image", "a", "--images", pictures, *moved, *out])
    assert not caplog.records


def test_a_converted_store_shows_its_rows(store, tmp_path):
    features = read_store(store).features
    path = tmp_path / "released.h5"
    names = ["a.txt", "b.txt", "c.txt"]
    write_local_features(path, names, features.representation, features.adjacency, None)
    with pytest.raises(UserError, match="does not record its image folder"):
        read_scenes(read_store(path), ["a.png"])
    (scene,) = read_scenes(read_store(path), ["a.png"], str(tmp_path / "images"))
    assert scene.labels == ["class 6", "class 0"]


def test_wrong_calls_are_errors(store, tmp_path):
    with pytest.raises(UserError, match="no entry for x"):
        main(["show", store, "--image", "x", "--out", str(tmp_path / "o.png")])
    with pytest.raises(UserError, match="end it with"):
        main(["show", store, "--image", "a", "--out", str(tmp_path / "o.xyz")])
    with pytest.raises(UserError, match="give both or neither"):
        main(["show", store, "--image", "a", "--format", "coco", "--out", str(tmp_path / "o.png")])
