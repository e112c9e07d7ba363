"""A folder of images, and one for the files of a detector."""

import pytest
from PIL import Image

from tests.local_features.detector_files import SIZES


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, size in SIZES.items():
        Image.new("RGB", size).save(folder / name)
    (folder / "Thumbs.db").write_bytes(b"no image")
    return folder


@pytest.fixture
def detections(tmp_path):
    folder = tmp_path / "detections"
    folder.mkdir()
    return folder
