"""Several fetch the same content from one seed: they feed each other, over one connection a pair."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.network import Address
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.messages import Ask, Data, Get, Given, Has, Hello, Reason, Refused
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from tests.unit.transfer.raw_peer import RawPeer, claim_all, dialled, serving
from tests.unit.transfer.transfer_fakes import FileOffer, MemorySink, describe, peer

MIB = 1 << 20
CHUNKS = 24
DATA = random.Random(22).randbytes(CHUNKS * MIB)
DESCRIPTOR = describe(DATA)


@pytest.fixture
def honest(tmp_path: Path) -> FileOffer:
    path = tmp_path / "honest.bin"
    path.write_bytes(DATA)
    return FileOffer(path, DESCRIPTOR)


class Fetcher:
    """A fetch that serves what it has from a file of its own, as a node does."""

    def __init__(self, folder: Path, number: int) -> None:
        path = folder / f"growing{number}.bin"
        with path.open("wb") as file:
            file.truncate(len(DATA))
        self.offer = FileOffer(path, DESCRIPTOR, Bitfield(CHUNKS))
        self.exchange: Exchange
        self.address: Address
        self.swarm: Swarm
        self.events: list[dict[str, Any]] = []

    async def start(self, stack: AsyncExitStack, number: int) -> None:
        self.exchange, self.address = await stack.enter_async_context(peer(self.offer, seed=number))
        options = SwarmOptions(timeout=20)
        self.swarm = Swarm(self.exchange, Layout.of(DESCRIPTOR), self, options=options, on_event=self.events.append)

    @property
    def have(self) -> Bitfield:
        assert self.offer.have is not None
        return self.offer.have

    def store(self, index: int, data: memoryview) -> None:
        with self.offer.path.open("r+b") as file:
            file.seek(index * MIB)
            file.write(data)
        self.have.add(index)

    @property
    def data(self) -> bytes:
        return self.offer.path.read_bytes()


async def run_all(fetchers: list[Fetcher]) -> list[SwarmResult]:
    async with asyncio.timeout(40):
        return await asyncio.gather(*(fetcher.swarm.run() for fetcher in fetchers))


async def test_a_crowd_draws_each_chunk_from_its_seed_about_once(honest: FileOffer, tmp_path: Path) -> None:
    """All know all. The seed is slow enough that what one got from it can be had from that one."""
    async with AsyncExitStack() as stack:
        seed, seed_address = await stack.enter_async_context(peer(honest, upload=12 * MIB))
        fetchers = [Fetcher(tmp_path, number) for number in range(3)]
        for number, fetcher in enumerate(fetchers):
            await fetcher.start(stack, number + 2)
        for fetcher in fetchers:
            fetcher.swarm.add_peer(seed_address)
            for other in fetchers:
                if other is not fetcher:
                    fetcher.swarm.add_peer(other.address)
        results = await run_all(fetchers)
        given = seed.stats().uploaded
    assert all(fetcher.data == DATA for fetcher in fetchers)
    assert given < 1.8 * len(DATA), "three copies would be nobody feeding anybody"
    assert all(len([source for source in result.sources if source.chunks]) >= 2 for result in results)


async def test_who_dial_each_other_keep_one_connection(tmp_path: Path, honest: FileOffer) -> None:
    async with AsyncExitStack() as stack:
        _, seed = await stack.enter_async_context(peer(honest, upload=16 * MIB))
        one, two = Fetcher(tmp_path, 1), Fetcher(tmp_path, 2)
        await one.start(stack, 2)
        await two.start(stack, 3)
        one.swarm.add_peer(two.address)
        two.swarm.add_peer(one.address)
        one.swarm.add_peer(seed)
        two.swarm.add_peer(seed)
        results = await run_all([one, two])
        for fetcher, other, result in ((one, two, results[0]), (two, one, results[1])):
            dialled = [event["address"] for event in fetcher.events if event.get("state") == "dialled"]
            assert dialled == [str(other.address), str(seed)], "both dialled, and neither again"
            assert len(fetcher.exchange.peers()) == 2, "one to the seed, one to each other"
            for source in result.sources:
                assert source.incoming == (source.address not in (str(other.address), str(seed)))
    assert one.data == two.data == DATA


async def test_a_peer_that_dialled_is_called_incoming_where_its_listening_address_is_unknown(
    tmp_path: Path, honest: FileOffer
) -> None:
    async with AsyncExitStack() as stack:
        _, seed = await stack.enter_async_context(peer(honest, upload=16 * MIB))
        one, two = Fetcher(tmp_path, 1), Fetcher(tmp_path, 2)
        await one.start(stack, 2)
        await two.start(stack, 3)
        two.swarm.add_peer(one.address)
        for fetcher in (one, two):
            fetcher.swarm.add_peer(seed)
        results = await run_all([one, two])
    (guest,) = [source for source in results[0].sources if source.address != str(seed)]
    assert guest.incoming
    assert guest.address != str(two.address)
    named = [event for event in one.events if event.get("address") == guest.address]
    assert [event["state"] for event in named][:1] == ["connected"]
    assert all(event["incoming"] is True for event in named)
    assert not any(event.get("incoming") for event in one.events if event.get("address") == str(seed))
    assert not any(event.get("incoming") for event in two.events)
    assert not any(source.incoming for source in results[1].sources)


async def test_a_whole_seed_tells_the_others_what_it_gives(honest: FileOffer) -> None:
    async with peer(honest) as (_, seed), peer(seed=2) as (one, _a), peer(seed=3) as (two, _b):
        told: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()

        class Listener:
            def has_more(self, *_: object) -> None: ...
            def choking(self, *_: object) -> None: ...
            def closed(self, *_: object) -> None: ...
            def given(self, _connection: object, content: bytes, runs: tuple[int, ...]) -> None:
                assert content == DESCRIPTOR.content_hash
                told.put_nowait(runs)

        from dhtshare.transfer.asking import ask_have
        from dhtshare.transfer.dialler import PeerAddress
        from dhtshare.transfer.replies import ask

        taker, watcher = await one.connect(PeerAddress(seed)), await two.connect(PeerAddress(seed))
        taker.followers.append(mute := Listener())
        watcher.followers.append(Listener())
        for connection in (taker, watcher):
            await ask_have(connection, DESCRIPTOR.content_hash, follow=True, timeout=5)
        mute.given = lambda *_: pytest.fail("who gets it need not be told")  # type: ignore[method-assign]
        for offset in (0, MIB // 2):
            await ask(
                taker, lambda number, at=offset: Get(number, DESCRIPTOR.content_hash, 7, MIB // 2, 1, at), Data, 5
            )
        async with asyncio.timeout(5):
            assert await told.get() == (7, 1)
        assert told.empty(), "one word a chunk, however many parts it is asked in"


async def test_who_asks_for_what_another_was_just_given_hears_so_and_gets_it_the_second_time(honest: FileOffer) -> None:
    content = DESCRIPTOR.content_hash
    async with peer(honest) as (_, seed), dialled(seed) as one, dialled(seed) as two:
        for raw in (one, two):
            raw.hello()
            raw.say(Ask(1, content, follow=True))
            await raw.hear_a(Has)
        one.say(Get(2, content, 7, MIB))
        await one.hear_a(Data)
        for offset in (0, MIB // 2):
            two.say(Get(2 + offset, content, 7, MIB // 2, 1, offset))
        assert (await two.hear())[0] == Given(content, (7, 1))
        assert (await two.hear())[0] == Refused(2, Reason.GIVEN)
        assert (await two.hear())[0] == Refused(2 + MIB // 2, Reason.GIVEN)
        two.say(Get(3, content, 7, MIB))
        assert (await two.hear())[1] == DATA[7 * MIB : 8 * MIB]


async def test_one_alone_is_never_sent_away(honest: FileOffer) -> None:
    content = DESCRIPTOR.content_hash
    async with peer(honest) as (_, seed), dialled(seed) as one, dialled(seed) as two:
        for raw in (one, two):
            raw.hello()
        one.say(Ask(1, content, follow=True))
        await one.hear_a(Has)
        for raw in (one, two):
            raw.say(Get(2, content, 7, MIB))
            assert (await raw.hear_a(Data))[1] == DATA[7 * MIB : 8 * MIB]


async def test_what_a_seed_gives_to_others_is_asked_for_last() -> None:
    """It says that the first half goes to others: the second comes first."""
    order: list[int] = []

    async def gives(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        raw.say(Given(ask.content, (0, CHUNKS // 2)))
        raw.say(Has(ask.request, CHUNKS, CHUNKS, "crowd", 100))
        raw.say(Given(ask.content, (0, CHUNKS // 2)))
        while True:
            get, _ = await raw.hear_a(Get)
            assert isinstance(get, Get)
            if not get.offset:
                order.append(get.first)
            raw.say(Data(get.request), DATA[get.first * MIB + get.offset :][: get.length])

    async with serving(gives) as address, peer() as (fetcher, _own):
        sink = MemorySink(Layout.of(DESCRIPTOR))
        swarm = Swarm(fetcher, Layout.of(DESCRIPTOR), sink)
        swarm.add_peer(address)
        await swarm.run()
    assert bytes(sink.data) == DATA
    # The first request may leave before GIVEN is read.
    assert sum(chunk < CHUNKS // 2 for chunk in order[: CHUNKS // 2]) <= 1


@pytest.mark.parametrize("runs", [(CHUNKS - 1, 5), (3,)])
async def test_nonsense_about_what_is_given_ends_the_connection(runs: tuple[int, ...]) -> None:
    ended = asyncio.Event()

    async def raves(raw: RawPeer) -> None:
        await claim_all(raw, CHUNKS)
        raw.say(Given(DESCRIPTOR.content_hash, runs))
        await raw.ended()
        ended.set()

    async with serving(raves) as address, peer() as (fetcher, _own):
        swarm = Swarm(fetcher, Layout.of(DESCRIPTOR), MemorySink(Layout.of(DESCRIPTOR)))
        swarm.add_peer(address)
        running = asyncio.create_task(swarm.run())
        async with asyncio.timeout(5):
            await ended.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
