"""Questions to the server, of people and of those who wish it ill."""

import contextlib
import json
import re
import socket
import struct
import zlib

import httpx
import numpy as np
import pytest
from PIL import Image

from galr.search.serve.limits import Limits
from tests.search.serve.conftest import client_of, encoded, picture

JSON = {"content-type": "application/json"}
PNG = {"content-type": "image/png"}


def refused(response, status, what=""):
    """Every refusal is a line of text without a path of the server or a traceback."""
    assert response.status_code == status, response.text
    line = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert what in line
    assert "\n" not in line
    assert len(line) < 400
    assert not re.search(r"/\w+/|\.py|\.h5|Traceback|0x[0-9a-f]{6}", line), line


def test_a_sentence_finds_what_the_archive_finds(client, archive, learned):
    caption, _ = learned.pairs[0]
    answer = client.post("/api/search", json={"text": caption, "k": 4}).json()
    expected = archive.query(caption, k=4)
    assert [one["name"] for one in answer["results"]] == [match.name for match in expected]
    assert [one["score"] for one in answer["results"]] == [match.score for match in expected]
    assert [one["rank"] for one in answer["results"]] == [1, 2, 3, 4]
    assert answer["understood"] is True
    assert all(one["there"] and one["why"] is None for one in answer["results"])


def test_rerank_comes_with_its_terms(client, archive, learned):
    caption, _ = learned.pairs[1]
    answer = client.post("/api/search", json={"text": caption, "k": 4, "rerank": True}).json()
    expected = archive.query(caption, k=4, rerank=True)
    assert [one["why"] for one in answer["results"]] == [match.why._asdict() for match in expected]


def test_an_image_alone_with_a_sentence_and_of_the_archive(client, archive, learned, test_images):
    body = (test_images / "test_1.png").read_bytes()
    number = archive.number_of("test_1.png")
    alone = client.post("/api/search/image?k=3", content=body, headers=PNG).json()
    assert alone["results"][0]["number"] == number
    like = client.post("/api/search", json={"like": number, "k": 3}).json()
    assert [one["number"] for one in like["results"]] == [one["number"] for one in alone["results"]]
    caption, _ = learned.pairs[0]
    address = f"/api/search/image?k=6&weight=0.8&text={caption}"
    both = client.post(address, content=body, headers=PNG).json()
    expected = archive.query(caption, image=test_images / "test_1.png", weight=0.8, k=6)
    assert [one["number"] for one in both["results"]] == [match.number for match in expected]


def test_words_that_say_nothing_are_told(client):
    answer = client.post("/api/search", json={"text": "zeppelin \u2603 <b>"}).json()
    assert answer["understood"] is False
    assert answer["unknown"] == ["zeppelin", "b"]


@pytest.mark.parametrize(
    "text", ["\x00\x1b[31m red\r\nsquare", "\u202ered", "\U0001f600" * 300, "''; --", "a" * 1000]
)
def test_odd_sentences_are_searched(client, text):
    assert len(client.post("/api/search", json={"text": text}).json()["results"]) == 6


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        (b"", 422, "Invalid query"),
        (b"{", 422, "Invalid query"),
        (b"[]", 422, "Invalid query"),
        (b"\xff\xfe\x00", 422, "Invalid query"),
        (b'{"text": "\\ud800"}', 422, "Invalid query"),
        (b"[" * 20_000, 422, "Invalid query"),
        (b'{"text": 1}', 422, "text: "),
        (b'{"text": "red", "k": 0}', 422, "k: "),
        (b'{"text": "red", "k": -5}', 422, "k: "),
        (b'{"text": "red", "k": 1e99}', 422, "k: "),
        (b'{"text": "red", "k": 101}', 422, "At most 100 results"),
        (b'{"text": "red", "k": true}', 422, "k: "),
        (b'{"text": "red", "weight": NaN}', 422, "weight"),
        (b'{"text": "red", "image": "/etc/passwd"}', 422, "image: "),
        (b'{"like": -1}', 422, "like: "),
        (b'{"like": 6}', 404, "no image of that number"),
        (b'{"like": 99999999999999999999999}', 404, "no image of that number"),
        (b'{"like": 1, "rerank": true}', 422, "sentence queries only"),
        (b'{"text": " \\u0000\\n "}', 422, "Write a sentence"),
        (b"{}", 422, "Write a sentence"),
        (json.dumps({"text": "a" * 1001}).encode(), 413, "has 1,001 characters"),
        (json.dumps({"text": "a" * 1_000_000}).encode(), 413, "too large"),
    ],
)
def test_wrong_questions_are_one_line(client, body, status, what):
    refused(client.post("/api/search", content=body, headers=JSON), status, what)


@pytest.mark.parametrize("query", ["k=x", "k=-1", "k=1&text=" + "a" * 1001, "path=/etc", "like=0"])
def test_wrong_questions_beside_an_image(client, query):
    response = client.post(f"/api/search/image?{query}", content=encoded(picture()), headers=PNG)
    refused(response, 413 if "aaa" in query else 422)


