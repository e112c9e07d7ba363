"""The command as people start it, and end it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from galr.common import cli
from galr.search.__main__ import main
from tests.tiny import ROOT


def refused(capsys, *arguments):
    status = cli.run(main, ["serve", *map(str, arguments)])
    error = capsys.readouterr().err
    assert (status, error.strip().count("\n")) == (2, 0), error
    return error


def test_it_serves_until_ctrl_c(archive_path):
    command = [sys.executable, "-m", "galr.search", "serve", "--index", archive_path, "--port", "0"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = server.stdout.readline()
        assert line.startswith("6 images at http://127.0.0.1:")
        address = line.split()[3]
        found = httpx.post(f"{address}api/search", json={"text": "red"}, trust_env=False)
        assert len(found.json()["results"]) == 6
    finally:
        server.send_signal(signal.SIGINT)
        out, error = server.communicate(timeout=20)
    assert (server.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in error


def test_workers_are_replaced_when_they_die_and_end_at_sigterm(archive_path):
    command = [sys.executable, "-m", "galr.search", "serve", "--index", archive_path, "--port", "0",
               "--workers", "2", "--log", "json"]  # fmt: skip
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().split()[3]
        first = workers_of(server)
        assert len(first) == 2
        os.kill(min(first), signal.SIGKILL)
        for _ in range(20):
            found = httpx.post(f"{address}api/search", json={"text": "red"}, trust_env=False)
            assert found.status_code == 200
        until = time.monotonic() + 240  # a process imports torch, on a machine that may be busy
        while len(workers_of(server) - first) < 1:
            assert time.monotonic() < until
            time.sleep(0.1)
        counted = httpx.get(f"{address}metrics", trust_env=False).text.splitlines()
        assert 'galr_requests_total{route="/api/search",status="200"} 20.0' in counted
    finally:
        server.send_signal(signal.SIGTERM)
        out, error = server.communicate(timeout=240)
    assert (server.returncode, out) == (0, "stopped\n")
    lines = [json.loads(line) for line in error.splitlines()]
    assert sum(line["message"] == "request" for line in lines) == 21
    assert [line["message"] for line in lines if line["level"] == "error"] == [
        f"worker {min(first)} ended with -9: starting another"
    ]


def workers_of(server):
    """The process ids of the workers, by the kernel's list."""
    children = subprocess.run(
        ["pgrep", "-P", str(server.pid), "-f", "spawn_main"], stdout=subprocess.PIPE, check=False
    )
    return set(map(int, children.stdout.split()))


def test_what_cannot_be_served_is_one_line(archive_path, tmp_path, capsys, monkeypatch):
    index = ("--index", archive_path)
    assert "no: there is no such archive" in refused(capsys, "--index", tmp_path / "no")
    assert "no such store" in refused(capsys, *index, "--local", tmp_path / "no.h5")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = refused(capsys, *index, "--port", port)
    assert f"127.0.0.1:{port}: cannot listen there (Address already in use)" in error
    assert "no such address" in refused(capsys, *index, "--host", "no.such.host.invalid")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install -r requirements-search.txt" in refused(capsys, *index)


@pytest.mark.parametrize("port", ["-1", "65536", "x", "9" * 5000])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", port])
    assert "is not a whole number from 0 to 65535" in capsys.readouterr().err
