"""Chunks that are the same bytes are asked for once, by whoever has any of them, and all of them get there."""

from __future__ import annotations

import asyncio
import functools
import random
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.repeats import Repeats, known_repeats
from dhtshare.transfer.runs import bits_of
from dhtshare.transfer.swarm import Swarm, SwarmOptions
from tests.unit.transfer.collection_fakes import CollectionOffer, FolderSink
from tests.unit.transfer.transfer_fakes import FileOffer, MemorySink, describe, peer

MIB = 1 << 20


@functools.cache
def hash_of(letter: str) -> bytes:
    return blake3(letter.encode() * MIB).digest()


def layout_of(letters: str) -> Layout:
    """A file whose chunk i is the i-th letter over and over."""
    hashes = b"".join(hash_of(letter) for letter in letters)
    return Layout.of(FileDescriptor(len(letters) * MIB, hashes))


def picker_of(letters: str, *, wanted: int | None = None, sequential: bool = False) -> Picker:
    layout = layout_of(letters)
    wanted = (1 << len(letters)) - 1 if wanted is None else wanted
    picker = Picker(len(letters), wanted, random.Random(1), sequential=sequential)
    picker.same(known_repeats(layout, range(len(letters))))
    return picker


def test_groups_are_chunks_of_the_same_hash() -> None:
    assert known_repeats(layout_of("abcd"), range(4)) == []
    assert known_repeats(layout_of("aabca"), range(5)) == [[0, 1, 4]]
    assert sorted(map(list, known_repeats(layout_of("abab"), range(4)))) == [[0, 2], [1, 3]]


def test_files_of_one_chunk_that_are_the_same_are_a_group(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "c", {"a": 10, "b": 20, "c": 2 * MIB, "d": 0, "e": 10}, zeros=True)
    layout = offer.fresh_layout()  # the descriptor of c is not known
    assert known_repeats(layout, range(layout.chunk_count)) == [[0, 4]]


def test_one_of_a_group_is_asked_for_and_the_others_wait() -> None:
    picker = picker_of("zzzza", sequential=True)
    picker.peer_has("p", 0, complete=True)
    assert picker.pick("p", 5) == [0]
    picker.requested("p", 0)
    assert picker.pick("p", 5) == [4]
    assert picker.missing == 1 << 4
    picker.requested("p", 4)
    assert picker.pick("p") == []
    picker.verified(0)
    assert picker.copies(0) == [1, 2, 3]
    assert picker.pick("p") == []
    assert not picker.done
    for chunk in (1, 2, 3, 4):
        picker.verified(chunk)
    assert picker.done
    assert picker.copies(0) == []


def test_a_run_ends_before_what_comes_with_it() -> None:
    picker = picker_of("abcaxyz", sequential=True)
    picker.peer_has("p", 0, complete=True)
    assert picker.pick("p", 7) == [0, 1, 2]


@pytest.mark.parametrize("how", ["refused", "lacks", "gone", "false"])
def test_when_nobody_is_asked_any_more_any_of_a_group_may_be(how: str) -> None:
    picker = picker_of("zzz")
    picker.peer_has("one", 0b001)
    picker.peer_has("two", 0b110)
    assert picker.pick("one") == [0]
    picker.requested("one", 0)
    assert picker.pick("two") == []
    match how:
        case "refused":
            picker.refused("one", 0)
        case "lacks":
            picker.lacks("one", 0)
        case "gone":
            picker.peer_gone("one")
        case _:
            picker.failed("one", 0)
    (chunk,) = picker.pick("two")
    assert chunk in (1, 2)
    picker.requested("two", chunk)
    picker.verified(chunk)
    assert picker.copies(chunk) == [other for other in range(3) if other != chunk]


def test_what_is_here_or_not_wanted_is_in_no_group() -> None:
    picker = picker_of("zzzz", wanted=0b1010)
    picker.peer_has("p", 0, complete=True)
    (chunk,) = picker.pick("p", 4)
    picker.requested("p", chunk)
    picker.verified(chunk)
    assert picker.copies(chunk) == [{1: 3, 3: 1}[chunk]]


def test_nobody_lacks_what_is_on_its_way_as_another_chunk() -> None:
    picker = picker_of("zz")
    picker.peer_has("p", 0b01)
    assert picker.availability().nobody == 0b10
    picker.requested("p", 0)
    assert picker.availability().nobody == 0


