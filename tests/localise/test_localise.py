"""python -m galr.localise on small scenes with and without coordinates."""

import json

import numpy as np
import pytest
from PIL import Image

from galr.common import cli
from galr.common.errors import UserError
from galr.localise import encode
from galr.localise.__main__ import main
from galr.options import Options
from galr.scenes.scene import Scene
from galr.scenes.windows import average_over_cover, cover
from tests.search.conftest import learned as learned

rasterio = pytest.importorskip("rasterio")
pytest.importorskip("cv2")

from tests.scene_files import PLACE, SIDE, scene_pixels, write_tiff  # noqa: E402 - needs rasterio


def run(capsys, *arguments):
    status = cli.run(main, [str(argument) for argument in arguments])
    return status, capsys.readouterr()


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633"])
def test_the_place_is_found_and_has_its_coordinates(learned, tmp_path, capsys, crs):
    caption, scene = scene_pixels(learned)
    if crs == "EPSG:4326":
        transform = rasterio.transform.from_origin(15.0, 47.0, 1e-4, 1e-4)
    else:
        transform = rasterio.transform.from_origin(500000, 5200000, 0.5, 0.5)
    write_tiff(tmp_path / "scene.tif", scene, crs=crs, transform=transform)
    out = tmp_path / "out"
    status, told = run(
        capsys, "--image", tmp_path / "scene.tif", "--text", caption, "--checkpoint",
        learned.checkpoint, "--windows", SIDE, "--out", out,
    )  # fmt: skip
    assert status == 0, told.err
    result = json.loads((out / "result.json").read_text())
    left, top, right, bottom = result["queries"][0]["regions"][0]["pixel_box"]
    centre = (left + right) / 2 / SIDE, (top + bottom) / 2 / SIDE
    assert centre == pytest.approx((PLACE[0] + 0.5, PLACE[1] + 0.5), abs=0.5)
    geojson = json.loads((out / "regions.geojson").read_text())
    ring = np.array(geojson["features"][0]["geometry"]["coordinates"][0])
    expected = np.array(
        [
            (transform.c + transform.a * x, transform.f + transform.e * y)
            for x, y in ((left, top), (right, bottom))
        ]
    )
    if crs == "EPSG:32633":
        expected = np.array(
            rasterio.warp.transform(crs, "EPSG:4326", expected[:, 0], expected[:, 1])
        ).T
    assert ring.min(axis=0) == pytest.approx(expected.min(axis=0), abs=2e-6)
    assert ring.max(axis=0) == pytest.approx(expected.max(axis=0), abs=2e-6)
    with rasterio.open(out / result["queries"][0]["map"]) as raster:
        assert raster.crs == rasterio.crs.CRS.from_string(crs)
        assert raster.read(1).max() == 1
    assert not list(out.glob("windows.*"))


def test_pixels_without_data_are_never_found(learned, tmp_path, capsys):
    caption, scene = scene_pixels(learned)
    left, top = PLACE[0] * SIDE, PLACE[1] * SIDE
    scene[top : top + SIDE, left : left + SIDE] = 0
    transform = rasterio.transform.from_origin(100, 200, 2, 2)
    write_tiff(tmp_path / "scene.tif", scene, nodata=0, transform=transform)
    arguments = ["--text", caption, "--checkpoint", learned.checkpoint, "--windows", SIDE]
    status, told = run(
        capsys, "--image", tmp_path / "scene.tif", *arguments, "--out", tmp_path / "out"
    )
    assert status == 0, told.err
    write_tiff(tmp_path / "empty.tif", np.zeros_like(scene), nodata=0, transform=transform)
    status, told = run(
        capsys, "--image", tmp_path / "empty.tif", *arguments, "--out", tmp_path / "none"
    )
    assert status == 2
    assert "no window contains enough data" in told.err
    assert not (tmp_path / "none" / "result.json").exists()


def test_an_interrupted_run_resumes_with_the_windows_that_are_done(
    learned, tmp_path, capsys, monkeypatch
):
    caption, scene = scene_pixels(learned)
    Image.fromarray(scene).save(tmp_path / "scene.png")
    monkeypatch.setattr(encode, "BATCH", 16)
    encoded, out = [], tmp_path / "out"
    arguments = ["--image", tmp_path / "scene.png", "--text", caption, "--checkpoint",
                 learned.checkpoint, "--windows", SIDE, "--out", out]  # fmt: skip
    real = encode._encoded

    def stopping(read, encoder, dense):
        if len(encoded) == 1:
            raise KeyboardInterrupt
        encoded.append(len(read.usable))
        return real(read, encoder, dense)

    monkeypatch.setattr(encode, "_encoded", stopping)
    assert run(capsys, *arguments)[0] == 130
    monkeypatch.setattr(encode, "_encoded", lambda *given: encoded.append(1) or real(*given))
    assert run(capsys, *arguments)[0] == 0
    result = (tmp_path / "out" / "result.json").read_text()
    assert json.loads((tmp_path / "out" / "regions.geojson").read_text())["units"] == "pixels"
    windows = len(cover(5 * SIDE, 4 * SIDE, (SIDE,)))
    assert windows == 63
    assert encoded == [56, 1]  # what lies on the grid as one block, and the last column or row
    whole = [word if word != tmp_path / "out" else tmp_path / "whole" for word in arguments]
    assert run(capsys, *whole)[0] == 0
    assert (tmp_path / "whole" / "result.json").read_text() == result


