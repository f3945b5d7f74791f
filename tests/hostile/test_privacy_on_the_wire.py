"""Every byte that nodes send on loopback while they publish, search and fetch: no path, no user, no secret in it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgpack
import pytest

from tests.e2e.conftest import MakeFile, make_file  # noqa: F401 - a fixture
from tests.processes import Network

ETH_P_ALL = 0x0003
BETWEEN_LOOPBACK_HEADERS = 14


@dataclass
class Capture:
    """What went over the loopback interface, packet by packet, from a packet socket (Linux, root)."""

    packets: list[bytes] = field(default_factory=list)

    def containing(self, secret: bytes) -> int:
        """How many packets have these bytes in them."""
        return sum(secret in packet for packet in self.packets)

    def from_udp_port(self, port: int) -> list[bytes]:
        """The UDP payloads that this port sent."""
        sent = []
        for packet in self.packets:
            ip = packet[BETWEEN_LOOPBACK_HEADERS:]
            head = (ip[0] & 15) * 4
            if ip[9] == socket.IPPROTO_UDP and int.from_bytes(ip[head : head + 2], "big") == port:
                sent.append(ip[head + 8 :])
        return sent


@contextlib.contextmanager
def capturing() -> Iterator[Capture]:
    """Everything on loopback while inside."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    except (PermissionError, AttributeError):
        pytest.skip("needs a packet socket: Linux, and root")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
    sock.bind(("lo", 0))
    sock.settimeout(0.1)
    capture, over = Capture(), threading.Event()

    def read() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                capture.packets.append(sock.recv(1 << 17))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        time.sleep(0.3)
        over.set()
        thread.join(5)
        sock.close()


def test_no_path_no_user_and_no_secret_leaves(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    with capturing() as capture:
        seed, node = network.nodes(2)
        folder = make_file("holiday pictures/beach marble.jpg", 50_000).parent
        result = seed.run("publish", folder).result
        assert node.run("search", "marble").result["results"]
        node.run("fetch", result["hash"], "-o", node.home.cwd / "landed-here")
    secrets = msgpack.unpackb((seed.home.path / "identity").read_bytes(), strict_map_key=False)
    assert capture.containing(b"beach marble.jpg"), "a path inside the folder does leave: the capture works"
    assert capture.containing(b"holiday pictures"), "and the folder's own name"
    for where in (folder.parent, network.folder, network.user_home, seed.home.path, node.home.cwd):
        assert not capture.containing(str(where).encode()), where
    assert not capture.containing(b"landed-here")
    for secret in (secrets[1], secrets[2]):
        assert not capture.containing(secret)


def test_the_listening_port_is_told_to_nobody(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    """With --announce-port whatever tells others a TCP port tells that one."""
    first = network.node()
    with capturing() as capture:
        seed = network.node("--announce-port", 45678)
        path = make_file("quartz pebble.bin", 5000)
        published = seed.run("publish", path).result
        first.run("search", "quartz")
    port = int(seed.address.rpartition(":")[2])
    sent = capture.from_udp_port(port)
    assert len(sent) > 3
    told = [msgpack.packb(number) for number in (45678, port)]
    assert any(told[0] in datagram for datagram in sent)
    assert not [datagram for datagram in sent if told[1] in datagram]
    assert ":45678" in published["link"].replace("%3A", ":")
    assert f":{port}" not in published["link"].replace("%3A", ":")


def test_a_fetch_without_seeding_announces_nothing(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    seed, node, other = network.nodes(3)
    content = seed.run("publish", make_file("granite slab.bin", 3_000_000)).result["hash"]
    node.run("fetch", content, "-o", node.home.cwd, "--no-seed")
    time.sleep(1.0)
    assert node.run("list").result["items"] == []
    assert other.run("info", content).result["providers"] == 1
    node.run("fetch", content, "-o", node.home.cwd / "again")
    assert other.run("info", content).result["providers"] == 2, "and with seeding it does"
