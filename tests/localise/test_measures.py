"""The measures of localisation against their definition and the reference values."""

import json

import numpy as np
import pytest
from PIL import Image

from galr.metrics.localisation import localisation_metrics

pytest.importorskip("cv2")
SQUARE = [[40, 40], [80, 40], [80, 80], [40, 80]]


def test_the_published_evaluation_gives_the_same(parity_root):
    folder = parity_root / "localisation"
    for case in json.loads((folder / "expected.json").read_text()):
        grey = np.asarray(Image.open(folder / case["map"]).convert("L"))
        found = localisation_metrics(grey / 255, case["points"])
        for name in ("rsu", "ras", "rda", "rmi"):
            assert getattr(found, name) == pytest.approx(case[name], abs=1e-6), (case["map"], name)


def test_pixel_measures_against_a_loop_over_thresholds():
    rng = np.random.default_rng(0)
    prob = rng.integers(0, 5, (100, 120)) / 4
    mask = np.zeros((100, 120), dtype=bool)
    mask[40:81, 40:81] = True
    best, area, reached = 0.0, 0.0, 0
    for threshold in sorted(set(prob.ravel()), reverse=True):
        chosen = prob >= threshold
        hits = (chosen & mask).sum()
        best = max(best, hits / (chosen | mask).sum())
        area += (hits - reached) / mask.sum() * hits / chosen.sum()
        reached = hits
    found = localisation_metrics(prob, [SQUARE])
    assert found.iou == pytest.approx(best)
    assert found.ap == pytest.approx(area)


def test_a_peak_in_the_region_is_better_than_one_elsewhere():
    y, x = np.mgrid[:300, :300]

    def peak(at):
        return np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 5000)

    right, wrong = (localisation_metrics(peak(at), [SQUARE]) for at in ((60, 60), (230, 230)))
    assert right.rda == 1
    assert wrong.rda == 0
    assert right.ras < 0.3 < wrong.ras == 1
    assert right.rsu > wrong.rsu
    assert right.rmi == pytest.approx(0.4 * right.rsu + 0.35 * (1 - right.ras) + 0.25)


@pytest.mark.parametrize(
    ("prob", "polygons", "message"),
    [
        (np.zeros(5), [SQUARE], "probability must be"),
        (np.full((100, 100), 2.0), [SQUARE], "within 0 and 1"),
        (np.full((100, 100), np.nan), [SQUARE], "within 0 and 1"),
        (np.zeros((100, 100)), [], "at least one region"),
        (np.zeros((100, 100)), [[[1, 1], [2, 2]]], "a polygon must be"),
        (np.zeros((30, 30)), [SQUARE], "no pixel of the map"),
    ],
)
def test_what_makes_no_sense_is_an_error(prob, polygons, message):
    with pytest.raises(ValueError, match=message):
        localisation_metrics(prob, polygons)
