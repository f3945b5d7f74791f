"""Peers that freeze, trickle, choke, lie late or come back: a fetch goes on with the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import random
import weakref
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.errors import IntegrityError, NetworkError
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.messages import Ask, Choke, Data, Get, Has, Have, Hello, Reason, Refused, Unchoke
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from tests.unit.transfer.raw_peer import RawPeer, claim_all, serving
from tests.unit.transfer.transfer_fakes import FileOffer, MemorySink, describe, peer

MIB = 1 << 20
CHUNKS = 8
DATA = random.Random(21).randbytes(CHUNKS * MIB)
DESCRIPTOR = describe(DATA)


@pytest.fixture
def honest(tmp_path: Path) -> FileOffer:
    path = tmp_path / "honest.bin"
    path.write_bytes(DATA)
    return FileOffer(path, DESCRIPTOR)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of patience become tenths."""
    monkeypatch.setattr("dhtshare.transfer.source.LEAST_STALL_SECONDS", 0.1)
    monkeypatch.setattr("dhtshare.transfer.source.DEAD_SECONDS", 1.0)
    monkeypatch.setattr("dhtshare.transfer.swarm.TICK_SECONDS", 0.05)


async def run(
    exchange: Exchange, *addresses: Address, timeout: float = 5.0, sequential: bool = False
) -> tuple[bytes, SwarmResult, list[dict[str, Any]]]:
    layout = Layout.of(DESCRIPTOR)
    sink = MemorySink(layout)
    events: list[dict[str, Any]] = []
    options = SwarmOptions(timeout=timeout, sequential=sequential)
    swarm = Swarm(exchange, layout, sink, options=options, on_event=events.append)
    for address in addresses:
        swarm.add_peer(address)
    async with asyncio.timeout(20):
        result = await swarm.run()
    assert exchange.buffers.promised == 0
    return bytes(sink.data), result, events


def part_of(get: Get) -> bytes:
    """What a GET of one chunk, or a range of it, is answered with."""
    return DATA[get.first * MIB + get.offset :][: get.length]


async def freeze(raw: RawPeer) -> None:
    """Claims everything, answers nothing."""
    await claim_all(raw, CHUNKS)
    await raw.ended()


