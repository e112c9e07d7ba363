"""The demo's large scene and its annotations."""

import json

import numpy as np
from PIL import Image

from galr.demo.large_scene import PLACES, make_large_scene


def test_the_scene_is_covered_by_places_with_polygons(tmp_path):
    assert make_large_scene(tmp_path / "a", cell=40) == (320, 240)
    make_large_scene(tmp_path / "b", cell=40)
    for name in ("scene.jpg", "anno.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    entries = json.loads((tmp_path / "a" / "anno.json").read_text())
    assert [entry["caption"] for entry in entries] == [caption for _, caption, _ in PLACES]
    squares = np.array([square for entry in entries for square in entry["points"]])
    corners = {tuple(square[0]) for square in squares.tolist()}
    assert len(corners) == len(squares) == sum(count for _, _, count in PLACES)
    assert (squares[:, 2] - squares[:, 0] == 40).all()
    assert squares.min() == 0 or squares.min() % 40 == 0
    assert squares.max() <= 320
    with Image.open(tmp_path / "a" / "scene.jpg") as scene:
        assert scene.size == (320, 240)
