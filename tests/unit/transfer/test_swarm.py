"""One fetch from real peers on loopback: honest, partial, lying, silent and vanishing ones."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError, IntegrityError, NetworkError, NotFoundError
from dhtshare.network import Address
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from tests.unit.transfer.transfer_fakes import FileOffer, MemorySink, describe, peer

MIB = 1 << 20
CHUNKS = 12
DATA = random.Random(7).randbytes(CHUNKS * MIB - 12345)  # the last chunk is not whole
DESCRIPTOR = describe(DATA)


@pytest.fixture
def honest(tmp_path: Path) -> FileOffer:
    path = tmp_path / "honest.bin"
    path.write_bytes(DATA)
    return FileOffer(path, DESCRIPTOR)


@pytest.fixture
def false(tmp_path: Path) -> FileOffer:
    path = tmp_path / "false.bin"
    path.write_bytes(bytes(len(DATA)))
    return FileOffer(path, DESCRIPTOR)


async def fetch(
    exchange: Exchange, *addresses: Address, timeout: float = 10.0, events: list[dict[str, Any]] | None = None
) -> tuple[bytes, SwarmResult]:
    layout = Layout.of(DESCRIPTOR)
    sink = MemorySink(layout)
    told = events if events is not None else []
    swarm = Swarm(exchange, layout, sink, options=SwarmOptions(timeout=timeout), on_event=told.append)
    for address in addresses:
        assert swarm.add_peer(address)
    result = await swarm.run()
    await all_given_back(exchange)
    return bytes(sink.data), result


async def all_given_back(exchange: Exchange) -> None:
    """Duplicates of the tail may still be on their way; their memory comes back with their answers."""
    async with asyncio.timeout(10):
        while exchange.buffers.promised:
            await asyncio.sleep(0.01)


async def test_one_seed(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        data, result = await fetch(fetcher, seed)
    assert data == DATA
    assert (result.downloaded, result.discarded) == (len(DATA), 0)
    (source,) = result.sources
    assert (source.chunks, source.bytes, source.bad_chunks) == (CHUNKS, len(DATA), 0)
    assert result.names == {"honest.bin": 1}


async def test_several_seeds_share_the_work(honest: FileOffer) -> None:
    async with AsyncExitStack() as stack:
        seeds = [(await stack.enter_async_context(peer(honest, upload=16 * MIB, seed=n)))[1] for n in (1, 2, 3)]
        fetcher, _ = await stack.enter_async_context(peer(seed=9))
        data, result = await fetch(fetcher, *seeds)
    assert data == DATA
    assert sum(source.bytes for source in result.sources) == len(DATA)
    assert sum(source.chunks > 0 for source in result.sources) >= 2


async def test_two_halves_make_a_whole(tmp_path: Path, honest: FileOffer) -> None:
    even = FileOffer(honest.path, DESCRIPTOR, Bitfield(CHUNKS, range(0, CHUNKS, 2)))
    odd = FileOffer(honest.path, DESCRIPTOR, Bitfield(CHUNKS, range(1, CHUNKS, 2)))
    async with peer(even) as (_, one), peer(odd, seed=2) as (_, two), peer(seed=3) as (fetcher, _own):
        data, result = await fetch(fetcher, one, two)
    assert data == DATA
    assert sorted(source.chunks for source in result.sources) == [CHUNKS // 2, CHUNKS // 2]


async def test_a_liar_is_out_at_its_first_false_chunk(honest: FileOffer, false: FileOffer) -> None:
    events: list[dict[str, Any]] = []
    async with peer(honest) as (_, seed), peer(false, seed=2) as (_, liar), peer(seed=3) as (fetcher, _own):
        data, result = await fetch(fetcher, liar, seed, events=events)
        assert not fetcher.may_dial(liar)
    assert data == DATA
    bad = {source.address: source.bad_chunks for source in result.sources}
    assert 1 <= bad[str(liar)] <= 2
    assert bad[str(seed)] == 0
    assert {"event": "peer", "address": str(liar), "state": "banned"} in events


async def test_nobody_but_a_liar(false: FileOffer) -> None:
    async with peer(false) as (_, liar), peer(seed=2) as (fetcher, _own):
        with pytest.raises(IntegrityError):
            await fetch(fetcher, liar)
        await all_given_back(fetcher)


async def test_a_seed_that_dies_is_replaced_by_another(honest: FileOffer) -> None:
    async with peer(honest, seed=2) as (_, survivor), peer(seed=3) as (fetcher, _own):
        async with peer(honest, upload=4 * MIB) as (dying, seed):
            layout = Layout.of(DESCRIPTOR)
            sink = MemorySink(layout)
            swarm = Swarm(fetcher, layout, sink, options=SwarmOptions(timeout=10.0))
            swarm.add_peer(seed)
            running = asyncio.create_task(swarm.run())
            async with asyncio.timeout(10):
                while not len(sink.have):
                    await asyncio.sleep(0.01)
            del dying
        swarm.add_peer(survivor)
        result = await running
    assert bytes(sink.data) == DATA
    assert {source.address for source in result.sources} == {str(seed), str(survivor)}


async def test_a_silent_peer_costs_a_timeout_not_a_hang() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with peer() as (fetcher, _own):
            with pytest.raises(NetworkError):
                await fetch(fetcher, Address("127.0.0.1", silent.getsockname()[1]), timeout=0.6)


async def test_nobody_is_said_as_such() -> None:
    async with peer() as (fetcher, _own):
        with pytest.raises(NotFoundError):
            await fetch(fetcher, timeout=0.3)


async def test_a_full_disk_ends_the_fetch(honest: FileOffer) -> None:
    class FullSink(MemorySink):
        def store(self, index: int, data: memoryview) -> None:
            raise DiskError("No space left.")

    async with peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        layout = Layout.of(DESCRIPTOR)
        swarm = Swarm(fetcher, layout, FullSink(layout))
        swarm.add_peer(seed)
        with pytest.raises(DiskError):
            await swarm.run()


async def test_what_is_cancelled_leaves_nothing_behind(honest: FileOffer) -> None:
    async with peer(honest, upload=MIB) as (_, seed), peer(seed=2) as (fetcher, _own):
        layout = Layout.of(DESCRIPTOR)
        sink = MemorySink(layout)
        swarm = Swarm(fetcher, layout, sink)
        swarm.add_peer(seed)
        running = asyncio.create_task(swarm.run())
        await asyncio.sleep(0.2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        again = Swarm(fetcher, layout, sink, wanted=[0])
        again.add_peer(seed)
        async with asyncio.timeout(10):
            await again.run()
        assert 0 in sink.have


async def test_only_wanted_chunks_are_fetched(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        layout = Layout.of(DESCRIPTOR)
        sink = MemorySink(layout)
        swarm = Swarm(fetcher, layout, sink, wanted=[2, 5])
        swarm.add_peer(seed)
        result = await swarm.run()
    assert list(sink.have) == [2, 5]
    assert result.downloaded == 2 * MIB


async def test_another_identity_is_refused(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        with pytest.raises(IntegrityError):
            await fetcher.ask_have(PeerAddress(seed, b"\x01" * 32), DESCRIPTOR.content_hash)
        with pytest.raises(NotFoundError):
            await fetcher.ask_have(PeerAddress(seed), b"\x02" * 32)
        has = await fetcher.ask_have(PeerAddress(seed), DESCRIPTOR.content_hash)
        assert has.complete
        assert has.name == "honest.bin"


async def test_a_descriptor_comes_from_whoever_has_it(honest: FileOffer) -> None:
    async with peer() as (_, other), peer(honest, seed=2) as (_, seed), peer(seed=3) as (fetcher, _own):
        peers = [PeerAddress(other), PeerAddress(seed)]
        found = await fetcher.fetch_descriptor(DESCRIPTOR.content_hash, peers, timeout=5)
        assert found.raw == DESCRIPTOR.encode()
        assert found.names == {"honest.bin": 1}
        with pytest.raises(NotFoundError):
            await fetcher.fetch_descriptor(b"\x03" * 32, [PeerAddress(other)], timeout=5)
