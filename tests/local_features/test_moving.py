"""Objects that move with their image, against DREA on moved boxes and against moved pixels."""

import numpy as np
import pytest

from galr.common.errors import UserError
from galr.data.transforms import Placement, rotate_and_crop
from galr.local_features.detections import Detections
from galr.local_features.drea import build_local_features
from galr.local_features.moving import Movement, moved_objects
from galr.local_features.store import read_local_features, write_local_features
from galr.options import DreaOptions

OPTIONS = DreaOptions(classes=("a", "b"), objects=6)
SIDE = 200


def detections(boxes, side=SIDE):
    """Boxes (M, 4) of different scores, of both classes in turn."""
    scores = np.linspace(0.9, 0.5, len(boxes))
    names = tuple("ab"[number % 2] for number in range(len(boxes)))
    return Detections(side, side, names, scores, np.asarray(boxes, dtype=np.float64))


BOXES = np.array([[10, 20, 60, 50], [120, 30, 190, 90], [90, 100, 130, 180], [20, 130, 50, 190.0]])


def built(boxes=BOXES, options=OPTIONS):
    representation, adjacency = build_local_features(detections(boxes), options)
    return representation[None], adjacency[None]


def movement(**changes):
    still = Movement.still(1)
    return still._replace(
        **{name: np.array([value], dtype=getattr(still, name).dtype)
           for name, value in changes.items()}
    )  # fmt: skip


@pytest.mark.parametrize("enhance", [True, False])
@pytest.mark.parametrize("denoise", [True, False])
def test_an_image_as_it_is_keeps_its_matrices(enhance, denoise):
    options = OPTIONS.model_copy(update={"enhance": enhance, "denoise": denoise})
    representation, adjacency = built(options=options)
    found = moved_objects(representation, Movement.still(1), options)
    np.testing.assert_allclose(found[0], representation, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], adjacency, rtol=0, atol=1e-5)


def test_a_crop_is_drea_on_the_boxes_that_it_shows():
    representation, _ = built()
    left, top, window = 40, 40, 150
    cut = np.clip(BOXES - [left, top, left, top], 0, window)
    shares = np.prod(cut[:, 2:] - cut[:, :2], axis=1) / np.prod(BOXES[:, 2:] - BOXES[:, :2], axis=1)
    seen = shares >= 0.25
    assert 0 < seen.sum() < len(BOXES)
    scores = np.linspace(0.9, 0.5, len(BOXES))[seen]
    names = tuple("ab"[number % 2] for number in np.flatnonzero(seen))
    expected = build_local_features(Detections(window, window, names, scores, cut[seen]), OPTIONS)
    crop = movement(left=left / SIDE, top=top / SIDE, window=window / SIDE)
    found = moved_objects(representation, crop, OPTIONS)
    np.testing.assert_allclose(found[0][0], expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1][0], expected[1], rtol=0, atol=1e-5)


def drawn(box):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    x0, y0, x1, y1 = box.astype(int)
    pixels[y0:y1, x0:x1] = 255
    return pixels


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_a_box_covers_the_pixels_of_its_object_in_the_view(symmetry, angle):
    box = BOXES[2]
    placement = Placement(angle, 30, 20, 160, symmetry)
    view = np.empty((SIDE, SIDE, 3), np.uint8)
    rotate_and_crop(drawn(box), placement, view)
    rows, columns = np.nonzero(view[:, :, 0] > 127)
    shown = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIDE
    crop = movement(
        angle=angle, left=30 / SIDE, top=20 / SIDE, window=160 / SIDE, symmetry=symmetry
    )
    row = moved_objects(built(box[None])[0], crop, OPTIONS)[0][0, 0]
    centre, half = row[-5:-3], row[-3:-1] / 2
    bounds = np.concatenate([centre - half, centre + half])
    np.testing.assert_allclose(bounds, shown, rtol=0, atol=0.015)


def test_images_without_objects_and_views_without_any_are_zero():
    nothing = np.zeros((2, 6, 7), np.float32)
    far = movement(left=0.0, top=0.9, window=0.05)
    for rows, how in ((nothing, Movement.still(2)), (built()[0], far)):
        found = moved_objects(rows, how, OPTIONS)
        assert not found[0].any()
        assert not found[1].any()


def test_a_store_of_matrices_alone_cannot_move(tmp_path):
    representation, adjacency = built()
    write_local_features(tmp_path / "a.h5", ["a.png"], representation, adjacency, None)
    with pytest.raises(UserError, match="converted from matrices only, so boxes cannot mov"):
        read_local_features(tmp_path / "a.h5", ["a.png"], OPTIONS, movable=True)
    read_local_features(tmp_path / "a.h5", ["a.png"], OPTIONS)


def test_images_that_are_not_square_cannot_move(tmp_path):
    wide = Detections(400, 200, ("a", "b"), np.array([0.9, 0.8]), BOXES[:2])
    representation, adjacency = (each[None] for each in build_local_features(wide, OPTIONS))
    write_local_features(tmp_path / "a.h5", ["a.png"], representation, adjacency, OPTIONS)
    with pytest.raises(UserError, match=r"adjacency of a\.png is not that of its boxes in a squar"):
        read_local_features(tmp_path / "a.h5", ["a.png"], OPTIONS, movable=True)
