"""Availability as told by peers: counted right, and never by numbers that a peer made up."""

from __future__ import annotations

import random

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.inspect_content import _availability
from dhtshare.network import Address
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.messages import MAX_BITFIELD_CHUNKS, MAX_CHUNKS

CHUNKS = 21
LAYOUT = Layout.of(FileDescriptor(CHUNKS << 20, bytes(32 * CHUNKS)))


def holder(*chunks: int, of: int = CHUNKS) -> PeerHas:
    have = Bitfield(of, chunks)
    return PeerHas(Address("127.0.0.1", 4470), "x", of, len(have), 100, None if len(have) == of else have)


def told(holders: list[PeerHas], layout: Layout = LAYOUT) -> tuple[int, int]:
    available = _availability(holders, layout)
    return available["full_copies"], available["rarest"]


def test_nobody() -> None:
    assert _availability([], LAYOUT) == {
        "full_copies": 0,
        "rarest": 0,
        "copies": 0.0,
        "missing_everywhere": CHUNKS,
        "missing": [],
    }


def test_below_one_copy_it_names_the_bytes_that_nobody_has() -> None:
    available = _availability([holder(*range(3, 10)), holder(*range(8, CHUNKS - 1))], LAYOUT)
    assert available["missing_everywhere"] == 4
    assert available["missing"] == [{"begin": 0, "end": 3 << 20}, {"begin": (CHUNKS - 1) << 20, "end": CHUNKS << 20}]
    assert available["copies"] == round((CHUNKS - 4) / CHUNKS, 2)


def test_holes_everywhere_are_told_by_their_number() -> None:
    many = Layout.of(FileDescriptor(100 << 20, bytes(3200)))
    available = _availability([holder(*range(0, 100, 2), of=100)], many)
    assert available["missing_everywhere"] == 50
    assert len(available["missing"]) == 20


def test_seeds_and_parts() -> None:
    whole, half, other = holder(*range(CHUNKS)), holder(*range(11)), holder(*range(10, CHUNKS))
    assert told([whole, half]) == (1, 1)
    assert told([half, other]) == (0, 1)
    assert told([whole, half, other, whole]) == (2, 3)


@pytest.mark.parametrize("seed", range(5))
def test_the_rarest_is_the_least_count(seed: int) -> None:
    rng = random.Random(seed)
    holders = [holder(*rng.sample(range(CHUNKS), rng.randrange(12, CHUNKS))) for _ in range(12)]
    counts = [sum(one.have is not None and chunk in one.have for one in holders) for chunk in range(CHUNKS)]
    assert told(holders)[1] == min(counts)


def test_an_empty_content_has_no_rarest_chunk() -> None:
    assert told([holder(of=0)], Layout.of(FileDescriptor(0, b""))) == (1, 1)


def test_a_count_that_a_peer_made_up_costs_nothing() -> None:
    """Counting up to it would take the node many minutes, and gigabytes: longer than a test may."""
    liars = [PeerHas(Address("127.0.0.1", port), "x", MAX_CHUNKS, MAX_CHUNKS, 100) for port in range(1, 41)]
    half = Bitfield.from_bytes(MAX_BITFIELD_CHUNKS, b"\x55" * (MAX_BITFIELD_CHUNKS // 8))
    liars.append(PeerHas(Address("127.0.0.1", 99), "x", MAX_BITFIELD_CHUNKS, len(half), 100, half))
    assert told([*liars, holder(*range(CHUNKS))]) == (1, 1)
