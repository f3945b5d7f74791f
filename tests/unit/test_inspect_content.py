"""Availability as told by peers: counted right, and never by numbers that a peer made up."""

from __future__ import annotations

import random

import pytest

from dhtshare.content.bitfield import Bitfield
from dhtshare.inspect_content import _availability
from dhtshare.network import Address
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.messages import MAX_BITFIELD_CHUNKS, MAX_CHUNKS

CHUNKS = 21


def holder(*chunks: int, of: int = CHUNKS) -> PeerHas:
    have = Bitfield(of, chunks)
    return PeerHas(Address("127.0.0.1", 4470), "x", of, len(have), 100, None if len(have) == of else have)


def test_nobody() -> None:
    assert _availability([], CHUNKS) == {"full_copies": 0, "rarest": 0}


def test_seeds_and_parts() -> None:
    whole, half, other = holder(*range(CHUNKS)), holder(*range(11)), holder(*range(10, CHUNKS))
    assert _availability([whole, half], CHUNKS) == {"full_copies": 1, "rarest": 1}
    assert _availability([half, other], CHUNKS) == {"full_copies": 0, "rarest": 1}
    assert _availability([whole, half, other, whole], CHUNKS) == {"full_copies": 2, "rarest": 3}


@pytest.mark.parametrize("seed", range(5))
def test_the_rarest_is_the_least_count(seed: int) -> None:
    rng = random.Random(seed)
    holders = [holder(*rng.sample(range(CHUNKS), rng.randrange(12, CHUNKS))) for _ in range(12)]
    counts = [sum(one.have is not None and chunk in one.have for one in holders) for chunk in range(CHUNKS)]
    assert _availability(holders, CHUNKS)["rarest"] == min(counts)


def test_an_empty_content_has_no_rarest_chunk() -> None:
    assert _availability([holder(of=0)], 0) == {"full_copies": 1, "rarest": 1}


def test_a_count_that_a_peer_made_up_costs_nothing() -> None:
    """Counting up to it would take the node many minutes, and gigabytes: longer than a test may."""
    liars = [PeerHas(Address("127.0.0.1", port), "x", MAX_CHUNKS, MAX_CHUNKS, 100) for port in range(1, 41)]
    half = Bitfield.from_bytes(MAX_BITFIELD_CHUNKS, b"\x55" * (MAX_BITFIELD_CHUNKS // 8))
    liars.append(PeerHas(Address("127.0.0.1", 99), "x", MAX_BITFIELD_CHUNKS, len(half), 100, half))
    assert _availability([*liars, holder(*range(CHUNKS))], CHUNKS) == {"full_copies": 1, "rarest": 1}