@given(st.text("abc", min_size=1, max_size=40), st.integers(0, 1 << 32))
def test_a_fetch_ends_and_asks_for_each_content_once(letters: str, seed: int) -> None:
    """Peers hold parts, fail now and then; what is verified is copied at some later time."""
    chance = random.Random(seed)
    picker = picker_of(letters)
    holdings = {name: {i for i in range(len(letters)) if chance.random() < 0.5} for name in "pqr"}
    holdings["r"] |= set(range(len(letters))) - holdings["p"] - holdings["q"]
    for name, chunks in holdings.items():
        picker.peer_has(name, bits_of(chunks))
    asked: dict[str, list[int]] = {name: [] for name in holdings}
    came: list[str] = []
    copying: list[int] = []
    for _ in range(3000):
        if picker.done:
            break
        name = chance.choice("pqr")
        action = chance.randrange(4)
        if action == 0:
            for chunk in picker.pick(name, chance.randint(1, 4)):
                assert chunk not in asked[name]
                picker.requested(name, chunk)
                asked[name].append(chunk)
        elif action == 1 and asked[name]:
            chunk = asked[name].pop()
            if chance.random() < 0.2:
                picker.refused(name, chunk)
            elif picker.is_verified(chunk):
                continue
            else:
                for other in picker.verified(chunk):
                    if other != name:
                        asked[str(other)].remove(chunk)
                came.append(letters[chunk])
                copying += picker.copies(chunk)
        elif action == 2 and copying:
            picker.verified(copying.pop(chance.randrange(len(copying))))
    assert picker.done
    assert sorted(came) == sorted(set(letters)), "each content came once"


def test_a_group_waits_until_it_is_here() -> None:
    repeats = Repeats()
    repeats.add([1, 5, 9])
    assert repeats.others(5) == [1, 9]
    assert repeats.others(2) == []
    repeats.requested(5)
    assert repeats.waiting == bits_of([1, 9])
    repeats.verified(5)
    repeats.verified(1)
    assert repeats.waiting == 1 << 9
    repeats.verified(9)
    assert repeats.waiting == 0


# Whole fetches.


async def test_an_image_of_zeros_costs_one_of_them(tmp_path: Path) -> None:
    zeros, tail = bytes(MIB), random.Random(1).randbytes(MIB)
    data = tail + zeros * 40 + tail + b"end"
    path = tmp_path / "image"
    path.write_bytes(data)
    offer = FileOffer(path, describe(data))
    async with peer(offer) as (_, seed), peer(seed=2) as (fetcher, _own):
        sink = MemorySink(offer.layout)
        events: list[dict[str, object]] = []
        swarm = Swarm(fetcher, offer.layout, sink, options=SwarmOptions(timeout=10), on_event=events.append)
        swarm.add_peer(seed)
        async with asyncio.timeout(20):
            result = await swarm.run()
            while fetcher.buffers.promised:
                await asyncio.sleep(0.01)
    assert bytes(sink.data) == data
    assert result.downloaded == 2 * MIB + 3
    assert result.copied == 40 * MIB
    assert result.discarded == 0
    assert sum(source.bytes for source in result.sources) == result.downloaded
    assert (events[-1]["event"], events[-1]["done"], events[-1]["total"]) == ("finished", len(data), len(data))


async def test_partial_seeds_that_hold_different_ones_of_a_group_are_both_of_use(tmp_path: Path) -> None:
    data = bytes(4 * MIB) + random.Random(2).randbytes(2 * MIB)
    path = tmp_path / "image"
    path.write_bytes(data)
    offers = [FileOffer(path, describe(data), Bitfield(6)) for _ in range(2)]
    for offer, chunks in zip(offers, [(0, 4), (3, 5)], strict=True):
        for chunk in chunks:
            assert offer.have is not None
            offer.have.add(chunk)
    async with peer(offers[0]) as (_, one), peer(offers[1], seed=2) as (_, two), peer(seed=3) as (fetcher, _own):
        sink = MemorySink(offers[0].layout)
        swarm = Swarm(fetcher, offers[0].layout, sink, options=SwarmOptions(timeout=10))
        swarm.add_peer(one)
        swarm.add_peer(two)
        async with asyncio.timeout(20):
            result = await swarm.run()
    assert bytes(sink.data) == data
    assert result.downloaded + result.copied == len(data)
    assert result.copied == 3 * MIB


async def test_members_of_a_collection_are_copied_once_their_descriptor_is_known(tmp_path: Path) -> None:
    offer = CollectionOffer(tmp_path / "c", {"a": 5 * MIB, "b": 1000, "c": 1000}, zeros=True)
    async with peer(offer) as (_, seed), peer(seed=2) as (fetcher, _own):  # type: ignore[arg-type]
        layout = offer.fresh_layout()
        sink = FolderSink(layout)
        swarm = Swarm(fetcher, layout, sink, options=SwarmOptions(timeout=10))
        swarm.add_peer(seed)
        async with asyncio.timeout(20):
            result = await swarm.run()
    assert [len(sink.files[number]) for number in range(3)] == [5 * MIB, 1000, 1000]
    assert not any(any(file) for file in sink.files.values())
    assert result.downloaded == MIB + 1000
    assert result.copied == 4 * MIB + 1000
