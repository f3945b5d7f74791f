"""A restart loses no record, prolongs none, and believes no damaged file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from blake3 import blake3

from dhtshare.dht.records.limits import MAX_AHEAD, PROVIDER_TTL
from dhtshare.dht.records.provider import ProviderClaim, answered
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.saved import encode_records, restore_records
from dhtshare.dht.records.signed import place_of
from dhtshare.dht.records.store import RecordStore
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope
from tests.unit.records.records_fakes import HOUR, NETWORK, WALL, entry, key, raws, store, withdrawal

KEY = b"k" * 20
NOW, LATER = 500.0, 7.0  # monotonic time starts anew with the process


def filled() -> RecordStore:
    kept = store()
    for number in range(4):
        record = entry(number, words=("one", "two", "three"), ttl=HOUR * (number + 1))
        kept.put_entry(record, [0, 2], b"net", now=NOW, wall=WALL)
    kept.withdraw(withdrawal(3, ttl=4 * HOUR), [key("one")], now=NOW, wall=WALL)
    kept.put_provider(KEY, Address("10.0.0.1", 4470), ProviderClaim(5000, b"peerpeer"), now=NOW)
    return kept


def restarted(raw: bytes, after: float, scope: Scope = Scope.LAN) -> RecordStore:
    kept = store()
    restore_records(raw, NETWORK, {scope: kept}, now=LATER, wall=WALL + after)
    return kept


def page_of(kept: RecordStore, word: str) -> list[bytes]:
    """What a searcher is answered."""
    return sorted(kept.find_entries(key(word), Query((word,)), b"", [9000], now=LATER).parts[0], key=place_of)


def test_everything_is_there_again() -> None:
    before = filled()
    after = restarted(encode_records(NETWORK, {Scope.LAN: before}, now=NOW, wall=WALL), 10.0)
    assert after.counts().entries == before.counts().entries == 3
    for word in ("one", "two", "three"):
        assert raws(after, word) == raws(before, word)
    assert [held.tag for held in after.set_of(key("one"))] == [b"net"] * 4
    assert [answered(record)[0] for record in after.find_providers(KEY, 9, now=LATER)] == ["10.0.0.1"]


def test_saving_takes_little_more_memory_than_what_is_saved() -> None:
    """A full node that saved everything at once took a hundred megabytes for it."""
    kept = store()
    for number in range(3000):
        kept.put_provider(number.to_bytes(20, "big"), Address("10.0.0.1", 4470), ProviderClaim(5000, bytes(8)), now=NOW)
    tracemalloc.start()
    try:
        raw = encode_records(NETWORK, {Scope.LAN: kept}, now=NOW, wall=WALL)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * len(raw)  # 7 where all was packed at once


def test_nothing_lives_longer_for_having_been_saved() -> None:
    raw = encode_records(NETWORK, {Scope.LAN: filled()}, now=NOW, wall=WALL)
    after = restarted(raw, 1.5 * HOUR)
    after.expire(now=LATER)
    assert len(raws(after, "one")) == 3
    assert after.providers.has(KEY, Address("10.0.0.1", 4470), LATER)
    assert after.expire(now=LATER + PROVIDER_TTL - 1.5 * HOUR + 1) >= 1
    assert not after.providers.has(KEY, Address("10.0.0.1", 4470), LATER + PROVIDER_TTL - 1.5 * HOUR + 1)
    old = restarted(raw, 5 * HOUR)
    assert page_of(old, "one") == []
    old.expire(now=LATER)
    assert old.budget.records == 0


def test_a_clock_that_is_set_while_the_node_is_down_prolongs_no_provider_record_beyond_its_life() -> None:
    raw = encode_records(NETWORK, {Scope.LAN: filled()}, now=NOW, wall=WALL)
    after = restarted(raw, -30 * 24 * HOUR)
    assert after.providers.has(KEY, Address("10.0.0.1", 4470), LATER + PROVIDER_TTL - 1)
    assert not after.providers.has(KEY, Address("10.0.0.1", 4470), LATER + PROVIDER_TTL + 1)
    assert all(held.deadline <= LATER + MAX_AHEAD for held in after.set_of(key("one")))


def test_what_seems_past_by_a_wrong_clock_comes_back_when_the_time_is_known() -> None:
    raw = encode_records(NETWORK, {Scope.LAN: filled()}, now=NOW, wall=WALL)
    after = restarted(raw, 24 * HOUR)
    assert page_of(after, "one") == []
    after.judge(now=LATER, wall=WALL + 10.0)
    assert page_of(after, "one") == raws(filled(), "one")
    after.judge(now=LATER, wall=WALL + 1.5 * HOUR)
    assert len(page_of(after, "one")) == 3


def test_damaged_bytes_and_other_networks_are_refused() -> None:
    raw = encode_records(NETWORK, {Scope.LAN: filled()}, now=NOW, wall=WALL)
    for bad in (b"", raw[:-1], raw[:40] + b"x" + raw[41:], encode_records(b"othr", {}, now=NOW, wall=WALL)):
        with pytest.raises(MalformedError):
            restarted(bad, 0.0)


@pytest.mark.parametrize("bend", [lambda raw: raw[:-1] + b"\x80", lambda raw: raw[:-1], lambda raw: raw + b"\xc0"])
def test_a_record_that_cannot_be_is_refused_when_it_comes_back(bend: Callable[[bytes], bytes]) -> None:
    """Else the store met it first when it searched or let it go, and that ended the task which does so."""
    before = filled()
    for held, _ in before.entries.records():
        held.raw = bend(held.raw)
    with pytest.raises(MalformedError):
        restarted(encode_records(NETWORK, {Scope.LAN: before}, now=NOW, wall=WALL), 0.0)


def test_an_entry_that_says_to_be_a_withdrawal_is_refused_when_it_comes_back() -> None:
    before = store()
    before.put_entry(entry(1), [0], b"net", now=NOW, wall=WALL)
    raw = bytes(encode_records(NETWORK, {Scope.LAN: before}, now=NOW, wall=WALL))
    bent = raw[32:].replace(b"\xc2", b"\xc3")
    with pytest.raises(MalformedError):
        restarted(blake3(bent).digest() + bent, 0.0)


def test_a_scope_that_was_not_saved_starts_empty() -> None:
    raw = encode_records(NETWORK, {Scope.LAN: filled()}, now=NOW, wall=WALL)
    assert restarted(raw, 0.0, Scope.IPV6).budget.records == 0
