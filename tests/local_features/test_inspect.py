import numpy as np
import pytest

from galr.common.errors import UserError
from galr.detectors.command import main
from galr.local_features.detections import Detections
from galr.local_features.drea import build_local_features
from galr.local_features.store import write_local_features
from galr.options import DreaOptions

DREA = DreaOptions(classes=("ship", "plane"), objects=4)


@pytest.fixture
def store(tmp_path):
    boxes = [[0, 0, 50, 50], [60, 60, 70, 70], [50, 40, 60, 50]]
    images = [
        Detections(100, 100, ["ship", "plane", "ship"], [0.9, 0.8, 0.5], boxes),
        Detections(100, 100, [], [], []),
    ]
    built = [build_local_features(image, DREA) for image in images]
    matrices = [np.stack(part) for part in zip(*built, strict=True)]
    write_local_features(tmp_path / "s.h5", ["a.tif", "b.tif"], *matrices, DREA, "a test")
    return str(tmp_path / "s.h5")


def test_a_store_is_told_in_words(store, capsys):
    main(["inspect", store])
    told = capsys.readouterr().out
    for line in (
        "2 images, at most 4 objects per image, 7 features each",
        "source: a test",
        "objects per image: 0 to 3, median 1.5, mean 1.50",
        "images without objects: 1",
        "      2       1  ship",
        "      1       1  plane",
        "    min_score: 0.3",
    ):
        assert line in told.splitlines() or line in told


def test_an_image_is_told_object_by_object(store, capsys):
    main(["inspect", store, "--image", "a"])
    told = capsys.readouterr().out
    assert "a.tif: 3 objects" in told
    assert "   0  ship                  0.900       1.000  0.250, 0.250   0.500, 0.500" in told
    assert "   1 - 2   " in told
    main(["inspect", store, "--image", "b.png"])
    assert "b.tif: 0 objects" in capsys.readouterr().out
    with pytest.raises(UserError, match="no entry for c"):
        main(["inspect", store, "--image", "c.tif"])
