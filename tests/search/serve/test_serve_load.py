"""Many at once, slow ones, and those that go away."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from galr.common.errors import UserError
from galr.search.archive import Archive
from galr.search.serve.limits import Limits
from galr.serving.logs import JsonLines
from tests.search.serve.conftest import client_of, served_by, serving

HEAD = (
    b"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n"
    b"Content-Type: application/json\r\n\r\n"
)
BODY = b'{"text": "red"}'


class Gate:
    """An archive whose first batch is held back until ``go_on``; the sizes of its batches."""

    def __init__(self, path, monkeypatch):
        self.archive = Archive.open(path)
        self.begun, self.go_on, self.batches = threading.Event(), threading.Event(), []
        embed_all = self.archive.embed_all

        def held(asked):
            self.batches.append(len(asked))
            self.begun.set()
            self.go_on.wait(10)
            return embed_all(asked)

        monkeypatch.setattr(self.archive, "embed_all", held)


@pytest.fixture
def gate(archive_path, monkeypatch):
    return Gate(archive_path, monkeypatch)


def search(client, **question):
    return client.post("/api/search", json={"text": "red", **question})


def wait_until(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def waiting(client):
    """How many searches wait for their turn."""
    return client.get("/health").json()["waiting"]


def test_all_of_many_at_once_are_answered(archive):
    with client_of(archive) as client, ThreadPoolExecutor(40) as clients:
        answers = list(clients.map(lambda _: search(client).status_code, range(200)))
    assert Counter(answers) == {200: 200}


def test_what_waits_is_encoded_together_and_one_at_fault_harms_no_other(gate, archive):
    sentences = ["red", "a blue square", "red"]
    with client_of(gate.archive) as client, ThreadPoolExecutor(8) as clients:
        first = clients.submit(search, client)
        gate.begun.wait(10)
        others = [clients.submit(search, client, text=text, k=4) for text in sentences]
        wrong = clients.submit(search, client, k=10**30)
        wait_until(lambda: waiting(client) == 3)
        assert client.get("/images/0/thumb").status_code == 200  # which needs no turn
        gate.go_on.set()
        assert first.result().status_code == 200
        assert wrong.result().status_code == 422
        for text, other in zip(sentences, others, strict=True):
            found = [(one["name"], one["score"]) for one in other.result().json()["results"]]
            expected = archive.query(text, k=4)
            assert [name for name, _ in found] == [match.name for match in expected]
            scores = [match.score for match in expected]
            assert [score for _, score in found] == pytest.approx(scores, abs=1e-6)
    assert gate.batches == [1, 3]


def test_a_failing_search_of_a_batch_fails_alone(archive_path, monkeypatch):
    gate = Gate(archive_path, monkeypatch)
    embed_all = gate.archive.embed_all

    def embed(asked):
        if any(one.text == "blue" for one in asked):
            raise UserError("/home/me/model.pth", "is damaged", "mend it")
        return embed_all(asked)

    monkeypatch.setattr(gate.archive, "embed_all", embed)
    with client_of(gate.archive) as client, ThreadPoolExecutor(4) as clients:
        first = clients.submit(search, client)
        gate.begun.wait(10)
        others = [clients.submit(search, client, text=text) for text in ("red", "blue", "green")]
        wait_until(lambda: waiting(client) == 3)
        gate.go_on.set()
        statuses = [one.result().status_code for one in (first, *others)]
    assert statuses == [200, 200, 500, 200]


def test_a_search_that_takes_too_long_is_given_up(gate):
    with client_of(gate.archive, limits=Limits(seconds=0.1)) as client:
        answer = search(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "took too long" in answer.json()["error"]
        wait_until(lambda: client.get("/health").json()["status"] == "stuck")
        assert client.get("/health").status_code == 503
        gate.go_on.set()
        wait_until(lambda: client.get("/health").status_code == 200)


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def is_dropped(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow_senders_keep_nobody_out_and_are_answered(archive):
    with client_of(archive) as client, contextlib.ExitStack() as stack:
        address = str(client.base_url).rstrip("/")
        slow = [stack.enter_context(connected(address)) for _ in range(300)]
        for one in slow:
            one.sendall(HEAD + BODY[:1])
        assert search(client).status_code == 200
        for one in slow:
            one.sendall(BODY[1:])
        assert {one.recv(12) for one in slow} == {b"HTTP/1.1 200"}


def test_the_slowest_gives_way_where_there_are_too_many(archive):
    with serving(archive, limits=Limits(connections=4)) as address, contextlib.ExitStack() as stack:
        slow = []
        for _ in range(8):
            slow.append(stack.enter_context(connected(address)))
            slow[-1].sendall(HEAD + BODY[:1])
            time.sleep(0.01)
        for one in slow[:4]:
            assert is_dropped(one)
        newcomer = stack.enter_context(connected(address))
        newcomer.sendall(HEAD + BODY)
        assert newcomer.recv(12) == b"HTTP/1.1 200"
        slow[-1].sendall(BODY[1:])
        assert slow[-1].recv(12) == b"HTTP/1.1 200"


def test_a_head_that_never_comes_is_given_up(archive):
    with serving(archive, limits=Limits(head_seconds=0.1)) as address, connected(address) as one:
        one.sendall(HEAD[:20])
        assert is_dropped(one)


def test_no_more_of_bodies_is_held_than_the_limit(archive):
    with client_of(archive, limits=Limits(held_bytes=1000)) as client:
        answer = client.post(
            "/api/search/image", content=bytes(1001), headers={"content-type": "image/png"}
        )
        assert answer.status_code == 503
        assert "Too many uploads at once" in answer.json()["error"]
        assert search(client).status_code == 200


def test_senders_that_go_away_leave_no_traceback(gate, caplog):
    caplog.set_level(logging.INFO)
    gate.go_on.set()
    with serving(gate.archive) as address:
        for part in (HEAD[:30], HEAD + BODY[:5], HEAD + BODY):
            for lingering in (False, True):
                with connected(address) as one:
                    one.sendall(part)
                    time.sleep(0.02)
                    if lingering:
                        one.shutdown(socket.SHUT_WR)
                        one.recv(1)
        with connected(address) as one:
            one.sendall(HEAD + BODY)
            assert one.recv(12) == b"HTTP/1.1 200"
    assert "Traceback" not in caplog.text
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_search_whose_asker_has_gone_is_not_begun(gate):
    with client_of(gate.archive) as client, ThreadPoolExecutor(2) as clients:
        first = clients.submit(search, client)
        gate.begun.wait(10)
        with connected(str(client.base_url).rstrip("/")) as one:
            one.sendall(HEAD + BODY)
            wait_until(lambda: waiting(client) == 1)
        wait_until(lambda: waiting(client) == 0)
        gate.go_on.set()
        assert first.result().status_code == 200
    assert gate.batches == [1]


def test_nothing_accepted_is_lost_when_the_server_ends(gate):
    """Requests at work, waiting, half sent, and on connections that idle or were just made."""
    with served_by(gate.archive) as (address, server), contextlib.ExitStack() as stack:
        at_work, waits, half, idle, made = (
            stack.enter_context(connected(address)) for _ in range(5)
        )
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while b'"ok"' not in idle.recv(10_000):
            pass
        at_work.sendall(HEAD + BODY)
        gate.begun.wait(10)
        waits.sendall(HEAD + BODY)
        half.sendall(HEAD + BODY[:1])
        time.sleep(0.05)
        server.should_exit = True
        time.sleep(0.3)
        idle.sendall(HEAD + BODY)
        made.sendall(HEAD + BODY)
        half.sendall(BODY[1:])
        time.sleep(0.05)
        gate.go_on.set()
        for one in (at_work, waits, half, idle, made):
            answer = one.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in answer.lower()


def test_health_and_metrics(archive):
    with client_of(archive) as client:
        search(client)
        assert client.get("/health").json() == {"status": "ok", "images": 6, "waiting": 0}
        client.get("/images/0/thumb")
        client.get("/images/1/thumb")
        client.get("/no/such/thing")
        answer = client.get("/metrics")
        lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'galr_requests_total{route="/api/search",status="200"} 1.0',
        'galr_requests_total{route="/images/{number}/{view}",status="200"} 2.0',
        'galr_requests_total{route="other",status="404"} 1.0',
        'galr_batch_tasks_count{line="search"} 1.0',
        "galr_images 6.0",
    ):
        assert line in lines


def test_a_log_line_is_one_object_without_the_sentence(archive, caplog):
    with caplog.at_level(logging.INFO), client_of(archive) as client:
        answer = search(client, text="a secret sentence")
    records = [one for one in caplog.records if one.name == "galr.search.serve.access"]
    told = json.loads(JsonLines().format(records[-1]))
    assert told.pop("seconds") < 10
    assert told.pop("time").endswith("+00:00")
    assert told.pop("process") > 0
    assert told == {
        "level": "info", "logger": "galr.search.serve.access", "message": "request",
        "method": "POST", "route": "/api/search", "status": 200,
        "request": answer.headers["x-request-id"],
    }  # fmt: skip
    assert "secret" not in str([vars(one) for one in records])
