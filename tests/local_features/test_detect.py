import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from galr.common.errors import RunError, UserError
from galr.detectors.codebook import Codebook, fit_codebook
from galr.detectors.command import main
from galr.detectors.detection_folder import DetectionFolder
from galr.detectors.image_folder import ImageFolder
from galr.detectors.segments import find_regions
from galr.local_features.store import read_store


def picture(seed, side=96):
    """Bright and dark rectangles on green."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), (60, 110, 60), dtype=np.uint8)
    for _ in range(5):
        x, y, w, h = rng.integers(5, 60), rng.integers(5, 60), *rng.integers(8, 30, 2)
        pixels[y : y + h, x : x + w] = rng.choice([20, 230], 3)
    return Image.fromarray(pixels)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    for number in range(6):
        picture(number).save(folder / f"{number}.png")
    return folder


def detect(*arguments):
    main(["detect", *map(str, arguments)])


def error_of(*arguments):
    with pytest.raises(UserError) as caught:
        detect(*arguments)
    return str(caught.value)


def segments(images, out, *more):
    paths = ["--images", images, "--out", out, "--segment-classes", "3"]
    detect("--method", "segments", *paths, *more)
    return {path.name: path.read_text() for path in sorted(Path(out).glob("*.txt"))}


def test_what_stands_out_is_a_region():
    pixels = np.full((100, 200, 3), (60, 110, 60), dtype=np.uint8)
    pixels[20:50, 40:100] = 240
    found = find_regions(Image.fromarray(pixels))
    assert np.abs(found.boxes[0] - [40, 20, 100, 50]).max() <= 2
    assert found.scores[0] > 0.6
    assert found.descriptors.shape == (len(found.scores), 12)
    assert np.isfinite(found.descriptors).all()
    large = find_regions(Image.fromarray(pixels).resize((800, 400), Image.Resampling.NEAREST))
    assert np.abs(large.boxes[0] / 4 - [40, 20, 100, 50]).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (3, 300), (40, 40)])
def test_an_image_of_one_colour_has_no_regions(size):
    assert len(find_regions(Image.new("RGB", size, (9, 99, 9))).scores) == 0


def test_segments_become_local_features(images, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    (images.parent / "train_filename.txt").write_text("0.png\n0.png\n1.png\n2.png\n")
    files = segments(images, tmp_path / "out")
    assert list(files) == [f"{number}.txt" for number in range(6)]
    assert "fitting pseudo-classes on the 3 images" in caplog.text
    told = capsys.readouterr().out
    command = told.splitlines()[-1].replace("FILE.h5", str(tmp_path / "s.h5")).split()
    assert command[:3] == ["python", "-m", "galr.local_features"]
    main(command[3:])
    store = read_store(tmp_path / "s.h5")
    assert store.drea.classes == ("segment-00", "segment-01", "segment-02")
    assert store.features.representation.any(axis=(1, 2)).all()


def test_the_same_seed_gives_the_same_and_the_codebook_is_used_again(images, tmp_path):
    (images.parent / "train_filename.txt").write_text("0.png\n1.png\n2.png\n3.png\n")
    first = segments(images, tmp_path / "a", "--codebook", tmp_path / "book.npz")
    assert first == segments(images, tmp_path / "b")
    (images.parent / "train_filename.txt").unlink()
    for number in range(5):  # other images must not change the pseudo-classes of the last
        (images / f"{number}.png").unlink()
    again = segments(images, tmp_path / "c", "--codebook", tmp_path / "book.npz")
    assert again == {"5.txt": first["5.txt"]}


def test_test_images_take_no_part_in_the_fit(images, tmp_path):
    (tmp_path / "train.txt").write_text("0\n1\n2\n")
    first = segments(images, tmp_path / "a", "--fit-on", tmp_path / "train.txt")
    picture(99).save(images / "5.png")
    second = segments(images, tmp_path / "b", "--fit-on", tmp_path / "train.txt")
    assert {k: v for k, v in first.items() if k != "5.txt"} == {
        k: v for k, v in second.items() if k != "5.txt"
    }


def test_without_a_list_of_training_images_there_is_a_warning(images, tmp_path, caplog):
    segments(images, tmp_path / "a")
    assert "fitting pseudo-classes on all images" in caplog.text


def test_wrong_calls_of_segments_are_errors(images, tmp_path):
    arguments = ["--method", "segments", "--images", images, "--out"]
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.txt").touch()
    assert "is not empty" in error_of(*arguments, full)
    (tmp_path / "train.txt").write_text("0.png\nx.png\n")
    out = [*arguments, tmp_path / "out"]
    assert "not in" in error_of(*out, "--fit-on", tmp_path / "train.txt")
    assert "cannot be read" in error_of(*out, "--fit-on", tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    assert "lists no images" in error_of(*out, "--fit-on", tmp_path / "empty.txt")
    (tmp_path / "bad.npz").write_text("no")
    assert "not a codebook" in error_of(*out, "--codebook", tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", mean=np.zeros(3), scale=np.zeros(3), centres=np.zeros((2, 3)))
    assert "not a codebook" in error_of(*out, "--codebook", tmp_path / "bad.npz")
    assert "for 999 pseudo-classes" in error_of(*out, "--segment-classes", "999")


def test_a_codebook_is_kept_and_gives_the_nearest_centre(tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.permutation(3).repeat([50, 30, 20])
    points = centres[:, None] * 10 + rng.normal(size=(100, 12))
    book = fit_codebook(points, 3, seed=0)
    kinds = book.assign(points)
    assert [int((kinds == kind).sum()) for kind in range(3)] == [50, 30, 20]  # the commonest first
    book.save(tmp_path / "b.npz")
    assert np.array_equal(Codebook.load(tmp_path / "b.npz").assign(points), kinds)


class FakeBoxes:
    def __init__(self, corners, scores, kinds):
        self.xyxy = self.xyxyxyxy = torch.tensor(corners)
        self.conf, self.cls = torch.tensor(scores), torch.tensor(kinds)

    def __len__(self):
        return len(self.conf)


@pytest.fixture
def package(monkeypatch, tmp_path):
    """In place of ultralytics: finds the same three objects in every image."""
    calls = []

    class YOLO:
        names = {0: "ship", 1: "storage tank"}  # noqa: RUF012 - as the package has it
        oriented = False

        def __init__(self, weights):
            if Path(weights).read_text() != "weights":
                raise ValueError("bad\nfile")

        def predict(self, pictures, **options):
            calls.append((len(pictures), options))
            corners = [[1.0, 2, 31, 42], [5, 5, 5, 9], [200, 200, 210, 210]]
            if self.oriented:
                corners = [[[1.0, 20], [20, 2], [31, 20], [20, 42]]] * 3
            boxes = FakeBoxes(corners, [0.9, 0.8, 0.7], [1.0, 0.0, 0.0])
            empty = FakeBoxes([], [], [])
            found = {"obb": boxes if self.oriented else None, "boxes": boxes}
            none = {"obb": empty if self.oriented else None, "boxes": empty}
            return [
                types.SimpleNamespace(**(found if picture.size == (96, 96) else none))
                for picture in pictures
            ]

    module = types.ModuleType("ultralytics")
    module.YOLO = YOLO
    monkeypatch.setitem(sys.modules, "ultralytics", module)
    for name in ("YOLO_OFFLINE", "YOLO_AUTOINSTALL", "YOLO_VERBOSE"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
    (tmp_path / "model.pt").write_text("weights")
    return types.SimpleNamespace(YOLO=YOLO, calls=calls)


def test_a_model_writes_what_it_finds_under_the_names_of_the_list(
    images, tmp_path, package, caplog, capsys
):
    Image.new("RGB", (50, 50)).save(images / "1.png")
    paths = ["--images", images, "--out", tmp_path / "out"]
    detect("--weights", tmp_path / "model.pt", *paths, "--batch", "4", "--device", "cuda:1")
    assert [call[0] for call in package.calls] == [4, 2]
    assert package.calls[0][1]["device"] == "cuda:1"
    assert (tmp_path / "out" / "0.txt").read_text() == (
        "storage-tank 0.900000 1.000 2.000 30.000 40.000\n"
    )
    assert (tmp_path / "out" / "1.txt").read_text() == ""
    assert "left out: 5 detections: the box has no area" in caplog.text
    assert "left out: 5 detections: the box lies outside the image" in caplog.text
    assert "5 detections in 6 images" in capsys.readouterr().out


def test_an_oriented_model_writes_polygons(images, tmp_path, package):
    package.YOLO.oriented = True
    detect("--weights", tmp_path / "model.pt", "--images", images, "--out", tmp_path / "out")
    lines = (tmp_path / "out" / "0.txt").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("storage-tank 0.900000 1.000 20.000 20.000 2.000 31.000")
    out = tmp_path / "s.h5"
    paths = ["--images", str(images), "--out", str(out)]
    main(["build", "--format", "paddledet", "--detections", str(tmp_path / "out"), *paths])
    row = read_store(out).features.representation[0, 0]
    np.testing.assert_allclose(row[-5:] * [96, 96, 96, 96, 1], [16, 22, 30, 40, 0.9], atol=1e-4)


def test_classes_of_a_model_that_are_not_in_the_list(images, tmp_path, package, caplog):
    package.YOLO.names = {0: "dog", 1: "ship"}
    arguments = ["--weights", tmp_path / "model.pt", "--images", images, "--out", tmp_path / "out"]
    assert "classes that are not in the list: dog" in error_of(*arguments)
    detect(*arguments, "--skip-bad")
    assert (tmp_path / "out" / "0.txt").read_text().startswith("ship 0.9")
    assert "left out: 12 detections: the class dog is not in the list" in caplog.text
    (tmp_path / "classes.txt").write_text("cat\n")
    arguments[-1] = tmp_path / "other"
    assert "dog, ship" in error_of(*arguments, "--skip-bad", "--classes", tmp_path / "classes.txt")


def test_wrong_models_are_errors_of_one_line(images, tmp_path, package, monkeypatch):
    paths = ["--images", images, "--out", tmp_path / "out"]
    assert "there is no such file" in error_of("--weights", tmp_path / "no.pt", *paths)
    (tmp_path / "bad.pt").write_text("no")
    assert "cannot read it (bad file)" in error_of("--weights", tmp_path / "bad.pt", *paths)

    def fail(self, pictures, **options):
        raise RuntimeError("no such device")

    monkeypatch.setattr(package.YOLO, "predict", fail)
    assert "no such device" in error_of("--weights", tmp_path / "model.pt", *paths)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    said = error_of("--weights", tmp_path / "model.pt", *paths)
    assert "pip install ultralytics" in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["yolov8n-obb.yaml", "yolov8n.yaml"])
def test_an_untrained_model_of_the_package_runs(images, tmp_path, kind):
    ultralytics = pytest.importorskip("ultralytics")
    pytest.importorskip("torchvision.ops", exc_type=(ImportError, RuntimeError))
    model = ultralytics.YOLO(kind)
    model.model.names = {number: f"kind {number}" for number in range(80)}
    model.save(tmp_path / "model.pt")
    (tmp_path / "classes.txt").write_text("".join(f"kind-{number}\n" for number in range(80)))
    options = ["--classes", tmp_path / "classes.txt", "--image-size", "96", "--min-score", "1e-6"]
    paths = ["--images", images, "--out", tmp_path / "out"]
    detect("--weights", tmp_path / "model.pt", *paths, *options)
    lines = (tmp_path / "out" / "0.txt").read_text().splitlines()
    assert lines
    assert {len(line.split()) for line in lines} == {10 if "obb" in kind else 6}
    flags = ["--store-classes", str(tmp_path / "classes.txt"), "--min-score", "0"]
    flags += ["--images", str(images), "--out", str(tmp_path / "s.h5")]
    main(["build", "--format", "paddledet", "--detections", str(tmp_path / "out"), *flags])
    assert read_store(tmp_path / "s.h5").features.representation.any()


def test_a_detection_that_was_stopped_goes_on_and_is_not_built_from(images, tmp_path, monkeypatch):
    out = tmp_path / "detections"
    arguments = ["--method", "segments", "--images", images, "--segment-classes", "2"]

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(DetectionFolder, "write_classes", stop)
        with pytest.raises(KeyboardInterrupt):
            detect(*arguments, "--out", out)
    build = ["build", "--format", "paddledet", "--detections", out, "--images", images]
    with pytest.raises(UserError, match="is from an interrupted detection"):
        main([*map(str, build), "--out", str(tmp_path / "local.h5")])
    detect(*arguments, "--out", out)
    detect(*arguments, "--out", tmp_path / "whole")
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".npz"}
    whole = (tmp_path / "whole").iterdir()
    assert files == {path.name: path.read_bytes() for path in whole if path.suffix != ".npz"}


def test_a_second_detection_into_the_same_folder_is_refused(images, tmp_path):
    folder = ImageFolder(images)
    with DetectionFolder(tmp_path / "out", folder) as first:
        with (
            pytest.raises(RunError, match="out: another run is writing to it"),
            DetectionFolder(tmp_path / "out", folder),
        ):
            pass
        first.finish()
