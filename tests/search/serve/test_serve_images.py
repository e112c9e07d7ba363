"""The images of the archive as the server gives them out, and what it tells of each."""

import io
import shutil

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from galr.common.errors import UserError
from galr.images.places import ImageFile
from galr.search.archive import Archive
from galr.search.serve.objects import Objects
from tests.search.serve.conftest import client_of, picture
from tests.search.serve.test_serve_search import refused


@pytest.fixture
def moved(archive_path, test_images, tmp_path):
    """An archive whose images may be changed, and their folder."""
    folder = tmp_path / "scenes"
    shutil.copytree(test_images, folder)
    return Archive.open(archive_path, images=folder), folder


def opened(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/jpeg"
    return Image.open(io.BytesIO(response.content))


def test_images_are_made_small_enough(moved):
    archive, folder = moved
    picture((3000, 1000)).save(folder / archive.files[2].name)
    with client_of(archive) as client:
        assert opened(client.get("/images/2/thumb")).size == (360, 120)
        assert opened(client.get("/images/2/large")).size == (1600, 533)
        assert opened(client.get("/images/1/large")).size == (40, 40)
        details = client.get("/api/images/2").json()
    assert (details["width"], details["height"]) == (3000, 1000)


def test_nothing_but_pixels_leaves_the_server(moved):
    archive, folder = moved
    noted, exif = PngInfo(), Image.Exif()
    noted.add_text("Comment", "SECRET")
    noted.add_itxt("XML:com.adobe.xmp", "SECRET")
    exif[0x010E] = "SECRET"
    picture().save(
        folder / archive.files[0].name, "PNG", pnginfo=noted, exif=exif, icc_profile=b"SECRET" * 30
    )
    picture().save(
        folder / archive.files[1].name, "JPEG", comment=b"SECRET", exif=exif, xmp=b"SECRET"
    )
    assert b"SECRET" in (folder / archive.files[1].name).read_bytes()
    with client_of(archive) as client:
        for address in ("/images/0/thumb", "/images/0/large", "/images/1/large"):
            found = opened(client.get(address))
            assert b"SECRET" not in client.get(address).content
            assert not found.getexif()
            assert set(found.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize(
    "address",
    ["/images/6/thumb", "/images/-1/thumb", "/images/0/huge", "/images/1e0/thumb",
     "/images/٣/thumb", f"/images/{'9' * 6000}/thumb", "/images/0", "/images/0/thumb/..%2f..",
     "/images/..%2f..%2fetc%2fpasswd/thumb", "/images/0/..%2f..%2fbest.pth", "/..%2fapp.py",
     "/%2e%2e/app.py", "/app.py", "/page/page.css", "/%00", "/docs", "/openapi.json", "/redoc",
     "/api/images/6", "/api/images/x", "/archive.json", "/model.pth"],
)  # fmt: skip
def test_nothing_else_is_there(client, address):
    refused(client.get(address), 404)


def test_images_that_have_gone(moved):
    archive, folder = moved
    with client_of(archive) as client:
        assert client.get("/images/2/thumb").status_code == 200
        (folder / archive.files[2].name).unlink()
        (folder / archive.files[3].name).write_bytes(b"damaged")
        for number in (2, 3):
            refused(client.get(f"/images/{number}/thumb"), 410, "no longer where it was")
            refused(client.get(f"/api/images/{number}"), 410, "no longer where it was")
        found = client.post("/api/search", json={"text": "red"}).json()["results"]
    assert {one["number"] for one in found if not one["there"]} == {2}


def test_names_that_lead_out_of_the_folder_are_not_followed(moved, tmp_path):
    archive, folder = moved
    picture().save(tmp_path / "outside.png")
    odd = ["../outside.png", str(tmp_path / "outside.png")]
    archive.files = [ImageFile(name, 1, 1) for name in odd] + archive.files[2:]
    assert (folder / odd[0]).is_file()
    with client_of(archive) as client:
        refused(client.get("/images/0/thumb"), 410)
        refused(client.get("/images/1/large"), 410)


def test_a_browser_asks_again_and_is_told_of_a_new_image(moved):
    archive, folder = moved
    with client_of(archive) as client:
        first = client.get("/images/2/thumb")
        tag = {"if-none-match": first.headers["etag"]}
        again = client.get("/images/2/thumb", headers=tag)
        assert (again.status_code, again.content) == (304, b"")
        picture((50, 50)).save(folder / archive.files[2].name)
        assert opened(client.get("/images/2/thumb", headers=tag)).size == (50, 50)


def test_details_tell_the_nearest_captions(client, archive):
    details = client.get("/api/images/2").json()
    expected = archive.closest_captions(2)
    assert [(one["text"], one["score"]) for one in details["captions"]] == expected
    assert details["scene"] is None
    assert details["name"] == archive.files[2].name


def test_details_tell_objects_and_edges(local_archive):
    path, local = local_archive
    archive = Archive.open(path)
    with client_of(archive, objects=Objects(local, archive.manifest)) as client:
        scene = client.get("/api/images/0").json()["scene"]
    assert [one["label"] for one in scene["objects"]] == ["plane", "ship", "plane"]
    assert scene["objects"][0]["score"] == pytest.approx(0.9)
    assert scene["objects"][1]["box"] == pytest.approx([0.5, 0.5, 0.4, 0.2])
    assert scene["edges"] == [[0, 1, 0.5]]


def test_another_store_is_refused(local_archive, archive):
    with pytest.raises(UserError, match=r"local\.h5: is not the store that the archive was built"):
        Objects(local_archive[1], archive.manifest)


def test_the_page_knows_the_archive(client):
    about = client.get("/api/archive").json()
    assert (about["images"], about["exact"], about["rerank"]) == (6, True, True)
    assert [one["number"] for one in about["sample"]] == [0, 1, 2, 3, 4, 5]
    assert len(about["examples"]) == 3
    assert client.get("/page.js").headers["content-type"].startswith("text/javascript")
