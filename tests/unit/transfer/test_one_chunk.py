"""A file of one chunk comes without its descriptor; whoever lies about its size wins nothing and is not needed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from dhtshare.content.chunks import MIN_CHUNK_SIZE
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry
from dhtshare.content.layout import Layout
from dhtshare.errors import IntegrityError, NetworkError, NotFoundError
from dhtshare.network import Address
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.messages import (
    Ask,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    Has,
    Hello,
    Message,
    Reason,
    Refused,
)
from dhtshare.transfer.one_chunk import Whole, may_be_one_chunk, told
from tests.unit.transfer.raw_peer import RawPeer, serving
from tests.unit.transfer.transfer_fakes import FileOffer, describe, peer

DATA = random.Random(3).randbytes(5000)
DESCRIPTOR = describe(DATA)
CONTENT = DESCRIPTOR.content_hash
RAW = DESCRIPTOR.encode()


class Scripted:
    """A seed of DATA that notes what it is asked, and may say a false size, give false bytes, or refuse."""

    def __init__(self, *, size: int = len(DATA), data: bytes = DATA, refuse: Reason | None = None) -> None:
        self.heard: list[type[Message]] = []
        self._size = size
        self._data = data
        self._refuse = refuse

    async def __call__(self, raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        while True:
            message, _ = await raw.hear()
            self.heard.append(type(message))  # type: ignore[arg-type]
            match message:
                case Ask():
                    raw.say(Has(message.request, 1, 1, "tiny.bin", len(RAW), self._size))
                case Get() if self._refuse is not None:
                    raw.say(Refused(message.request, self._refuse))
                case Get():
                    raw.say(Data(message.request), self._data[: message.length])
                case GetDescriptor():
                    raw.say(Descriptor(message.request, len(RAW)), RAW)


async def hunt(*addresses: Address, want_whole: bool = True) -> tuple[bytes, Whole | None]:
    async with peer(seed=9) as (fetcher, _):
        peers = [PeerAddress(address) for address in addresses]
        found = await fetcher.fetch_descriptor(CONTENT, peers, timeout=10, want_whole=want_whole)
        assert found.names == {"tiny.bin": len(addresses)}
        return found.raw, found.whole


async def test_the_bytes_come_and_the_descriptor_is_never_asked_for() -> None:
    seed = Scripted()
    async with serving(seed) as address:
        raw, whole = await hunt(address)
    assert raw == RAW
    assert whole == Whole(DATA, address)
    assert seed.heard == [Ask, Get]


async def test_who_only_wants_the_descriptor_gets_no_bytes() -> None:
    seed = Scripted()
    async with serving(seed) as address:
        assert await hunt(address, want_whole=False) == (RAW, None)
    assert seed.heard == [Ask, GetDescriptor]


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(Scripted(size=len(DATA) - 1), id="a byte too few"),
        pytest.param(Scripted(data=b"x" + DATA[1:]), id="another first byte"),
        pytest.param(Scripted(refuse=Reason.CHOKED), id="it chokes us"),
        pytest.param(Scripted(refuse=Reason.NOT_FOUND), id="it has no such range"),
    ],
)
async def test_other_bytes_or_none_and_the_descriptor_is_asked_for_after_all(seed: Scripted) -> None:
    async with serving(seed) as address:
        assert await hunt(address) == (RAW, None)
    assert seed.heard == [Ask, Get, GetDescriptor]


async def test_more_bytes_than_were_asked_for_end_the_connection() -> None:
    async def generous(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        raw.say(Has(ask.request, 1, 1, "tiny.bin", len(RAW), len(DATA)))
        get, _ = await raw.hear_a(Get)
        assert isinstance(get, Get)
        raw.say(Data(get.request), DATA + b"more")
        await raw.ended()

    async with serving(generous) as address, peer(seed=9) as (fetcher, _):
        with pytest.raises(NetworkError, match="5004 bytes where 5000"):
            async with asyncio.timeout(8):
                await fetcher.fetch_descriptor(CONTENT, [PeerAddress(address)], timeout=30, want_whole=True)


async def test_a_frozen_giver_does_not_hold_up_the_others() -> None:
    async def frozen(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        ask, _ = await raw.hear_a(Ask)
        assert isinstance(ask, Ask)
        raw.say(Has(ask.request, 1, 1, "tiny.bin", len(RAW), len(DATA)))
        await raw.hear_a(Get)
        asked.set()
        await raw.ended()

    asked, seed = asyncio.Event(), Scripted()
    async with serving(frozen) as stuck, serving(seed) as address, peer(seed=9) as (fetcher, _):

        async def peers() -> Any:
            yield PeerAddress(stuck)
            await asked.wait()
            yield PeerAddress(address)

        async with asyncio.timeout(8):  # less than a peer is given to answer
            found = await fetcher.fetch_descriptor(CONTENT, peers(), timeout=30, want_whole=True)
    assert (found.raw, found.whole) == (RAW, None)
    assert seed.heard == [Ask, GetDescriptor]


@pytest.mark.parametrize(("size", "taken"), [(1, True), (MIN_CHUNK_SIZE, True), (MIN_CHUNK_SIZE + 1, False)])
async def test_from_a_real_seed_up_to_a_whole_chunk(tmp_path: Path, size: int, taken: bool) -> None:
    path = tmp_path / "tiny.bin"
    path.write_bytes(random.Random(size).randbytes(size))
    descriptor = describe(path.read_bytes())
    async with peer(FileOffer(path, descriptor)) as (_, address), peer(seed=9) as (fetcher, _own):
        found = await fetcher.fetch_descriptor(descriptor.content_hash, [PeerAddress(address)], want_whole=True)
    assert found.raw == descriptor.encode()
    assert (found.whole is not None) == taken
    if found.whole is not None:
        assert found.whole.data == path.read_bytes()


async def test_a_false_file_is_neither_taken_nor_believed(tmp_path: Path) -> None:
    path = tmp_path / "tiny.bin"
    path.write_bytes(bytes(len(DATA)))
    liar = FileOffer(path, DESCRIPTOR)
    async with peer(liar) as (_, address), peer(seed=9) as (fetcher, _own):
        found = await fetcher.fetch_descriptor(CONTENT, [PeerAddress(address)], want_whole=True)
        assert (found.raw, found.whole) == (RAW, None)  # the descriptor is right; the swarm finds the bytes false
        liar.descriptor = describe(b"another").encode()
        with pytest.raises((IntegrityError, NotFoundError)):
            await fetcher.fetch_descriptor(CONTENT, [PeerAddress(address)], want_whole=True)


@pytest.mark.parametrize(
    ("has", "may"),
    [
        (Has(1, 1, 1, "", len(RAW), len(DATA)), True),
        (Has(1, 1, 0, "", len(RAW), len(DATA)), False),  # it holds nothing yet
        (Has(1, 2, 2, "", len(RAW), len(DATA)), False),
        (Has(1, 1, 1, "", len(RAW), 0), False),  # an older peer tells no size
        (Has(1, 1, 1, "", len(RAW), MIN_CHUNK_SIZE + 1), False),
        (Has(1, 1, 1, "", len(RAW) + 1, len(DATA)), False),  # no descriptor of one hash is so long
        (Has(1, 1, 1, "", len(CollectionDescriptor((CollectionEntry("a", 5, CONTENT),)).encode()), 5), False),
    ],
)
def test_what_may_be_a_file_of_one_chunk(has: Has, may: bool) -> None:
    assert may_be_one_chunk(has) is may


def test_it_tells_what_every_fetch_tells() -> None:
    events: list[dict[str, Any]] = []
    result = told(Layout.of(DESCRIPTOR), Whole(DATA, Address("127.0.0.1", 5)), events.append, 1.0)
    assert [event["event"] for event in events] == ["started", "peer", "finished"]
    assert events[-1]["done"] == events[-1]["total"] == len(DATA)
    assert events[-1]["map"] == "8"
    assert (result.downloaded, result.discarded) == (len(DATA), 0)
    assert [(source.address, source.chunks, source.bytes) for source in result.sources] == [
        ("127.0.0.1:5", 1, len(DATA))
    ]
