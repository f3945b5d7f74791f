"""Every byte that nodes send while they publish, search and fetch: no path, no user, no host, no secret in it.

And what a stranger gets who asks for everything: over TCP nothing without the hash, over UDP only what holders hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest

from dhtshare.dht.messages import Method
from dhtshare.dht.records.copies import Pull, Survey, Surveyed, Want
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.region import Region
from dhtshare.network import Address, network_id, split_host_port
from dhtshare.transfer.messages import Ask, Get, GetDescriptor, GetMembers, Hello, Message, Refused
from tests.e2e.conftest import MakeFile, make_file  # noqa: F401 - a fixture
from tests.hostile.raw_node import RawNode
from tests.namespaces import Wires, why_not
from tests.processes import Home, Network, Node, eventually
from tests.unit.transfer.raw_peer import dialled

ETH_P_ALL = 0x0003
BETWEEN_LOOPBACK_HEADERS = 14
CLONE_NEWNET = 0x40000000
USER, HOST = "marmot-the-user", "burrow-of-a-host"


@dataclass
class Capture:
    """What went over the loopback interface, packet by packet, from a packet socket (Linux, root)."""

    packets: list[bytes] = field(default_factory=list)

    def containing(self, secret: bytes) -> int:
        """How many packets have these bytes in them, in upper or lower case."""
        return sum(secret.lower() in packet.lower() for packet in self.packets)

    def from_udp_port(self, port: int) -> list[bytes]:
        """The UDP payloads that this port sent."""
        sent = []
        for packet in self.packets:
            ip = packet[BETWEEN_LOOPBACK_HEADERS:]
            head = (ip[0] & 15) * 4
            if ip[9] == socket.IPPROTO_UDP and int.from_bytes(ip[head : head + 2], "big") == port:
                sent.append(ip[head + 8 :])
        return sent


def packet_socket(interface: str, namespace: Path | None) -> socket.socket:
    """A socket that sees all packets of an interface; of another network namespace where one is named."""
    if namespace is not None:
        libc = ctypes.CDLL(None, use_errno=True)
        with namespace.open("rb") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):  # of the calling thread alone
                raise OSError(ctypes.get_errno(), "setns")
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.bind((interface, 0))
    return sock


@contextlib.contextmanager
def capturing(interface: str = "lo", namespace: Path | None = None) -> Iterator[Capture]:
    """Everything on an interface while inside."""
    try:
        with ThreadPoolExecutor(1) as pool:  # a thread of its own, for it changes its namespace and ends
            sock = pool.submit(packet_socket, interface, namespace).result()
    except (PermissionError, AttributeError):
        pytest.skip("needs a packet socket: Linux, and root")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 20)
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


def named_after(user: str, host: str) -> tuple[str, ...]:
    """What opens a command so that the machine and its user have these names for it alone."""
    inside = (
        *("unshare", "--uts", "sh", "-c"),
        f'hostname {host} && export USER={user} LOGNAME={user} && exec "$@"',
        "sh",
    )
    try:
        named = subprocess.run([*inside, "hostname"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no host of another name can be made here")
    assert named.stdout == f"{host}\n"
    return inside


def carries_nobody(capture: Capture, network: Network, *homes: Home) -> bool:
    """No name of the user or the host, and no path, in any packet."""
    real = {socket.gethostname(), os.environ.get("USER", "")}
    for name in (USER, HOST, *(name for name in real if len(name) >= 6)):  # shorter ones come by chance
        assert not capture.containing(name.encode()), name
    for path in (network.folder, network.user_home, *(home.path for home in homes), *(home.cwd for home in homes)):
        assert not capture.containing(str(path).encode()), path
    return True


def test_no_user_and_no_host_is_named(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    inside = named_after(USER, HOST)
    with capturing() as capture:
        seed = network.home(inside).node("--host", "127.0.0.1", "--port", 0)
        network.bootstrap = seed.address
        node = network.home(inside).node("--host", "127.0.0.1", "--port", 0)
        result = seed.run("publish", make_file("basalt column.bin", 50_000)).result
        assert node.run("search", "basalt").result["results"]
        node.run("fetch", result["hash"], "-o", node.home.cwd / "landed")
        assert node.stop().code == 0
    assert capture.containing(b"basalt column.bin"), "the capture works"
    assert carries_nobody(capture, network, seed.home, node.home)


@pytest.mark.skipif(why_not() is not None, reason=f"a wire between machines: {why_not()}")
def test_nor_by_multicast_dns(network: Network, make_file: MakeFile) -> None:  # noqa: F811
    """Two machines at home that find each other; in the clear, so that each byte can be read."""
    network.lan = True
    with Wires() as wires:
        machines = [wires.machine(f"192.168.7.{last}/24") for last in (1, 2)]
        for machine in machines:
            machine.run("ip", "route", "add", "default", "via", "192.168.7.254")
        with capturing("eth0", Path("/var/run/netns") / machines[0].name) as capture:
            homes = [network.home((*machine.inside, *named_after(USER, HOST))) for machine in machines]
            seed, node = (home.node("--encryption", "never") for home in homes)
            result = seed.run("publish", make_file("feldspar.bin", 50_000)).result
            assert eventually(lambda: len(node.run("peers").result["contacts"]) == 1)
            node.run("fetch", result["hash"], "-o", node.home.cwd / "landed")
            assert node.stop().code == 0
            assert seed.stop().code == 0
    assert capture.containing(b"_dhtshare"), "multicast DNS was heard"
    assert capture.containing(b"feldspar.bin"), "and the rest"
    assert carries_nobody(capture, network, *homes)


@pytest.fixture
def album(network: Network, make_file: MakeFile) -> tuple[Node, bytes, dict[str, bytes]]:  # noqa: F811
    """A node, the hash of a folder that it published, and its members: small files, which no record names."""
    node = network.node()
    network.node()
    for name in ("gneiss.txt", "schist.txt"):
        path = make_file(f"quarry/{name}", 10_000)
    published = node.run("publish", path.parent).result
    entries = node.run("info", published["hash"]).result["entries"]
    return node, bytes.fromhex(published["hash"]), {entry["path"]: bytes.fromhex(entry["hash"]) for entry in entries}


async def everything_said(address: Address, network: bytes, messages: list[Message]) -> bytes:
    """All that a node says over TCP to whoever asks so."""
    heard = b""
    async with dialled(address) as raw:
        raw.hello(network)
        for message in messages:
            raw.say(message)
        await raw.hear_a(Hello)
        for _ in messages:
            answer, payload = await raw.hear_a(Refused)
            assert isinstance(answer, Refused)
            heard += repr(answer).encode() + payload
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while more := await raw.reader.read(1 << 16):
                    heard += more
    return heard


def test_without_the_hash_a_peer_is_told_nothing(network: Network, album: tuple[Node, bytes, dict[str, bytes]]) -> None:
    """Whatever it asks over TCP: by no hash, by one bit of it wrong, by the key that the DHT knows."""
    node, content, members = album
    wrong = [bytes(32), b"\xff" * 32, os.urandom(32), content[:31] + bytes([content[31] ^ 1]), content[:20] + bytes(12)]
    messages: list[Message] = []
    for number, guess in enumerate(wrong):
        at = 4 * number + 1
        messages += [Ask(at, guess), Get(at + 1, guess, 0, 10_000), GetDescriptor(at + 2, guess, 0)]
        messages.append(GetMembers(at + 3, guess, (0, 1)))
    heard = asyncio.run(everything_said(Address(*split_host_port(node.address)), network_id(network.name), messages))
    for secret in (content, *members.values(), *(name.encode() for name in (*members, "quarry"))):
        assert secret not in heard


def test_a_stranger_gathers_entries_and_nothing_else(
    network: Network, album: tuple[Node, bytes, dict[str, bytes]]
) -> None:
    """Over UDP, with proof: the whole key space surveyed and pulled names what was published, and no more."""
    node, content, members = album
    heard = b""
    with RawNode(network.name) as stranger:
        stranger.prove(node.address)
        answers = stranger.ask(node.address, RecordMethod.SURVEY, Survey(Region(bytes(20), 0), bytes(8)).body())
        keys = [key for key, _ in Surveyed.read([answer.body for answer in answers]).pairs]
        assert keys, "what a holder holds is told"
        for key in keys:
            for answer in stranger.ask(node.address, RecordMethod.PULL, Pull((Want(key),)).body()):
                heard += msgpack.packb(answer.body)
        bodies: list[dict[int, object]] = [{}, {2: bytes(20)}, {2: content[:20]}, {2: bytes(20), 8: 16}]
        for method in {*Method, *RecordMethod}:
            for body in bodies:
                stranger.send(node.address, stranger.request(method, body, token=stranger.tokens[node.address]))
        heard += b"".join(stranger.receive(1.0))
    assert content in heard, "the published folder can be gathered"
    assert b"quarry" in heard
    for secret in (*members.values(), *(name.encode() for name in members), str(network.folder).encode()):
        assert secret not in heard
