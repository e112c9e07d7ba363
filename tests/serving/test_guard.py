"""The names that a server may be called by."""

from galr.serving.guard import Hosts


def test_hosts_of_an_open_server():
    hosts = Hosts(["gpu.example"], is_open=True)
    assert "gpu.example:8000" in hosts
    assert "192.168.1.7:8000" in hosts
    assert "[fe80::1]:8000" in hosts
    assert "evil.example" not in hosts
