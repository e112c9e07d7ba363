"""Archives of tiles of scenes: windows, places on the Earth, merged hits, GeoJSON."""

import json

import numpy as np
import pytest
from PIL import Image

from galr.common import cli
from galr.scenes.tiles import Tiling
from galr.search import Archive
from galr.search.__main__ import main
from galr.search.build import build_archive

rasterio = pytest.importorskip("rasterio")

from tests.scene_files import PLACE, SIDE, scene_pixels, write_tiff  # noqa: E402 - needs rasterio

CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
TRANSFORMS = {
    "EPSG:4326": rasterio.transform.from_origin(15.0, 47.0, 1e-4, 1e-4),
    "EPSG:32633": rasterio.transform.from_origin(500000, 5200000, 0.5, 0.5),
}


def run(capsys, *arguments):
    status = cli.run(main, [str(argument) for argument in arguments])
    return status, capsys.readouterr()


@pytest.fixture(scope="module")
def scene(learned):
    return scene_pixels(learned)


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """The scene in two reference systems, with 16 bits, without coordinates, and a broken one."""
    _, pixels = scene
    made = tmp_path_factory.mktemp("scenes")
    for crs, transform in TRANSFORMS.items():
        write_tiff(made / f"{crs[5:]}.tif", pixels, crs=crs, transform=transform)
    Image.fromarray(pixels).save(made / "plain.png")
    Image.fromarray(pixels[:30, :30]).save(made / "small.png")
    blank = np.zeros_like(pixels)
    blank[:, :SIDE] = pixels[:, :SIDE]
    write_tiff(
        made / "blank.tif", blank, nodata=0, crs="EPSG:4326",
        transform=rasterio.transform.from_origin(179.99, -40.0, 1e-4, 1e-4),
    )  # fmt: skip
    (made / "broken.tif").write_bytes((made / "4326.tif").read_bytes()[:200])
    return made