def bomb(side):
    """A PNG of some bytes that claims to hold side x side pixels."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_bad_images_are_refused(client, tmp_path):
    whole = encoded(picture((300, 300)))
    for body, status, what in (
        (b"", 422, "empty"),
        (b"no image at all", 415, "not an image of a known kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "known kind"),
        (whole[: len(whole) // 2], 422, "cannot be decoded"),
        (encoded(picture((300, 300)), "JPEG")[:400], 422, "cannot be decoded"),
        (bomb(6_000), 413, "6000 x 6000 pixels, more than 25,000,000"),
        (bomb(60_000), 413, "too many pixels"),
    ):
        refused(client.post("/api/search/image", content=body, headers=PNG), status, what)
    refused(client.post("/api/search/image", content=whole), 415, "content type")


def test_kinds_of_images_that_are_taken(client):
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000"):
        body = encoded(picture(), kind)
        assert client.post("/api/search/image", content=body, headers=PNG).status_code == 200
    deep = Image.fromarray(np.full((9, 9), 40_000, dtype=np.uint16))
    assert client.post("/api/search/image", content=encoded(deep), headers=PNG).status_code == 200


def test_a_body_is_not_read_beyond_the_limit(archive):
    sent = 0

    def endless():
        nonlocal sent
        while True:
            sent += 1 << 16
            yield bytes(1 << 16)

    limits = Limits(upload_bytes=1 << 20)
    with client_of(archive, limits=limits) as client:
        address = "/api/search/image"
        refused(client.post(address, content=bytes(3 << 20), headers=PNG), 413, "1 MB")
        with contextlib.suppress(httpx.NetworkError):  # where the server hung up first
            refused(client.post(address, content=endless(), headers=PNG), 413, "1 MB")
        assert sent < 40 << 20
        assert client.get("/").status_code == 200


def test_a_body_that_never_comes_is_given_up(archive):
    with client_of(archive, limits=Limits(body_seconds=0.1)) as client:
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
                b"Content-Type: application/json\r\n\r\n{"
            )
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_only_json_is_a_question(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = client.post("/api/search", content=b"{}", headers={"content-type": kind})
        refused(response, 415, "content type")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.1", "",
     "localhost:x", "evil@localhost", "localhost/evil", "[::1", "2130706433"],
)  # fmt: skip
def test_other_hosts_are_refused(client, host):
    refused(client.get("/", headers={"host": host}), 421, "does not accept that host name")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:9", "localhost."]
)
def test_own_hosts_are_taken(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET / HTTP/1.1", "Host: localhost\r\nHost: evil.example\r\n", 400),
        ("GET / HTTP/1.1", "", 400),
        ("GET / HTTP/1.0", "", 421),
        ("GET http://evil.example/ HTTP/1.1", "Host: evil.example\r\n", 421),
        ("GET /images/0/../../../etc/passwd HTTP/1.1", "Host: localhost\r\n", 404),
        ("GET //etc/passwd HTTP/1.1", "Host: localhost\r\n", 404),
        ("CONNECT evil.example:80 HTTP/1.1", "Host: localhost\r\n", 404),
        ("\x00\x01\x02", "", 400),
    ],
)
def test_requests_that_no_browser_sends(client, request_line, headers, status):
    with socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
        connection.sendall(f"{request_line}\r\n{headers}\r\n".encode())
        answer = connection.recv(10_000)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:81"},
        {"origin": "http://localhost.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_searches_of_other_pages_are_refused(client, headers):
    refused(client.post("/api/search", json={"text": "red"}, headers=headers), 403, "other web")


def test_searches_of_the_page_itself_are_taken(client):
    headers = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("/api/search", json={"text": "red"}, headers=headers).status_code == 200


def test_every_answer_has_strict_headers(client, archive, monkeypatch):
    monkeypatch.setattr(archive, "found", lambda *_, **__: 1 / 0)
    for response, status in (
        (client.get("/"), 200),
        (client.get("/images/0/thumb"), 200),
        (client.get("/nothing"), 404),
        (client.get("/", headers={"host": "evil.example"}), 421),
        (client.post("/"), 405),
        (client.post("/api/search", json={"text": "red"}), 500),
    ):
        assert response.status_code == status
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in response.headers
        assert not [name for name in response.headers if name.startswith("access-control")]
        if status != 200:
            refused(response, status)


def test_failures_tell_the_log_and_not_the_reader(client, archive, monkeypatch, caplog):
    def fails(*_, **__):
        raise OSError("/home/me/secret.pth is damaged")

    monkeypatch.setattr(archive, "found", fails)
    refused(client.post("/api/search", json={"text": "red"}), 500, "The search failed")
    assert "secret.pth is damaged" in caplog.text
