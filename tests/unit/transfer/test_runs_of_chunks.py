"""Runs of chunks over real connections: what a seed answers, and fetches that ask for many MiB at a time."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import threading
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, MAX_RUN_BYTES, Data, Get, Hello, Reason, Refused, Request
from dhtshare.transfer.seeder import Seeder
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from tests.unit.transfer.collection_fakes import CollectionOffer
from tests.unit.transfer.raw_peer import RawPeer, dialled
from tests.unit.transfer.transfer_fakes import FileOffer, MemorySink, describe, peer

MIB = 1 << 20
CHUNKS = 24
DATA = random.Random(31).randbytes(CHUNKS * MIB - 777)
DESCRIPTOR = describe(DATA)
CONTENT = DESCRIPTOR.content_hash
SCOPES = {"clear": ScopeRules(), "tls": ScopeRules([ipaddress.ip_network("127.0.0.0/8")])}


class FarOffer(FileOffer):
    """Its layout takes long to read, and is asked for in threads alone."""

    at_hand = False

    @property
    def layout(self) -> Layout:
        assert threading.current_thread() is not threading.main_thread(), "the event loop would stand still"
        return self._layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        self._layout = layout


@pytest.fixture(params=[FileOffer, FarOffer], ids=["at hand", "to be read first"])
def offer(tmp_path: Path, request: pytest.FixtureRequest) -> FileOffer:
    path = tmp_path / "served.bin"
    path.write_bytes(DATA)
    made: FileOffer = request.param(path, DESCRIPTOR)
    return made


async def ask(raw: RawPeer, get: Get) -> bytes | int:
    """The payloads together, or the reason of the refusal."""
    raw.say(get)
    whole = b""
    while True:
        message, payload = await raw.hear()
        if isinstance(message, Data):
            assert message.request == get.request
            whole += payload
            assert len(payload) == MAX_PAYLOAD_BYTES or len(whole) == get.length
            if len(whole) >= get.length:
                return whole
        if isinstance(message, Refused):
            assert message.request == get.request
            return message.reason


# What a seed answers.


async def test_a_run_in_one_file_is_answered_up_to_its_limit(offer: FileOffer) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        await raw.hear_a(Hello)
        assert await ask(raw, Get(1, CONTENT, 3, MAX_RUN_BYTES, 8)) == DATA[3 * MIB : 11 * MIB]
        assert await ask(raw, Get(2, CONTENT, CHUNKS - 2, 2 * MIB - 777, 2)) == DATA[-2 * MIB + 777 :]


@pytest.mark.parametrize(
    "get",
    [
        Get(1, CONTENT, 3, 2 * MIB - 1, 2),  # not the whole of its chunks
        Get(1, CONTENT, 3, 2 * MIB + 1, 2),
        Get(1, CONTENT, 3, MIB, 2, 0),
        Get(1, CONTENT, 3, 2 * MIB, 2, 1),  # a range of a run
        Get(1, CONTENT, CHUNKS - 2, 2 * MIB, 2),  # longer than the file
        Get(1, CONTENT, CHUNKS - 1, 2 * MIB, 2),  # more chunks than there are
        Get(1, CONTENT, CHUNKS, 1, 1),
        Get(1, CONTENT, 3, MIB, 1, 1),  # a range beyond its chunk
    ],
)
async def test_what_no_get_may_ask_for_is_refused(offer: FileOffer, get: Get) -> None:
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        await raw.hear_a(Hello)
        assert await ask(raw, get) == Reason.NOT_FOUND
        assert await ask(raw, Get(2, CONTENT, 0, 10)) == DATA[:10]


async def test_a_partial_seed_gives_runs_of_what_it_has_and_no_others(offer: FileOffer) -> None:
    offer.have = Bitfield(CHUNKS)
    for chunk in (2, 3, 5):
        offer.have.add(chunk)
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        await raw.hear_a(Hello)
        assert await ask(raw, Get(1, CONTENT, 2, 2 * MIB, 2)) == DATA[2 * MIB : 4 * MIB]
        assert await ask(raw, Get(2, CONTENT, 2, 4 * MIB, 4)) == Reason.NOT_FOUND
        assert await ask(raw, Get(3, CONTENT, 4, 2 * MIB, 2)) == Reason.NOT_FOUND


async def test_a_run_over_several_files_is_bounded_by_what_a_seed_may_hold_in_memory(tmp_path: Path) -> None:
    sizes = {"a": 3 * MIB // 4, "b": MIB // 4, "c": 1, "d": 5 * MIB}
    offer = CollectionOffer(tmp_path / "mixed", sizes)
    content = offer.layout.content_hash
    parts = [(tmp_path / "mixed" / name).read_bytes() for name in sizes]
    async with peer(offer) as (_, address), dialled(address) as raw:  # type: ignore[arg-type]
        raw.hello()
        await raw.hear_a(Hello)
        assert await ask(raw, Get(1, content, 0, MIB, 2)) == parts[0] + parts[1]
        assert await ask(raw, Get(2, content, 0, MIB + 1, 3)) == Reason.NOT_FOUND
        assert await ask(raw, Get(3, content, 2, 3 * MIB + 1, 4)) == Reason.NOT_FOUND
        assert await ask(raw, Get(4, content, 3, 4 * MIB, 4)) == parts[3][: 4 * MIB]


async def test_a_file_that_became_shorter_ends_the_connection_and_not_the_seed(offer: FileOffer) -> None:
    async with peer(offer) as (_, address):
        async with dialled(address) as raw:
            raw.hello()
            await raw.hear_a(Hello)
            with offer.path.open("r+b") as file:
                file.truncate(5 * MIB)
            raw.say(Get(1, CONTENT, 3, 4 * MIB, 4))
            assert await raw.ended()
        async with dialled(address) as raw:
            raw.hello()
            await raw.hear_a(Hello)
            assert await ask(raw, Get(1, CONTENT, 3, 2 * MIB, 2)) == DATA[3 * MIB : 5 * MIB]


# Whole fetches.


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Get]:
    """What all seeds are asked for; every line counts as fast, and the end of a file begins late."""
    monkeypatch.setattr("dhtshare.transfer.window.RUN_SECONDS", 1000.0)
    monkeypatch.setattr("dhtshare.transfer.window.LEAST_SECONDS", 1e-4)  # the whole fetch takes 20 ms
    monkeypatch.setattr("dhtshare.transfer.pipeline.RUNS_UNTIL_CHUNKS", 3)
    gets: list[Get] = []
    requested = Seeder.requested

    def keep(seeder: Seeder, connection: Connection, request: Request, now: float) -> None:
        if isinstance(request, Get):
            gets.append(request)
        requested(seeder, connection, request, now)

    monkeypatch.setattr(Seeder, "requested", keep)
    return gets


async def fetch(exchange: Exchange, *addresses: Address) -> tuple[bytes, SwarmResult]:
    layout = Layout.of(DESCRIPTOR)
    sink = MemorySink(layout)
    swarm = Swarm(exchange, layout, sink, options=SwarmOptions(timeout=10.0))
    for address in addresses:
        assert swarm.add_peer(address)
    async with asyncio.timeout(30):
        result = await swarm.run()
        while exchange.buffers.promised:
            await asyncio.sleep(0.01)
    return bytes(sink.data), result


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_fetch_in_runs_brings_every_byte_once(offer: FileOffer, asked: list[Get], scope: str) -> None:
    rules = SCOPES[scope]
    async with peer(offer, rules=rules) as (_, seed), peer(seed=2, rules=rules) as (fetcher, _own):
        data, result = await fetch(fetcher, seed)
        assert [info.encrypted for info in fetcher.peers()] == [scope == "tls"]
    assert data == DATA
    assert (result.downloaded, result.discarded) == (len(DATA), 0)
    assert max(get.count for get in asked) == MAX_RUN_BYTES // MIB
    assert sum(get.length for get in asked) == len(DATA)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_liar_in_the_middle_of_runs_is_found_and_the_honest_go_on(
    offer: FileOffer, asked: list[Get], scope: str, tmp_path: Path
) -> None:
    path = tmp_path / "false.bin"
    false = bytearray(DATA)
    for chunk in range(2, CHUNKS, 3):
        false[chunk * MIB] ^= 1
    path.write_bytes(false)
    rules = SCOPES[scope]
    async with (
        peer(FileOffer(path, DESCRIPTOR), rules=rules) as (_, liar),
        peer(offer, seed=2, rules=rules, upload=64 * MIB) as (_, honest),
        peer(seed=3, rules=rules) as (fetcher, _own),
    ):
        data, result = await fetch(fetcher, liar, honest)
    assert data == DATA
    sources = {source.address: source for source in result.sources}
    assert sources[str(liar)].bad_chunks
    assert not sources[str(honest)].bad_chunks
    assert sum(source.bytes for source in result.sources) == len(DATA)
