"""Collections: small files in runs, larger ones after their descriptors, several peers sharing that work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.errors import IntegrityError
from dhtshare.network import Address
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.members import MemberDescriptors
from dhtshare.transfer.messages import DESCRIPTOR_RANGE_BYTES, MAX_MEMBERS, MAX_PAYLOAD_BYTES
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from tests.unit.transfer.collection_fakes import CollectionOffer, FolderSink
from tests.unit.transfer.transfer_fakes import describe, peer

MIB = 1 << 20
SMALL = {f"small/{number:04}.txt": 100 + number for number in range(900)}
MIXED = {**SMALL, "large/a.bin": 3 * MIB + 1, "large/b.bin": 2 * MIB, "one.bin": MIB, "zero": 0}


async def fetch(
    exchange: Exchange, offer: CollectionOffer, *addresses: Address, wanted: list[int] | None = None
) -> tuple[FolderSink, SwarmResult]:
    layout = offer.fresh_layout()
    sink = FolderSink(layout)
    swarm = Swarm(exchange, layout, sink, wanted=wanted, options=SwarmOptions(timeout=5))
    for address in addresses:
        assert swarm.add_peer(address)
    async with asyncio.timeout(30):
        return sink, await swarm.run()


def assert_same(offer: CollectionOffer, sink: FolderSink) -> None:
    for number, file in enumerate(offer.layout.files):
        if file.chunk_count:
            assert bytes(sink.files[number]) == (offer.folder / file.path).read_bytes(), file.path


async def test_small_and_large_files_come_together(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "mixed", MIXED)
    async with peer(offer) as (_, seed), peer(seed=2) as (fetcher, _own):
        sink, result = await fetch(fetcher, offer, seed)
    assert_same(offer, sink)
    assert result.downloaded == sum(MIXED.values())
    assert result.discarded == 0


async def test_only_files_of_several_chunks_need_a_descriptor(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "mixed", MIXED)
    async with peer(offer) as (_, seed), peer(seed=2) as (fetcher, _own):
        await fetch(fetcher, offer, seed)
    asked = [offer.layout.files[number].path for number in offer.asked_for]
    assert sorted(asked) == ["large/a.bin", "large/b.bin"]


async def test_small_files_take_no_round_trip_each(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "small", SMALL)
    opened: list[int] = []
    async with peer(offer) as (seed_exchange, seed), peer(seed=2) as (fetcher, _own):
        before = seed_exchange.stats().downloaded
        _, result = await fetch(fetcher, offer, seed)
        requests = seed_exchange.stats().downloaded - before
    assert result.downloaded == sum(SMALL.values())
    assert requests < 20 * len(SMALL)  # a GET alone takes about 50 bytes
    assert not opened


async def test_several_peers_share_descriptors_and_chunks(tmp_path: Path) -> None:
    sizes = {f"{number}.bin": 2 * MIB + number for number in range(6)}
    async with AsyncExitStack() as stack:
        offers = [CollectionOffer(tmp_path / f"c{number}", sizes) for number in range(3)]
        seeds = [
            (await stack.enter_async_context(peer(offer, upload=30 * MIB, seed=number + 1)))[1]
            for number, offer in enumerate(offers)
        ]
        fetcher, _ = await stack.enter_async_context(peer(seed=9))
        sink, _ = await fetch(fetcher, offers[0], *seeds)
    assert_same(offers[0], sink)
    assert sorted(number for offer in offers for number in offer.asked_for) == list(range(6))


async def test_a_part_of_a_collection(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "mixed", MIXED)
    number = next(number for number, file in enumerate(offer.layout.files) if file.path == "large/b.bin")
    async with peer(offer) as (_, seed), peer(seed=2) as (fetcher, _own):
        sink, result = await fetch(fetcher, offer, seed, wanted=list(offer.layout.chunks_of_file(number)))
    assert list(sink.files) == [number]
    assert offer.asked_for == [number]
    assert result.downloaded == 2 * MIB


async def test_a_false_descriptor_of_a_member_bans_its_sender(tmp_path: Path) -> None:
    honest = CollectionOffer(tmp_path / "honest", {"a.bin": 2 * MIB, "b.bin": 3 * MIB})
    liar = CollectionOffer(tmp_path / "liar", {"a.bin": 2 * MIB, "b.bin": 3 * MIB})
    liar.descriptors = [describe(b"x").encode()] * 2
    async with peer(liar) as (_, lying), peer(seed=2) as (fetcher, _own):
        with pytest.raises(IntegrityError):
            await fetch(fetcher, honest, lying)
        assert not fetcher.may_dial(lying)
    async with peer(liar) as (_, lying), peer(honest, seed=2) as (_, seed), peer(seed=3) as (fetcher, _own):
        sink, _ = await fetch(fetcher, honest, lying, seed)
    assert_same(honest, sink)


async def test_a_member_under_its_own_hash_fills_its_place(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "mixed", {"a.bin": 100, "b.bin": 3 * MIB, "c.bin": 50})
    single = CollectionOffer(tmp_path / "single", {"b.bin": 3 * MIB})
    member = offer.layout.files[1]
    from tests.unit.transfer.transfer_fakes import FileOffer

    data = (offer.folder / "b.bin").read_bytes()
    alone = FileOffer(offer.folder / "b.bin", describe(data))
    assert alone.layout.content_hash == member.content_hash
    async with peer(alone) as (_, holder), peer(offer, upload=2 * MIB, seed=2) as (_, seed), peer(seed=3) as (mine, _o):
        layout = offer.fresh_layout()
        sink = FolderSink(layout)
        swarm = Swarm(mine, layout, sink, options=SwarmOptions(timeout=5))
        swarm.add_peer(seed)
        swarm.add_peer(holder, content=member.content_hash, base=member.first_chunk)
        result = await swarm.run()
    assert_same(offer, sink)
    assert {source.address for source in result.sources} == {str(holder), str(seed)}
    assert single.layout.chunk_count == 3


class Locks:
    """Stands for the picker."""

    def __init__(self) -> None:
        self.locked = 0

    def lock(self, chunks: int) -> None:
        self.locked |= chunks

    def unlock(self, chunks: int) -> None:
        self.locked &= ~chunks


class Claimed:
    """A layout of files that exist in numbers only."""

    def __init__(self, chunk_counts: list[int]) -> None:
        from dhtshare.content.layout import FileSlot

        self.files, first = [], 0
        for number, count in enumerate(chunk_counts):
            self.files.append(FileSlot(f"{number}", 0, bytes(32), False, first, count))
            first += count

    def slot(self, chunk: int) -> object:
        from dhtshare.content.layout import ChunkSlot

        file = next(number for number, file in enumerate(self.files) if chunk < file.first_chunk + file.chunk_count)
        return ChunkSlot(file, 0, 0, 0)

    def chunks_of_file(self, number: int) -> range:
        file = self.files[number]
        return range(file.first_chunk, file.first_chunk + file.chunk_count)

    def needs_descriptor(self, number: int) -> bool:
        return self.files[number].chunk_count > 1


def test_batches_fit_one_answer_and_no_file_is_in_two() -> None:
    long = DESCRIPTOR_RANGE_BYTES // 32 + 1
    layout = Claimed([2] * 600 + [long, 3, long])
    members = MemberDescriptors(layout, range(len(layout.files)), Locks())  # type: ignore[arg-type]
    batches = []
    while batch := members.next_batch():
        batches.append(batch)
    assert sorted(number for batch in batches for number in batch) == list(range(603))
    for batch in batches:
        sizes = [32 * layout.files[number].chunk_count for number in batch]
        assert len(batch) <= MAX_MEMBERS
        assert sum(sizes) <= MAX_PAYLOAD_BYTES
        assert len(batch) == 1 or max(sizes) <= DESCRIPTOR_RANGE_BYTES


def test_chunks_are_locked_until_their_descriptor_is_known() -> None:
    locks = Locks()
    layout = Claimed([1, 2, 3])
    members = MemberDescriptors(layout, [0, 1, 2], locks)  # type: ignore[arg-type]
    assert locks.locked == 0b111110
    assert members.needed
    assert members.next_batch() == (1, 2)
    assert members.next_batch() == ()


async def test_a_partial_collection_gives_what_it_has(tmp_path: Path) -> None:
    first = CollectionOffer(tmp_path / "a", MIXED)
    second = CollectionOffer(tmp_path / "b", MIXED)
    chunks = first.layout.chunk_count
    first.have = Bitfield(chunks, range(0, chunks, 2))
    second.have = Bitfield(chunks, range(1, chunks, 2))
    async with peer(first) as (_, one), peer(second, seed=2) as (_, two), peer(seed=3) as (fetcher, _own):
        sink, _ = await fetch(fetcher, first, one, two)
    assert_same(first, sink)