@pytest.mark.parametrize("done", ["1e999", "-1", "9", '"a"', "null"])
def test_progress_that_cannot_be_is_none(tmp_path, done):
    (tmp_path / "windows.json").write_text(f'{{"key": "k", "done": {done}}}')
    assert encode._done(tmp_path / "windows.json", "k", 8) == 0
    np.save(tmp_path / "windows.npy", np.zeros((2, 4), np.float32))
    assert encode._kept_rows(tmp_path / "windows.npy", (2, 4)) is not None
    assert encode._kept_rows(tmp_path / "windows.npy", (3, 4)) is None
    (tmp_path / "windows.npy").write_bytes(b"damaged")
    assert encode._kept_rows(tmp_path / "windows.npy", (2, 4)) is None


def test_annotated_scenes_are_measured(learned, tmp_path, capsys):
    caption, scene = scene_pixels(learned)
    Image.fromarray(scene).save(tmp_path / "scene.png")
    left, top = PLACE[0] * SIDE, PLACE[1] * SIDE
    square = [[left, top], [left + SIDE, top], [left + SIDE, top + SIDE], [left, top + SIDE]]
    entries = [{"jpg_name": "scene.png", "caption": caption, "points": [square]}]
    (tmp_path / "anno.json").write_text(json.dumps(entries))
    arguments = ["evaluate", "--annotations", tmp_path / "anno.json", "--images", tmp_path,
                 "--checkpoint", learned.checkpoint, "--windows", SIDE]  # fmt: skip
    status, told = run(capsys, *arguments, "--out", tmp_path / "out")
    assert status == 0, told.err
    row = json.loads((tmp_path / "out" / "results.json").read_text())["rows"][0]
    assert row["iou"] > 0.3
    assert row["ap"] > 0.3
    assert "mean of 1 queries" in told.out
    other = {
        **entries[0],
        "caption": learned.pairs[3][0],
        "points": [[[0, 0], [SIDE, 0], [0, SIDE]]],
    }
    (tmp_path / "anno.json").write_text(json.dumps([*entries, other]))
    status, told = run(capsys, *arguments, "--out", tmp_path / "two", "--chance")
    assert status == 0, told.err
    results = json.loads((tmp_path / "two" / "results.json").read_text())
    assert results["rows"][0]["ap"] > results["chance"]["ap"]
    assert "chance: maps of other queries" in told.out
    for change, message in (
        ({"points": [[[1, 1]]]}, "entry 0: points is not a list of polygons"),
        ({"points": [[[900, 900], [950, 900], [950, 950]]]}, "lies outside the scene of 200 x 160"),
        ({"caption": " "}, "entry 0: caption is missing or not text"),
        ({"jpg_name": "none.png"}, "entry 0: there is no image"),
    ):
        (tmp_path / "anno.json").write_text(json.dumps([{**entries[0], **change}]))
        status, told = run(capsys, *arguments, "--out", tmp_path / "bad")
        assert status == 2
        assert message in told.err
        assert not (tmp_path / "bad" / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "none.tif"], "none.tif: there is no such scene"),
        (["--image", "text.tif"], "text.tif: is not a raster image"),
        (["--windows", "4000"], "none fits into the scene of 200 x 160 pixels"),
        (["--bands", "1,2,9"], "has 3 bands"),
        (["--text", "qwxyz"], "contains no word that the model knows"),
        (["--stretch", "9,3"], "is not LOW,HIGH"),
        (["--checkpoint", "text.tif"], "text.tif"),
    ],
)
def test_bad_input_is_one_line(learned, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    caption, scene = scene_pixels(learned)
    Image.fromarray(scene).save("scene.png")
    (tmp_path / "text.tif").write_text("no image")
    given = {"--image": "scene.png", "--text": caption, "--checkpoint": learned.checkpoint,
             "--out": "out", "--windows": SIDE}  # fmt: skip
    given |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    try:
        status, told = run(capsys, *(word for pair in given.items() for word in pair))
    except SystemExit as stopped:
        status, told = stopped.code, capsys.readouterr()
    assert status == 2
    assert message in told.err
    assert "Traceback" not in told.err
    assert "GDAL" not in told.err
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_reference_system_that_is_not_of_the_earth_is_refused(learned, tmp_path, capsys):
    caption, scene = scene_pixels(learned)
    local = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'
    transform = rasterio.transform.from_origin(100, 200, 1, 1)
    write_tiff(tmp_path / "scene.tif", scene, crs=local, transform=transform)
    status, told = run(
        capsys, "--image", tmp_path / "scene.tif", "--text", caption, "--checkpoint",
        learned.checkpoint, "--windows", SIDE, "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 2, told.err
    assert "cannot be related to WGS84" in told.err
    assert not list((tmp_path / "out").glob("*"))


def encoder_of(learned):
    from galr.trained_model import load

    return load(learned.checkpoint)


def test_windows_in_blocks_are_the_windows_alone(learned, tmp_path):
    from galr.localise.encode import encode_windows

    _, scene = scene_pixels(learned)
    Image.fromarray(scene).save(tmp_path / "scene.png")
    encoder = encoder_of(learned)
    windows = cover(5 * SIDE, 4 * SIDE, (32, 64))
    with Scene(tmp_path / "scene.png") as opened:
        found = encode_windows(opened, windows, encoder, "", tmp_path / "a")
        shared = encode_windows(opened, windows[:0:-1], encoder, "", tmp_path / "b")
    cut = [scene[top:bottom, left:right] for left, top, right, bottom in windows.tolist()]
    alone = encoder.encode_images(cut).numpy()
    same = windows[:, 2] - windows[:, 0] == encoder.side  # nothing is resized
    np.testing.assert_allclose(found[same], alone[same], atol=1e-5)
    assert (found * alone).sum(axis=1).min() > 0.99
    np.testing.assert_allclose(shared, found[:0:-1], atol=1e-3)


def test_dense_windows_of_one_picture_are_the_windows(learned):
    from galr.localise.dense import encode_grid

    encoder = encoder_of(learned)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (encoder.side, encoder.side, 3), dtype=np.uint8)
    alone = encoder.encode_pixels(picture[None]).numpy()
    np.testing.assert_allclose(encode_grid(encoder, picture, 32).numpy(), alone, atol=1e-5)
    # of one value everywhere, windows that the border does not reach are alike
    flat = np.full((32 * 17, 32 * 18, 3), 90, dtype=np.uint8)
    grid = encode_grid(encoder, flat, 32).numpy().reshape(17, 18, -1)
    np.testing.assert_allclose(grid[8, 8], grid[8, 9], atol=1e-5)
    assert np.abs(grid[8, 8] - grid[0, 0]).max() > 1e-3


@pytest.mark.parametrize("pooled", ["last", "all"])
def test_dense_windows_give_a_head_the_maps_that_it_pools(learned, pooled):
    from galr.localise.dense import encode_grid
    from galr.model.build import build_model
    from galr.trained_model import TrainedModel

    trained = encoder_of(learned)
    tree = trained.options.model_dump()
    tree["model"]["multiscale"] = {"enabled": False, "pooled": pooled}
    tree["model"]["backbone"]["weights"] = None
    options = Options.model_validate(tree)
    model = build_model(options, trained.vocabulary.words).eval()
    encoder = TrainedModel(model, trained.vocabulary, options)
    picture = np.random.default_rng(0).integers(0, 256, (encoder.side,) * 2 + (3,), dtype=np.uint8)
    alone = encoder.encode_pixels(picture[None]).numpy()
    np.testing.assert_allclose(encode_grid(encoder, picture, 32).numpy(), alone, atol=1e-5)


@pytest.mark.parametrize(("key", "value"), [("pyramid", (32,)), ("average_rotations", True)])
def test_dense_refuses_a_model_that_sees_an_image_several_times(learned, key, value):
    from galr.localise.dense import check_dense

    encoder = encoder_of(learned)
    setattr(encoder.model.image_encoder, key, value)
    with pytest.raises(UserError, match=rf"--dense: .*\(model\.multiscale\.{key}\)"):
        check_dense(np.array([[0, 0, 64, 64]]), encoder)


def test_dense_runs_where_windows_lie_on_the_grid(learned, tmp_path, capsys):
    caption, scene = scene_pixels(learned)
    Image.fromarray(scene).save(tmp_path / "scene.png")
    arguments = ["--image", tmp_path / "scene.png", "--text", caption, "--dense", "--checkpoint",
                 learned.checkpoint, "--out", tmp_path / "out", "--windows", 64]  # fmt: skip
    status, told = run(capsys, *arguments, "--overlap", 0)
    assert status == 0, told.err
    assert json.loads((tmp_path / "out" / "result.json").read_text())["dense"] is True
    status, told = run(capsys, *arguments, "--overlap", 0.4)
    assert status == 2
    assert "do not align with the backbone's last feature map" in told.err


def test_windows_cover_a_scene_to_its_border():
    windows = cover(50, 33, (16, 32, 64))
    assert (windows[:, 2:] - windows[:, :2]).min() == 16
    assert (windows[:, 2:] - windows[:, :2]).max() == 32
    for side in (16, 32):
        own = windows[windows[:, 2] - windows[:, 0] == side]
        assert own[:, 2].max() == 50
        assert own[:, 3].max() == 33


def test_the_mean_of_the_covering_windows_against_a_loop():
    rng = np.random.default_rng(0)
    windows = cover(50, 33, (16, 32))
    values = rng.random((2, len(windows))).astype(np.float32)
    found = average_over_cover(windows, values, 50, 33, 1)
    for y in range(33):
        for x in range(50):
            over = (
                (windows[:, 0] <= x)
                & (x < windows[:, 2])
                & (windows[:, 1] <= y)
                & (y < windows[:, 3])
            )
            np.testing.assert_allclose(found[:, y, x], values[:, over].mean(axis=1), rtol=1e-5)
