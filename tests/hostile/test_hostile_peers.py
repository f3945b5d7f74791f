"""Hostile TCP peers against real node processes: liars, bombs, crowds. The node goes on; what they took comes back."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgpack
import pytest
from blake3 import blake3

from dhtshare.content.canonical import encode as canonical
from dhtshare.content.collection import MAX_COLLECTION_ENTRIES
from dhtshare.content.descriptor import MAX_DESCRIPTOR_BYTES
from dhtshare.network import network_id, split_host_port
from dhtshare.transfer.codec import encode
from dhtshare.transfer.guests import MAX_GUESTS, MAX_PER_IP
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    Ask,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    Has,
    Hello,
)
from scripts.benchmarks.hostile import LEAST_RATIO, MEMORY_KEPT, crowd
from tests.hostile.process_figures import descriptors, forget_peak, peak, resident
from tests.hostile.raw_listener import Behaviour, listeners
from tests.processes import Network, Node, eventually
from tests.unit.transfer.raw_peer import RawPeer

MIB = 1 << 20
CHUNKS = 12
MOST_MEMORY = 64 * MIB


@pytest.fixture(scope="module")
def pair(shared_network: Network) -> tuple[Node, Node]:
    """A seed and a fetcher."""
    seed, node = shared_network.nodes(2)
    return seed, node


@pytest.fixture(scope="module")
def content(pair: tuple[Node, Node], shared_network: Network) -> Iterator[tuple[str, bytes]]:
    """The hash and bytes of what the seed shares."""
    path = shared_network.folder / "shared.bin"
    path.write_bytes(os.urandom(CHUNKS * MIB))
    yield pair[0].run("publish", path).result["hash"], path.read_bytes()


def claims_all(node: Node, raw_descriptor: bytes, *, then: str) -> Behaviour:
    """A peer that says HELLO and claims to hold everything; asked for bytes it lies, freezes, trickles or resets."""

    async def behave(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.say(Hello(network_id(node.home.network.name), os.urandom(16), then))
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, CHUNKS, CHUNKS, then, len(raw_descriptor)))
            elif isinstance(message, GetDescriptor):
                raw.say(Descriptor(message.request, len(raw_descriptor)), raw_descriptor)
            elif isinstance(message, Get) and then == "lies":
                raw.say(Data(message.request), bytes(message.length))
            elif isinstance(message, Get) and then == "trickles":
                raw.writer.write(encode(Data(message.request), message.length))
                for _ in range(600):
                    raw.writer.write(b"x")
                    await asyncio.sleep(0.1)
            elif isinstance(message, Get) and then == "resets":
                raw.writer.transport.abort()
                return

    return behave


def test_an_honest_seed_among_liars_stallers_and_tricklers(
    pair: tuple[Node, Node], content: tuple[str, bytes], tmp_path: Path
) -> None:
    seed, node = pair
    hashed, data = content
    digests = b"".join(blake3(data[at : at + MIB]).digest() for at in range(0, len(data), MIB))
    descriptor = canonical({0: 1, 2: "file", 4: len(data), 6: digests})
    kinds = ("lies", "lies", "freezes", "trickles", "resets")
    with listeners(*(claims_all(node, descriptor, then=kind) for kind in kinds)) as addresses:
        hints = [option for address in addresses for option in ("--peer", address)]
        # slow enough for everybody to be asked before the seed has given all
        seed.run("limit", "--max-upload", "4M")
        done = node.run("fetch", hashed, *hints, "-o", tmp_path / "a", "--no-seed")
        seed.run("limit", "--max-upload", "0")
        assert Path(done.result["path"]).read_bytes() == data
        bad = {source["address"]: source["bad_chunks"] for source in done.result["sources"]}
        liars = [address for kind, address in zip(kinds, addresses, strict=True) if kind == "lies"]
        assert [bad.get(liar) for liar in liars] == [1, 1], "out at the first false chunk"
        assert {event["address"] for event in done.events if event.get("state") == "banned"} == set(liars)

        again = node.run("fetch", hashed, *hints, "-o", tmp_path / "b", "--no-seed")
        assert Path(again.result["path"]).read_bytes() == data
        dialled = {event["address"] for event in again.events if event.get("state") == "dialled"}
        assert not dialled & set(liars), "remembered"


def test_only_liars_is_exit_6(pair: tuple[Node, Node], tmp_path: Path) -> None:
    _, node = pair
    data = os.urandom(CHUNKS * MIB)
    digests = b"".join(blake3(data[at : at + MIB]).digest() for at in range(0, len(data), MIB))
    descriptor = canonical({0: 1, 2: "file", 4: len(data), 6: digests})
    with listeners(*[claims_all(node, descriptor, then="lies")] * 3) as addresses:
        hints = [option for address in addresses for option in ("--peer", address)]
        failed = node.run("fetch", blake3(descriptor).hexdigest(), *hints, "-o", tmp_path / "out", code=6)
    assert "false data" in failed.result["error"]["message"]
    assert not [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]


def bombs() -> dict[str, bytes]:
    """Descriptors whose publisher made them so: their hash is right."""
    digest = bytes(32)
    entries = [{0: f"{number:06}", 2: 1, 4: digest} for number in range(MAX_COLLECTION_ENTRIES + 1)]
    head = b"\x83\x00\x01\x02\xaacollection\x08"
    fill = MAX_DESCRIPTOR_BYTES - len(head)
    return {
        "one entry too many": canonical({0: 1, 2: "collection", 8: entries}),
        "nested to the end": head + b"\x91" * (fill - 1) + b"\xc0",
        "lists of sixteen, nested": head + b"\xdc\x00\x10" * (fill // 3),
        "a list that claims four thousand million": head + b"\xdd\xff\xff\xff\xff",
        "a map that claims four thousand million": b"\xdf\xff\xff\xff\xff" + bytes(1000),
        "bytes that claim four thousand million": b"\x83\x00\x01\x02\xa4file\x06\xc6\xff\xff\xff\xff" + bytes(1000),
        "sixteen MiB of empty maps": head + b"\xdd" + fill.to_bytes(4, "big") + b"\x80" * (fill - 5),
        "sixteen MiB of one path": canonical({0: 1, 2: "collection", 8: [{0: "a" * (fill - 60), 2: 1, 4: digest}]}),
        "too deep in what is to be ignored": canonical({0: 1, 2: "file", 3: _nested(33), 4: 1, 6: digest}),
        "as large as may be, of a single chunk's hashes": canonical({0: 1, 2: "file", 4: 1, 6: bytes(fill - 60)}),
        "not MessagePack": b"\xc1" * MAX_DESCRIPTOR_BYTES,
        "sizes of a thousand petabytes": canonical(
            {0: 1, 2: "collection", 8: [{0: f"{number:03}", 2: 1 << 40, 4: digest} for number in range(999)]}
        ),
        "nothing": b"",
        "msgpack extension types": msgpack.packb({0: 1, 2: msgpack.ExtType(5, b"x" * 1000)}),
    }


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


NO_BOMBS = ("too deep in what is to be ignored",)
"""Valid: nobody gives its bytes."""


def bomber(node: Node, raws: Iterable[bytes]) -> Behaviour:
    """A peer that has these descriptors, and no chunk."""
    served = {blake3(raw).digest(): raw for raw in raws}
    name = network_id(node.home.network.name)

    async def behave(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.say(Hello(name, os.urandom(16), "bomber"))
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, CHUNKS, CHUNKS, "bomb", len(served[message.content])))
            elif isinstance(message, GetDescriptor):
                whole = served[message.content]
                part = whole[message.offset : message.offset + DESCRIPTOR_RANGE_BYTES]
                raw.say(Descriptor(message.request, len(whole)), part)

    return behave


def test_descriptor_bombs_cost_a_node_little_memory(pair: tuple[Node, Node], tmp_path: Path) -> None:
    _, node = pair
    raws = bombs()
    forget_peak(node)
    before = peak(node)
    with listeners(bomber(node, raws.values())) as (address,):
        for what, raw in raws.items():
            target = blake3(raw).hexdigest()
            code = 5 if what in NO_BOMBS else 2  # it was read, and refused
            failed = node.run("fetch", target, "--peer", address, "-o", tmp_path, "--timeout", 8, code=code)
            assert "Traceback" not in failed.stderr
            assert peak(node) - before <= MOST_MEMORY, what
    assert list(tmp_path.iterdir()) == []
    assert not node.running.errors()


def test_a_valid_collection_at_both_limits_fits_too(network: Network, tmp_path: Path) -> None:
    node = network.nodes(2)[1]
    entries = [
        {0: f"{number:06}/{'x' * 111}", 2: 1 + number, 4: blake3(b"%d" % number).digest()}
        for number in range(MAX_COLLECTION_ENTRIES)
    ]
    raw = canonical({0: 1, 2: "collection", 8: entries})
    assert 0.95 * MAX_DESCRIPTOR_BYTES < len(raw) <= MAX_DESCRIPTOR_BYTES
    forget_peak(node)
    before = peak(node)
    with listeners(bomber(node, [raw])) as (address,):
        target = blake3(raw).hexdigest()
        failed = node.run("fetch", target, "--peer", address, "-o", tmp_path / "out", "--timeout", 4, code=5)
    assert "bomb" in str(failed.events), "it was read, and the fetch begun"
    assert peak(node) - before <= MOST_MEMORY
    assert not node.running.errors()


def kept_for(address: str, said: bytes) -> float:
    """How many seconds the node keeps a connection that says this and no more."""
    with socket.create_connection(split_host_port(address), timeout=30) as sock:
        begun = time.monotonic()
        sock.sendall(said)
        while sock.recv(1 << 16):
            pass
        return time.monotonic() - begun


def test_mutated_frames(pair: tuple[Node, Node], content: tuple[str, bytes], tmp_path: Path) -> None:
    """A few thousand; `scripts/bench hostile` sends a hundred thousand."""
    seed, node = pair
    before = descriptors(seed)
    forget_peak(seed)
    memory = peak(seed)
    hello = encode(Hello(network_id(seed.home.network.name), bytes(16)))
    sayings = (b"", hello[:1], hello[:-1], hello + encode(Ask(1, bytes(32)))[:-1])
    with (
        ThreadPoolExecutor() as pool,
        crowd(("frames", "--count", "3000"), seed.address, seed.home.network.name, content[0]) as process,
    ):
        slow = [pool.submit(kept_for, seed.address, said) for said in sayings]
        assert process.stdout is not None
        report = json.loads(process.stdout.readline())
        assert all(8.0 < one.result() <= 11.0 for one in slow), "handshake, and half a frame after it"
    assert report["bad"] > 50
    assert report["bad_kept"] == 0, report
    assert report["slowest_close_s"] <= 11.0, report  # 10 s, and the crowd's own delays
    assert eventually(lambda: descriptors(seed) <= before)
    assert peak(seed) - memory <= MOST_MEMORY
    assert not seed.running.errors()
    assert Path(node.run("fetch", content[0], "-o", tmp_path, "--no-seed").result["path"]).read_bytes() == content[1]


@pytest.mark.parametrize("kind", ["greeted", "idle", "takers"])
def test_a_crowd_takes_no_place_from_the_honest(
    pair: tuple[Node, Node], content: tuple[str, bytes], tmp_path: Path, kind: str
) -> None:
    seed, node = pair
    before = descriptors(seed)
    forget_peak(seed)
    memory = peak(seed)
    running = node.home.start("fetch", content[0], "-o", tmp_path / "before", "--no-seed")
    count = 60 if kind == "takers" else 2 * MAX_GUESTS
    with crowd((kind, "--count", str(count)), seed.address, seed.home.network.name, content[0]):
        assert eventually(lambda: descriptors(seed) > before + min(count, MAX_GUESTS) - 20)
        assert descriptors(seed) <= before + 3 * MAX_GUESTS + 30, "three a guest: its socket, and a twin each way"
        done = node.run("fetch", content[0], "-o", tmp_path / "beside", "--no-seed")
        assert Path(done.result["path"]).read_bytes() == content[1]
    assert running.finish().code == 0
    assert eventually(lambda: descriptors(seed) <= before + 6), "all are given back; the fetcher's own may be new"
    assert peak(seed) - memory <= MOST_MEMORY


def test_an_honest_transfer_keeps_its_rate_beside_idle_and_slow_ones(
    pair: tuple[Node, Node], content: tuple[str, bytes], tmp_path: Path
) -> None:
    """Under a cap that decides how long it takes, and not the machine."""
    seed, node = pair
    name = seed.home.network.name
    seed.run("limit", "--max-upload", "4M")
    try:
        alone = node.run("fetch", content[0], "-o", tmp_path / "alone", "--no-seed").result["seconds"]
        before, memory = descriptors(seed), resident(seed)
        with (
            crowd(("greeted", "--count", "500"), seed.address, name, content[0]),
            crowd(("slow", "--count", "200"), seed.address, name, content[0]),
        ):
            assert eventually(lambda: descriptors(seed) > before + MAX_GUESTS - 20)
            beside = node.run("fetch", content[0], "-o", tmp_path / "beside", "--no-seed").result["seconds"]
    finally:
        seed.run("limit", "--max-upload", "0")
    assert alone > 2.0, "the cap decides"
    assert beside <= alone / LEAST_RATIO
    assert eventually(lambda: descriptors(seed) <= before + 3), "one connection may be the fetcher's new one"
    assert resident(seed) - memory <= MEMORY_KEPT


def test_a_running_transfer_does_not_give_way(
    pair: tuple[Node, Node], content: tuple[str, bytes], tmp_path: Path
) -> None:
    seed, node = pair
    node.run("limit", "--max-download", "4M")
    try:
        running = node.home.start("fetch", content[0], "-o", tmp_path, "--no-seed")
        running.wait_for_event("peer", lambda line: line["state"] == "connected")
        with crowd(("greeted", "--count", str(2 * MAX_GUESTS)), seed.address, seed.home.network.name, content[0]):
            done = running.finish(60)
    finally:
        node.run("limit", "--max-download", "0")
    assert done.code == 0
    assert not [event for event in done.events if event.get("state") == "lost"]


def test_one_ip_of_a_global_scope_has_eight_places_and_the_longest_idle_gives_way(network: Network) -> None:
    seed = network.node("--treat-as-public", "127.0.0.0/8")
    host, port = split_host_port(seed.address)

    def connect(source: str) -> socket.socket:
        sock = socket.create_connection((host, port), source_address=(source, 0))
        sock.setblocking(False)
        return sock

    def is_open(sock: socket.socket) -> bool:
        try:
            return bool(sock.recv(1))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    mine = []
    for _ in range(MAX_PER_IP):
        mine.append(connect("127.0.0.9"))
        time.sleep(0.02)
    other = connect("127.0.0.10")
    assert all(map(is_open, mine))
    mine.append(connect("127.0.0.9"))
    assert eventually(lambda: not is_open(mine[0]))
    assert all(map(is_open, [*mine[1:], other]))
    for sock in (*mine, other):
        sock.close()
