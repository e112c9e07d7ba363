"""The construction against a slow one from its definition, and what the mathematics says of it."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import galr
from galr.local_features.detections import Detections
from galr.local_features.drea import build_local_features, kept_objects
from galr.options import DreaOptions, Options
from tests.local_features.definition import built_slowly

CLASSES = ("plane", "ship", "ground-track-field")
DREA = DreaOptions(classes=CLASSES, objects=5)

places = st.floats(0, 0.9)
sizes = st.floats(0.01, 0.9)
objects = st.tuples(st.sampled_from(CLASSES), st.floats(0, 1), places, places, sizes, sizes)
images = st.tuples(st.integers(1, 2000), st.integers(1, 2000), st.lists(objects, max_size=12))
options = st.builds(
    DreaOptions,
    classes=st.just(CLASSES),
    objects=st.integers(1, 8),
    min_score=st.sampled_from([0.0, 0.3]),
    denoise=st.booleans(),
    max_similarity=st.sampled_from([0.9, 0.98, 1.0]),
    enhance=st.booleans(),
    radius=st.sampled_from([0.05, 0.2, 3.0]),
    gain=st.sampled_from([0.0, 1.0, 10.0]),
)


def detections_of(image, scale=1.0):
    width, height, found = image
    sides = np.array([width, height, width, height]) * scale
    boxes = [[x, y, min(x + w, 1.0), min(y + h, 1.0)] for _, _, x, y, w, h in found]
    return Detections(
        width * scale,
        height * scale,
        [row[0] for row in found],
        [row[1] for row in found],
        np.reshape(boxes, (-1, 4)) * sides,
    )


def similarities(rows):
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return directions @ directions.T


def without_close_calls(detections, drea):
    """No ties, and no similarity so near the limit that rounding decides."""
    everything = drea.model_copy(update={"denoise": False, "objects": 99})
    rows, _, prominence, _ = kept_objects(detections, everything)
    gaps = [np.diff(np.sort(values)) for values in (prominence, detections.scores)]
    near = np.abs(similarities(rows) - drea.max_similarity) if len(rows) else np.ones((1, 1))
    np.fill_diagonal(near, 1.0)
    return all((gap > 1e-9).all() for gap in gaps) and (near > 1e-9).all()


@pytest.mark.parametrize("block", [1, 3, 512])
@settings(max_examples=70, deadline=None)
@given(images, options)
def test_the_construction_is_that_of_its_definition(block, image, drea):
    detections = detections_of(image)
    assume(without_close_calls(detections, drea))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galr.local_features.drea.BLOCK", block)
        representation, adjacency = build_local_features(detections, drea)
    wanted = built_slowly(detections, drea)
    assert representation.dtype == adjacency.dtype == np.float32
    np.testing.assert_allclose(representation, wanted[0], atol=1e-6)
    np.testing.assert_allclose(adjacency, wanted[1], atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(images, options, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter_without_ties(image, drea, random):
    detections = detections_of(image)
    assume(without_close_calls(detections, drea))
    shuffled = list(image[2])
    random.shuffle(shuffled)
    again = build_local_features(detections_of((*image[:2], shuffled)), drea)
    for first, second in zip(build_local_features(detections, drea), again, strict=True):
        assert np.array_equal(first, second)


@settings(max_examples=100, deadline=None)
@given(images, options, st.floats(0.1, 10))
def test_the_scale_of_image_and_boxes_does_not_matter(image, drea, scale):
    detections = detections_of(image)
    assume(without_close_calls(detections, drea))
    again = build_local_features(detections_of(image, scale), drea)
    for first, second in zip(build_local_features(detections, drea), again, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(images, options)
def test_no_kept_object_repeats_another(image, drea):
    drea = drea.model_copy(update={"denoise": True})
    detections = detections_of(image)
    rows, _, prominence, which = kept_objects(detections, drea)
    assert (np.diff(prominence) <= 0).all()
    assert len(set(which)) == len(which)
    if len(rows):
        classes = rows[:, :3].argmax(axis=1)
        same = (classes[:, None] == classes[None]) & ~np.eye(len(rows), dtype=bool)
        assert (similarities(rows)[same] <= drea.max_similarity + 1e-12).all()


@settings(max_examples=100, deadline=None)
@given(images, options)
def test_the_adjacency_is_symmetric_with_spectral_radius_1(image, drea):
    representation, adjacency = build_local_features(detections_of(image), drea)
    kept = int((np.diag(adjacency) > 0).sum())
    assert np.array_equal(adjacency, adjacency.T)
    assert (adjacency >= 0).all()
    assert not adjacency[kept:].any()
    assert not representation[kept:].any()
    assert (representation[:kept, :3].sum(axis=1) == 1).all()
    assert np.abs(np.linalg.eigvalsh(adjacency.astype(np.float64))).max() <= 1 + 1e-6


@settings(max_examples=100, deadline=None)
@given(images, options, st.floats(0, 5), st.floats(0, 5))
def test_more_gain_never_lowers_the_share_of_the_most_prominent_in_a_row(image, drea, low, more):
    """Before normalisation: e_i1 over the sum of row i, for every object i."""
    detections = detections_of(image)
    _, centres, prominence, _ = kept_objects(detections, drea)
    assume(len(centres) > 0)
    first = int(prominence.argmax())
    shares = []
    for gain in (low, low + more):
        adjusted = drea.model_copy(update={"gain": gain, "enhance": True})
        adjacency = build_local_features(detections, adjusted)[1].astype(np.float64)
        kept = adjacency[: len(centres), : len(centres)]
        # with degrees d_i = row sums, kept_ij = e_ij / sqrt(d_i d_j); sqrt(d) is its eigenvector
        values, vectors = np.linalg.eigh(kept)
        root = np.abs(vectors[:, -1])
        assume(values[-1] - (values[-2] if len(values) > 1 else 0) > 1e-3)
        shares.append(kept[:, first] * root[first] / root)
    assert (shares[1] >= shares[0] - 1e-4).all()


def test_ties_keep_the_order_of_the_input():
    boxes = [[0, 0, 10, 10], [90, 90, 100, 100], [45, 0, 55, 10]]
    detections = Detections(100, 100, ["plane", "plane", "ship"], [0.5, 0.5, 0.5], boxes)
    for denoise in (True, False):
        which = kept_objects(detections, DREA.model_copy(update={"denoise": denoise}))[3]
        assert which.tolist() == [0, 1, 2]


def test_nothing_exceeds_a_similarity_of_1():
    rng = np.random.default_rng(0)
    drea = DREA.model_copy(update={"max_similarity": 1.0, "objects": 40})
    boxes = np.repeat(rng.random((20, 2)) * 40, 2, axis=0)
    found = Detections(
        97,
        89,
        ["plane"] * 40,
        np.repeat(rng.uniform(0.3, 1, 20), 2),
        np.hstack([boxes, boxes + 37]),
    )
    assert len(kept_objects(found, drea)[3]) == 40


def test_alike_objects_of_different_classes_are_both_kept():
    drea = DreaOptions(classes=("a", "b"), max_similarity=0.0)
    box = [10, 10, 60, 60]
    for classes, kept in (([0, 1], 2), ([0, 0], 1)):
        rows, *_ = kept_objects(Detections(100, 100, classes, [0.9, 0.8], [box, box]), drea)
        assert len(rows) == kept


def test_an_image_without_objects_is_zero():
    for detections in (
        Detections(10, 10, [], [], []),
        Detections(10, 10, ["plane"], [0.29], [[1, 1, 2, 2]]),
    ):
        representation, adjacency = galr.build_local_features(detections, DREA)
        assert representation.shape == (5, 8)
        assert adjacency.shape == (5, 5)
        assert not representation.any()
        assert not adjacency.any()


def test_one_object_has_an_edge_of_1_to_itself():
    representation, adjacency = build_local_features(
        Detections(100, 200, ["ship"], [0.75], [[10, 20, 30, 40]]), DREA
    )
    np.testing.assert_allclose(representation[0], [0, 1, 0, 0.2, 0.15, 0.2, 0.1, 0.75])
    assert adjacency[0, 0] == pytest.approx(1.0)


def test_the_smallest_score_is_used():
    detections = Detections(10, 10, ["plane"], [0.3], [[1, 1, 2, 2]])
    assert build_local_features(detections, DREA)[0].any()


def test_objects_of_score_0_are_alike_without_prominence():
    drea = DREA.model_copy(update={"min_score": 0.0})
    boxes = [[0, 0, 10, 10], [50, 50, 100, 100]]
    found = Detections(100, 100, ["plane", "ship"], [0.0, 0.0], boxes)
    _, adjacency = build_local_features(found, drea)
    plain = drea.model_copy(update={"enhance": False})
    _, proximity = build_local_features(found, plain)
    assert np.array_equal(adjacency, proximity)


def test_the_options_may_be_those_of_an_experiment_or_the_defaults():
    detections = Detections(
        640, 480, ["Ship", "ground track field"], [0.9, 0.8], [[0, 0, 9, 9]] * 2
    )
    first = build_local_features(detections)
    assert first[0].shape == (20, 20)
    assert np.array_equal(first[0], build_local_features(detections, Options())[0])
    assert np.array_equal(first[1], build_local_features(detections, DreaOptions())[1])


def test_polygons_become_the_boxes_around_them():
    box = Detections(100, 100, ["ship"], [0.5], [[10, 20, 40, 60]])
    diamond = [[25, 20], [40, 40], [25, 60], [10, 40]]
    for polygons in ([diamond], [np.ravel(diamond)], np.array([diamond])):
        assert np.array_equal(Detections(100, 100, ["ship"], [0.5], polygons).boxes, box.boxes)
    ragged = Detections(100, 100, ["ship"] * 2, [0.5, 0.5], [diamond, [[0, 0], [5, 0], [5, 9]]])
    assert ragged.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 5, 9]]


def test_boxes_are_clipped_to_the_image():
    boxes = Detections(100, 50, ["ship"], [0.5], [[-10, 20, 400, 60]]).boxes
    assert boxes.tolist() == [[0, 20, 100, 50]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, ["ship"], [0.5], [[0, 0, 1, 1]]), "width and a height"),
        ((math.nan, 10, ["ship"], [0.5], [[0, 0, 1, 1]]), "width and a height"),
        ((10, 10, ["ship"], [0.5, 0.5], [[0, 0, 1, 1]]), "same length"),
        ((10, 10, ["ship"] * 2, [0.5, 0.5], [[0, 0, 1, 1]]), "same length"),
        ((10, 10, ["ship"], [1.5], [[0, 0, 1, 1]]), "object 0: the score"),
        ((10, 10, ["ship"], [math.nan], [[0, 0, 1, 1]]), "object 0: the score"),
        (
            (10, 10, ["ship"] * 2, [0.5, 0.5], [[0, 0, 1, 1], [3, 3, 3, 4]]),
            "object 1: the box has no",
        ),
        ((10, 10, ["ship"], [0.5], [[20, 20, 30, 30]]), "outside the image"),
        ((10, 10, ["ship"], [0.5], [[0, 0, math.inf, 1]]), "not finite"),
        ((10, 10, ["ship"], [0.5], [[0, 0, 1]]), "boxes must be"),
        ((10, 10, ["ship"], [0.5], [[[0, 0], [1, 1]]]), "boxes must be"),
    ],
)
def test_a_wrong_call_says_what_was_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Detections(*arguments)


def test_a_class_that_is_not_in_the_list_is_refused():
    with pytest.raises(ValueError, match="there is no class boat among plane, ship"):
        build_local_features(Detections(10, 10, ["boat"], [0.5], [[0, 0, 1, 1]]), DREA)


def test_class_numbers_mean_what_the_caller_says():
    arguments = (10, 10, np.array([1, 0]), [0.9, 0.8], [[0, 0, 5, 5], [5, 5, 9, 9]])
    named = Detections(10, 10, [DREA.classes[1], DREA.classes[0]], *arguments[3:])
    # without a numbering they are indices into the list of classes of the options
    for first, second in zip(
        build_local_features(named, DREA),
        build_local_features(Detections(*arguments), DREA),
        strict=True,
    ):
        assert np.array_equal(first, second)
    for numbering in (["ship", "plane"], {0: "Ship", 1: "plane", 7: "boat"}):
        named = Detections(10, 10, ["plane", "ship"], *arguments[3:])
        numbered = Detections(*arguments, numbering=numbering)
        for first, second in zip(
            build_local_features(named, DREA), build_local_features(numbered, DREA), strict=True
        ):
            assert np.array_equal(first, second)


@pytest.mark.parametrize("number", [2, -1, 0.5, True])
def test_a_class_number_without_a_name_is_refused(number):
    with pytest.raises(ValueError, match="class"):
        Detections(10, 10, [number], [0.5], [[0, 0, 1, 1]], ["plane", "ship"])
