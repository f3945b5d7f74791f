"""One number for TCP and UDP."""

import contextlib
import socket

import pytest

from dhtshare.errors import UsageError
from dhtshare.listening import listen, local_addresses


def test_tcp_and_udp_share_a_number() -> None:
    with contextlib.closing(listen("127.0.0.1", 0)) as listening:
        assert {sock.getsockname()[1] for sock in (*listening.tcp, *listening.udp)} == {listening.port}
        assert listening.hosts == ["127.0.0.1"]
        assert not listening.everywhere


def test_everywhere_has_one_number_in_both_families() -> None:
    with contextlib.closing(listen(None, 0)) as listening:
        assert listening.everywhere
        assert {sock.getsockname()[1] for sock in (*listening.tcp, *listening.udp)} == {listening.port}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_said(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"Port {port} is in use.*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.name", "203.0.113.7", "999.1.1.1", ""])
def test_a_host_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(UsageError):
        listen(host, 0)


def test_a_failed_bind_leaves_no_socket_open() -> None:
    with contextlib.closing(listen("127.0.0.1", 0)) as first, pytest.raises(UsageError):
        listen("127.0.0.1", first.port)
    with contextlib.closing(listen("127.0.0.1", first.port)) as again:  # unclosed sockets would warn, and fail
        assert again.port == first.port


def test_loopback_comes_last() -> None:
    addresses = local_addresses()
    assert "127.0.0.1" in addresses
    loopback = [address.startswith("127.") or address == "::1" for address in addresses]
    assert loopback == sorted(loopback)
