"""Tiles of scenes on the page: their scene, a map, boxes, and the GeoJSON file."""

import json
import shutil

import pytest

from galr.search.archive import Archive
from tests.search.serve.conftest import client_of, serving
from tests.search.test_tiles import SIDE
from tests.search.test_tiles import folder as folder
from tests.search.test_tiles import scene as scene
from tests.search.test_tiles import tiled as tiled

CHROMIUM = shutil.which("chromium")


def test_answers_hold_places_and_a_box_limits_them(tiled, scene):
    archive = Archive.open(tiled)
    with client_of(archive) as client:
        about = client.get("/api/archive").json()
        assert about["tiles"] is True
        assert len(about["outlines"]) == 3  # of the scenes with coordinates
        answer = client.post("/api/search", json={"text": scene[0], "k": 20}).json()
        expected = archive.query(scene[0], k=20)
        assert [one["name"] for one in answer["results"]] == [match.name for match in expected]
        for one, match in zip(answer["results"], expected, strict=True):
            assert one["tile"]["window"] == list(match.tile.window)
            assert one["tile"]["merged"] == match.tile.merged
        assert len(answer["geojson"]["features"]) == len(expected)
        box = {"text": scene[0], "bbox": "15,46.98,15.1,47"}
        inside = client.post("/api/search", json=box).json()["results"]
        assert {one["tile"]["scene"] for one in inside} == {"4326.tif"}
        wrong = client.post("/api/search", json={**box, "bbox": "1,2"})
        assert wrong.status_code == 422
        assert "west,south,east,north" in wrong.json()["error"]
        number = inside[0]["number"]
        views = [client.get(f"/images/{number}/{view}") for view in ("thumb", "scene")]
        assert [view.headers["content-type"] for view in views] == ["image/jpeg"] * 2
        details = client.get(f"/api/images/{number}").json()
        assert (details["width"], details["height"]) == (SIDE, SIDE)


def test_an_archive_of_images_has_no_scenes(client, learned):
    assert client.get("/api/archive").json()["tiles"] is False
    assert client.get("/images/0/scene").status_code == 404
    asked = client.post("/api/search", json={"text": learned.pairs[0][0], "bbox": "0,0,1,1"})
    assert asked.status_code == 422


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_the_map_in_a_browser(tiled, scene, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    expect = sync_api.expect
    wrong = []
    with serving(Archive.open(tiled)) as address, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        page.set_default_timeout(8000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.get_by_label("Describe a scene").fill(scene[0])
        page.get_by_label("Within").fill("15,46.98,15.1,47")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_contain_text("places")
        cards = page.locator(".card")
        expect(cards.first).to_contain_text("4326.tif, x ")
        canvas = page.locator("#map")
        drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        assert canvas.evaluate(drawn) > 10
        with page.expect_download() as download:
            page.get_by_role("button", name="Export GeoJSON").click()
        download.value.save_as(tmp_path / "found.geojson")
        features = json.loads((tmp_path / "found.geojson").read_text())["features"]
        assert len(features) == cards.count()
        assert {f["geometry"]["type"] for f in features} == {"Polygon"}
        cards.first.click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("On the scene")
        expect(dialog).to_contain_text("Longitude 15.0")
        whole = dialog.locator("figure.whole img")
        expect(whole).to_be_visible()
        frame, shown = dialog.locator("figure.whole .box").bounding_box(), whole.bounding_box()
        left = features[0]["properties"]["left"]
        assert frame["width"] == pytest.approx(SIDE * shown["width"] / 200, abs=6)
        assert frame["x"] - shown["x"] == pytest.approx(left * shown["width"] / 200, abs=4)
        page.keyboard.press("Escape")
        before = cards.count()
        box = canvas.bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 12, middle[1] + 12, steps=3)
        page.mouse.up()
        expect(page.locator("#bbox")).not_to_have_value("15,46.98,15.1,47")
        expect(cards).not_to_have_count(before)
        browser.close()
    assert wrong == []
