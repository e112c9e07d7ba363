"""The command as people start it, and end it."""

import signal
import socket
import subprocess
import sys

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
    assert "pip install fastapi uvicorn" in refused(capsys, *index)


@pytest.mark.parametrize("port", ["-1", "65536", "x", "9" * 5000])
def test_a_port_is_a_number(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["serve", "--port", port])
    assert "is not a port" in capsys.readouterr().err