async def freeze_halfway(raw: RawPeer) -> None:
    """Sends the first half of a chunk."""
    await claim_all(raw, CHUNKS)
    get, _ = await raw.hear_a(Get)
    assert isinstance(get, Get)
    from dhtshare.transfer.codec import encode

    raw.writer.write(encode(Data(get.request), get.length) + bytes(get.length // 2))
    await raw.ended()


async def give(raw: RawPeer, *, seconds: float = 0.0, lie_at: int | None = None, most: int = 1 << 30) -> None:
    """Serves, `seconds` a chunk; the chunk `lie_at` is false; hangs up after `most` chunks."""
    await claim_all(raw, CHUNKS)
    given = 0
    while given < most * MIB:
        get, _ = await raw.hear_a(Get)
        assert isinstance(get, Get)
        await asyncio.sleep(seconds * get.length / MIB)
        given += get.length
        data = part_of(get)
        raw.say(Data(get.request), bytes(get.length) if get.first == lie_at else data)


@pytest.mark.parametrize("behave", [freeze, freeze_halfway])
async def test_a_frozen_peer_costs_little(honest: FileOffer, behave: Any) -> None:
    async with serving(behave) as frozen, peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        data, result, _ = await run(fetcher, frozen, seed)
    assert data == DATA
    assert result.seconds < 3
    assert result.discarded == 0


async def test_a_peer_that_never_answers_keeps_nothing_of_a_fetch_that_is_over(honest: FileOffer) -> None:
    """Its connection stays, and with it the request: a hundred thousand files must not stay with them."""

    async def over() -> weakref.ref[Layout]:
        layout = Layout.of(DESCRIPTOR)
        swarm = Swarm(fetcher, layout, MemorySink(layout))
        for address in (frozen, seed):
            swarm.add_peer(address)
        async with asyncio.timeout(20):
            await swarm.run()
        return weakref.ref(layout)

    async with serving(freeze) as frozen, peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        layout = await over()
        async with asyncio.timeout(5):
            while layout() is not None:
                await asyncio.sleep(0.01)
                gc.collect()
        assert fetcher.stats().connections == 2


async def test_the_frozen_alone_end_in_a_network_error() -> None:
    async with serving(freeze) as frozen, peer() as (fetcher, _own):
        with pytest.raises(NetworkError, match="resume"):
            await run(fetcher, frozen, timeout=1.5)


async def test_a_trickle_is_left_for_others(honest: FileOffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.transfer.floor.FLOOR_SECONDS", 0.5)
    ended: list[bool] = []

    async def trickle(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        get, _ = await raw.hear_a(Get)
        assert isinstance(get, Get)
        from dhtshare.transfer.codec import encode

        raw.writer.write(encode(Data(get.request), get.length))
        try:
            for _ in range(200):
                raw.writer.write(b"x")
                await raw.writer.drain()
                await asyncio.sleep(0.05)
        finally:
            ended.append(True)

    async with serving(trickle) as slow, peer(honest, upload=6 * MIB) as (_, seed), peer(seed=2) as (fetcher, _own):
        data, _, events = await run(fetcher, slow, seed)
        lost = [event for event in events if event["event"] == "peer" and event["state"] == "lost"]
        assert [event["address"] for event in lost] == [str(slow)]
    assert data == DATA
    assert ended


async def test_a_slow_peer_does_not_hold_up_the_tail(honest: FileOffer) -> None:
    async def slow(raw: RawPeer) -> None:
        await give(raw, seconds=2.0)

    async with serving(slow) as tired, peer(honest, upload=20 * MIB) as (_, seed), peer(seed=2) as (fetcher, _own):
        data, result, _ = await run(fetcher, tired, seed)
    assert data == DATA
    assert result.seconds < 2.0


async def test_one_lie_at_the_end_costs_one_chunk(honest: FileOffer) -> None:
    async def late_liar(raw: RawPeer) -> None:
        await give(raw, lie_at=CHUNKS - 1)

    async with serving(late_liar) as liar, peer() as (fetcher, _own):
        with pytest.raises(IntegrityError):
            await run(fetcher, liar)
    async with serving(late_liar) as liar, peer(honest, upload=4 * MIB) as (_, seed), peer(seed=2) as (fetcher, _own):
        data, result, events = await run(fetcher, liar, seed)
    assert data == DATA
    bad = [event for event in events if event["event"] == "chunk_bad"]
    assert len(bad) <= 1
    assert sum(source.bad_chunks for source in result.sources) == len(bad)


async def test_one_honest_of_five_is_enough(honest: FileOffer) -> None:
    async def liar(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        while True:
            get, _ = await raw.hear_a(Get)
            assert isinstance(get, Get)
            raw.say(Data(get.request), bytes(get.length))

    async with (
        serving(liar) as one,
        serving(liar) as two,
        serving(liar) as three,
        serving(liar) as four,
        peer(honest) as (_, seed),
        peer(seed=2) as (fetcher, _own),
    ):
        data, result, _ = await run(fetcher, one, two, three, four, seed)
    assert data == DATA
    assert all(source.bad_chunks <= 2 for source in result.sources)


async def test_who_hangs_up_now_and_then_is_dialled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.transfer.dials.RETRY_SECONDS", 0.05)

    async def hasty(raw: RawPeer) -> None:
        await give(raw, most=3)
        await raw.writer.drain()

    async with serving(hasty) as address, peer() as (fetcher, _own):
        data, result, _ = await run(fetcher, address, timeout=15)
    assert data == DATA
    (source,) = result.sources
    assert source.chunks == CHUNKS


async def test_a_choked_fetcher_waits_and_goes_on() -> None:
    async def choking(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        get, _ = await raw.hear_a(Get)
        assert isinstance(get, Get)
        raw.say(Choke())
        raw.say(Refused(get.request, Reason.CHOKED))
        await asyncio.sleep(0.2)
        raw.say(Unchoke())
        while True:
            get, _ = await raw.hear_a(Get)
            assert isinstance(get, Get)
            raw.say(Data(get.request), part_of(get))

    async with serving(choking) as address, peer() as (fetcher, _own):
        data, _, _ = await run(fetcher, address)
    assert data == DATA


async def test_who_lacks_what_it_claimed_is_asked_for_other_things(honest: FileOffer) -> None:
    async def lacks_odd(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        while True:
            get, _ = await raw.hear_a(Get)
            assert isinstance(get, Get)
            if get.first % 2:
                raw.say(Refused(get.request, Reason.NOT_FOUND))
            else:
                raw.say(Data(get.request), part_of(get))

    honest.have = Bitfield(CHUNKS, range(1, CHUNKS, 2))
    async with serving(lacks_odd) as even, peer(honest) as (_, odd), peer(seed=2) as (fetcher, _own):
        data, _, _ = await run(fetcher, even, odd)
    assert data == DATA


async def test_news_of_a_growing_peer_is_used() -> None:
    async def grows(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        from dhtshare.transfer.messages import Ask, Has

        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        assert ask.follow
        raw.say(Has(ask.request, CHUNKS, 0, "growing", 100), bytes(1))
        for first in range(0, CHUNKS, 2):
            raw.say(Have(ask.content, (first, 2)))
            given = 0
            while given < 2 * MIB:
                get, _ = await raw.hear_a(Get)
                assert isinstance(get, Get)
                assert first <= get.first < first + 2
                given += get.length
                raw.say(Data(get.request), part_of(get))
        await raw.ended()

    async with serving(grows) as address, peer() as (fetcher, _own):
        data, _, _ = await run(fetcher, address)
    assert data == DATA


async def test_news_of_chunks_that_do_not_exist_ends_the_connection() -> None:
    async def boasts(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        raw.say(Have(DESCRIPTOR.content_hash, (CHUNKS - 1, 5)))
        await raw.ended()

    async with serving(boasts) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError):
            await run(fetcher, address, timeout=1.0)


async def test_two_who_fetch_feed_each_other(honest: FileOffer, tmp_path: Path) -> None:
    """Each has a half; only one dials; both become whole over that one connection."""
    left = FileOffer(honest.path, DESCRIPTOR, Bitfield(CHUNKS, range(CHUNKS // 2)))
    right = FileOffer(honest.path, DESCRIPTOR, Bitfield(CHUNKS, range(CHUNKS // 2, CHUNKS)))
    async with peer(left) as (one, _a), peer(right, seed=2) as (two, address):
        swarms = []
        for exchange, offer in ((one, left), (two, right)):
            layout = Layout.of(DESCRIPTOR)
            sink = MemorySink(layout)
            assert offer.have is not None
            for chunk in offer.have:
                sink.store(chunk, memoryview(DATA)[chunk * MIB : (chunk + 1) * MIB])
            swarms.append((Swarm(exchange, layout, sink, options=SwarmOptions(timeout=5)), sink))
        runs = [asyncio.create_task(swarm.run()) for swarm, _ in swarms]
        await asyncio.sleep(0)
        swarms[0][0].add_peer(address)
        async with asyncio.timeout(10):
            await asyncio.gather(*runs)
    for _, sink in swarms:
        assert bytes(sink.data) == DATA


async def test_a_partial_seed_tells_what_it_gets(honest: FileOffer) -> None:
    """seed → middle → last, where the last knows the middle only."""
    growing = FileOffer(honest.path, DESCRIPTOR, Bitfield(CHUNKS))

    class Growing(MemorySink):
        def store(self, index: int, data: memoryview) -> None:
            super().store(index, data)
            assert growing.have is not None
            growing.have.add(index)

    async with (
        peer(honest, upload=16 * MIB) as (_, seed),
        peer(growing, seed=2) as (middle, between),
        peer(seed=3) as (last, _own),
    ):
        layout = Layout.of(DESCRIPTOR)
        sink = Growing(layout)
        first = Swarm(middle, layout, sink, options=SwarmOptions(timeout=5))
        first.add_peer(seed)
        middle_run = asyncio.create_task(first.run())
        data, result, _ = await run(last, between)
        await middle_run
    assert data == DATA
    assert [source.address for source in result.sources] == [str(between)]


async def test_sequential_comes_in_order(honest: FileOffer) -> None:
    order: list[int] = []

    async def notes(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        while True:
            get, _ = await raw.hear_a(Get)
            assert isinstance(get, Get)
            if not get.offset:
                order.append(get.first)
            raw.say(Data(get.request), part_of(get))

    async with serving(notes) as address, peer() as (fetcher, _own):
        data, _, _ = await run(fetcher, address, sequential=True)
    assert data == DATA
    assert order == list(range(CHUNKS))


async def test_over_tls(honest: FileOffer) -> None:
    rules = ScopeRules([ipaddress.ip_network("127.0.0.0/8")])
    async with peer(honest, rules=rules) as (_, seed), peer(seed=2, rules=rules) as (fetcher, _own):
        data, _, _ = await run(fetcher, seed)
        assert [info.encrypted for info in fetcher.peers()] == [True]
    assert data == DATA


async def test_a_cap_on_download_holds(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2, download=8 * MIB) as (fetcher, _own):
        data, result, _ = await run(fetcher, seed)
    assert data == DATA
    assert 0.7 < result.seconds < 2.0  # 8 MiB, of which a fifth of a second may have been saved up


async def test_chunks_longer_than_a_payload_come_in_parts(tmp_path: Path) -> None:
    """A file over 64 GiB has chunks of 2 MiB. It is sparse: only its size is large."""
    from blake3 import blake3

    from dhtshare.content.descriptor import FileDescriptor

    size = (64 << 30) + 5
    chunks = (size + 2 * MIB - 1) // (2 * MIB)
    zero, last = blake3(bytes(2 * MIB)).digest(), blake3(bytes(5)).digest()
    hashes = [zero] * (chunks - 1) + [last]
    path = tmp_path / "sparse.bin"
    with path.open("wb") as file:
        file.truncate(size)
        for chunk in (0, 7, 8, 9):  # what is the same would come once
            file.seek(chunk * 2 * MIB)
            file.write(b"%04d" % chunk)
            hashes[chunk] = blake3(b"%04d" % chunk + bytes(2 * MIB - 4)).digest()
    descriptor = FileDescriptor(size, b"".join(hashes))

    class CountingSink:
        def __init__(self) -> None:
            self.have = Bitfield(chunks)
            self.lengths: dict[int, int] = {}

        def store(self, index: int, data: memoryview) -> None:
            self.lengths[index] = len(data)
            self.have.add(index)

    async with peer(FileOffer(path, descriptor)) as (_, seed), peer(seed=2) as (fetcher, _own):
        sink = CountingSink()
        swarm = Swarm(fetcher, Layout.of(descriptor), sink, wanted=[0, 7, 8, 9, chunks - 1])
        swarm.add_peer(seed)
        async with asyncio.timeout(20):
            result = await swarm.run()
    assert sink.lengths == {0: 2 * MIB, 7: 2 * MIB, 8: 2 * MIB, 9: 2 * MIB, chunks - 1: 5}
    assert result.downloaded == 8 * MIB + 5


async def test_memory_is_bounded_whatever_the_windows_ask_for(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2) as (fetcher, _own):
        fetcher.buffers.limit = MIB
        most = 0
        promise = fetcher.buffers.promise

        def watched(count: int) -> bool:
            nonlocal most
            done = promise(count)
            most = max(most, fetcher.buffers.promised)
            return done

        fetcher.buffers.promise = watched  # type: ignore[method-assign]
        data, _, _ = await run(fetcher, seed)
    assert data == DATA
    assert most == MIB


async def test_progress_is_told_but_not_too_often(honest: FileOffer) -> None:
    async with peer(honest, upload=8 * MIB) as (_, seed), peer(seed=2) as (fetcher, _own):
        _, result, events = await run(fetcher, seed)
    told = [event for event in events if event["event"] == "progress"]
    assert 2 <= len(told) <= 4 * result.seconds + 2
    assert [event["done"] for event in told] == sorted(event["done"] for event in told)
    assert all(event["total"] == len(DATA) and len(event["map"]) == CHUNKS for event in told)
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "finished"
    assert events[-1]["map"] == "8" * CHUNKS


async def test_peers_that_hold_nothing_give_way_when_others_wait(
    honest: FileOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many false peers as there are places: they answer, hold nothing, and stay."""
    monkeypatch.setattr("dhtshare.transfer.tending.USELESS_SECONDS", 0.3)

    async def holds_nothing(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, CHUNKS, 0, "empty", 100), bytes(1))

    async with contextlib.AsyncExitStack() as stack:
        idlers = [await stack.enter_async_context(serving(holds_nothing)) for _ in range(3)]
        _, seed = await stack.enter_async_context(peer(honest))
        fetcher, _own = await stack.enter_async_context(peer(seed=2))
        layout = Layout.of(DESCRIPTOR)
        sink = MemorySink(layout)
        swarm = Swarm(fetcher, layout, sink, options=SwarmOptions(timeout=15.0, connections=3))
        for address in (*idlers, seed):
            swarm.add_peer(address)
        async with asyncio.timeout(20):
            await swarm.run()
    assert bytes(sink.data) == DATA