@pytest.fixture(scope="module")
def tiled(learned, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiled") / "archive.index"
    built = build_archive(
        folder,
        learned.checkpoint,
        path,
        captions=learned.captions,
        tiles=Tiling(sides=(SIDE,), overlap=0.5),
    )
    assert built.unreadable == ("broken.tif",)
    assert built.images == built.encoded
    return path


def in_scene(matches, name):
    return [match for match in matches if match.tile.scene == name]


@pytest.mark.parametrize("crs", TRANSFORMS)
def test_the_place_is_found_where_it_lies(tiled, scene, crs):
    archive = Archive.open(tiled)
    place = np.array(PLACE) * SIDE
    best = in_scene(archive.query(scene[0], k=20), f"{crs[5:]}.tif")[0].tile
    assert np.abs(place - best.window[:2]).max() <= SIDE / 2
    t = TRANSFORMS[crs]
    corners = (np.array(best.window[:2]) + CORNERS * SIDE) * [t.a, t.e] + [t.c, t.f]
    if crs != "EPSG:4326":
        corners = np.array(rasterio.warp.transform(crs, "EPSG:4326", *corners.T)).T
    assert best.footprint == pytest.approx(corners, abs=1e-8)
    assert best.centre == pytest.approx(corners.mean(axis=0).tolist())


def test_hits_of_one_place_are_one(tiled, scene):
    archive = Archive.open(tiled)
    matches = archive.query(scene[0], k=60)
    assert [match.rank for match in matches] == list(range(1, len(matches) + 1))
    scores = [match.score for match in matches]
    assert scores == sorted(scores, reverse=True)
    assert max(match.tile.merged for match in matches) > 1
    for one in matches:
        for other in in_scene(matches, one.tile.scene):
            if other.rank > one.rank:
                near = np.abs(np.subtract(one.tile.window[:2], other.tile.window[:2]))
                assert near.max() >= SIDE, (one.tile, other.tile)
    # the best of all places are the best of fewer
    few = archive.query(scene[0], k=3)
    assert [match.number for match in few] == [match.number for match in matches[:3]]
    again = archive.query(scene[0], k=8, rerank=True)
    assert all(match.tile and match.why for match in again)


def test_a_box_admits_what_shares_ground_with_it(tiled, scene):
    archive = Archive.open(tiled)
    box = (15.0, 46.9961, 15.0039, 47.0)  # the upper left tile of the scene in degrees
    found = archive.query(scene[0], k=99, box=box)
    assert {match.tile.scene for match in found} == {"4326.tif"}
    assert all(max(match.tile.window[:2]) < SIDE for match in found)
    across = archive.query(scene[0], k=99, box=(179.9, -41, -179.9, -39))
    assert {match.tile.scene for match in across} == {"blank.tif"}
    assert all(match.tile.window[0] <= SIDE / 2 for match in across)  # the rest holds no data
    assert archive.query(scene[0], box=(0, 0, 1, 1)) == []


def test_the_command_prints_places_and_writes_geojson(tiled, scene, tmp_path, capsys):
    out = tmp_path / "found.geojson"
    status, told = run(capsys, "query", scene[0], "--index", tiled, "--k", 60, "--geojson", out)
    assert status == 0, told.err
    best = in_scene(Archive.open(tiled).query(scene[0]), "4326.tif")[0].tile
    left, top = best.window[:2]
    window = f"x {left}-{left + SIDE} y {top}-{top + SIDE}"
    middle = 15 + 1e-4 * (left + SIDE / 2), 47 - 1e-4 * (top + SIDE / 2)
    assert f"4326.tif  {window}  lon {middle[0]:.6f} lat {middle[1]:.6f}\n" in told.out
    assert f"plain.png  {window}\n" in told.out
    collection = json.loads(out.read_text())
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        properties, geometry = feature["properties"], feature["geometry"]
        assert properties["query"] == scene[0]
        if properties["scene"].endswith(".png"):
            assert geometry is None
            continue
        (ring,) = geometry["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        x, y = np.array(ring).T
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0  # counter-clockwise
    small = [f for f in collection["features"] if f["properties"]["scene"] == "small.png"]
    assert [small[0]["properties"][key] for key in ("width", "height")] == [30, 30]


def test_a_whole_archive_encodes_nothing_again(learned, folder, tiled, scene, capsys):
    before = [match.name for match in Archive.open(tiled).query(scene[0])]
    arguments = ["index", "--images", folder, "--checkpoint", learned.checkpoint, "--out", tiled]
    status, told = run(capsys, *arguments, "--tiles", SIDE, "--overlap", 0.5)
    assert status == 0, told.err
    assert ", 0 newly encoded; 1 could not be read" in told.out
    assert [match.name for match in Archive.open(tiled).query(scene[0])] == before
    number = Archive.open(tiled).number_of(before[0])
    assert Archive.open(tiled).image(number).size == (SIDE, SIDE)
    status, told = run(capsys, *arguments, "--tiles", SIDE, "--overlap", 0.25)
    assert status == 2
    assert "was built with other tiles" in told.err


def test_sixteen_bits_are_stretched_the_same_for_all_tiles(learned, scene, tmp_path):
    caption, pixels = scene
    (tmp_path / "deep").mkdir()
    deep = pixels.astype(np.uint16) * 16 + 500
    transform = rasterio.transform.from_origin(100, 200, 2, 2)  # of no reference system
    write_tiff(tmp_path / "deep" / "deep.tif", deep[..., ::-1], transform=transform)
    tiles = Tiling(sides=(SIDE,), overlap=0.5, bands=(3, 2, 1))
    build_archive(tmp_path / "deep", learned.checkpoint, tmp_path / "a.index", tiles=tiles)
    archive = Archive.open(tmp_path / "a.index")
    best = archive.query(caption, k=1)[0]
    assert np.abs(np.array(PLACE) * SIDE - best.tile.window[:2]).max() <= SIDE / 2
    assert best.tile.footprint is None
    left, top = best.tile.window[:2]
    shown = np.asarray(archive.image(best.number)).astype(int)
    drawn = pixels[top : top + SIDE, left : left + SIDE]
    assert np.corrcoef(shown.ravel(), drawn.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bbox", "1,2,3"], "is not W,S,E,N in degrees"),
        (["--bbox", "0,50,10,40"], "with S below N"),
        (["--rerank", "--bbox", "0,0,10,10"], "--rerank: applies to all images"),
    ],
)
def test_a_wrong_box_is_one_line(tiled, scene, capsys, arguments, message):
    try:
        status, told = run(capsys, "query", scene[0], "--index", tiled, *arguments)
    except SystemExit as stopped:
        status, told = stopped.code, capsys.readouterr()
    assert status == 2
    assert message in told.err


def test_an_archive_of_images_has_no_places(archive_path, learned, capsys, tmp_path):
    ask = ["query", learned.pairs[0][0], "--index", archive_path]
    for more, message in (
        (["--bbox", "0,0,1,1"], "--bbox: needs an archive of scene tiles"),
        (["--geojson", tmp_path / "out.json"], "--geojson: needs an archive of tiles"),
    ):
        status, told = run(capsys, *ask, *more)
        assert status == 2
        assert message in told.err
    index = ["index", "--images", "x", "--checkpoint", "y", "--overlap", 0.5]
    status, told = run(capsys, *index)
    assert status == 2
    assert "add --tiles 256" in told.err
