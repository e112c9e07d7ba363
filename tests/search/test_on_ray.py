"""An archive that is encoded on a Ray cluster of two nodes, one of which is killed meanwhile."""

import shutil

import numpy as np
import pytest

from galr.common import cli
from galr.search.__main__ import main
from galr.search.archive import Archive
from galr.search.build import build_archive

pytestmark = pytest.mark.cluster


@pytest.fixture
def many(learned, tmp_path):
    """120 images, and a damaged one."""
    folder = tmp_path / "many"
    folder.mkdir()
    images = sorted(path for path in learned.images.iterdir() if path.suffix == ".png")
    for number in range(120):
        shutil.copy(images[number % len(images)], folder / f"{number}.png")
    (folder / "damaged.png").write_bytes(b"damaged")
    return folder


@pytest.mark.filterwarnings("ignore")
def test_an_archive_of_two_nodes_is_that_of_one_process_though_a_node_is_lost(
    learned, many, tmp_path, two_nodes
):
    from galr.search.rows import Encoding

    def engine(work, batches):
        for number, encoded in enumerate(Encoding.run_on_ray(work, batches)):
            if number == 4:
                two_nodes()
            yield encoded

    options = {"batch_size": 4, "device": "cpu"}
    built = build_archive(many, learned.checkpoint, tmp_path / "ray", engine=engine, **options)
    alone = build_archive(many, learned.checkpoint, tmp_path / "alone", **options)
    assert built == alone
    assert (built.images, built.unreadable) == (120, ("damaged.png",))
    found, expected = Archive.open(tmp_path / "ray"), Archive.open(tmp_path / "alone")
    names = [found.files[number].name for number in range(len(found))]
    assert names == [expected.files[number].name for number in range(len(expected))]
    assert len(set(names)) == 120
    assert np.array_equal(found.embeddings, expected.embeddings)


@pytest.mark.filterwarnings("ignore")
def test_the_command_takes_the_cluster(learned, many, tmp_path, two_nodes, capsys):
    arguments = ["index", "--images", many, "--checkpoint", learned.checkpoint, "--engine", "ray",
                 "--out", tmp_path / "a", "--device", "cpu"]  # fmt: skip
    assert cli.run(main, list(map(str, arguments))) == 0
    assert "120 images, 120 newly encoded; 1 could not be read" in capsys.readouterr().out
