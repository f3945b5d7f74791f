"""The record store against a naive model, whatever happens in whatever order; and its caps, which never give."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dhtshare.dht.records.budget import Budget
from dhtshare.dht.records.entry import Entry, Withdrawal, reread
from dhtshare.dht.records.limits import (
    ENTRY_OVERHEAD,
    ENTRY_TTL,
    KEY_OVERHEAD,
    PROVIDER_BYTES,
    PROVIDER_TTL,
    StoreLimits,
    Verdict,
)
from dhtshare.dht.records.paging import page
from dhtshare.dht.records.provider import ProviderClaim, answered, deadline_of
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.signed import place_of
from dhtshare.dht.records.store import RecordStore
from dhtshare.network import Address, Scope, network_tag
from tests.unit.records.records_fakes import NETWORK, WALL, entry, key, store, withdrawal

WORDS = ("one", "two", "three", "four")
KEYS = {key(word): word for word in WORDS}
LIVES = (50.0, 500.0, 5000.0)
TAGS = (b"", b"a", b"ab", network_tag("10.0.0.1", Scope.LAN))  # some begin like others; one provides as well


class Piece(NamedTuple):
    """One record as the naive model of fair eviction sees it: all that is held, walked anew each time."""

    tag: bytes
    since: float
    cost: int
    raw: bytes
    under: tuple[bytes, ...]


def pieces(kept: RecordStore) -> dict[Hashable, Piece]:
    """Everything in a store, by what tells records apart."""
    found: dict[Hashable, Piece] = {}
    for held, keys in kept.entries.records():
        cost = len(held.raw) + ENTRY_OVERHEAD + KEY_OVERHEAD * (len(keys) - 1)
        found[id(held)] = Piece(held.tag, held.deadline - ENTRY_TTL, cost, held.raw, tuple(keys))
    for content_key, records in kept.providers.records():
        for raw in records:
            tag = network_tag(answered(raw)[0], kept.scope)
            since = deadline_of(raw) - PROVIDER_TTL
            found[content_key, raw] = Piece(tag, since, PROVIDER_BYTES, raw, (content_key,))
    return found


class WatchedBudget(Budget):
    """Each time that a record gives way: room was needed, and it was the oldest of the network with most bytes."""

    kept: RecordStore
    asked: tuple[int, int]
    on_evicted: Callable[[Piece], None]

    def make_room(self, records: int, cost: int) -> bool:
        self.asked = records, cost
        return super().make_room(records, cost)

    def _evict_one(self) -> None:
        before = pieces(self.kept)
        records, cost = self.asked
        over = sum(piece.cost for piece in before.values()) + cost > self.limits.bytes
        assert len(before) + records > self.limits.records or over
        super()._evict_one()
        after = pieces(self.kept)
        (gone,) = (before[one] for one in before.keys() - after.keys())
        assert after == {one: before[one] for one in after}
        weights = Counter[bytes]()
        for piece in before.values():
            weights[piece.tag] += piece.cost
        assert weights[gone.tag] == max(weights.values())
        assert gone.since == min(piece.since for piece in before.values() if piece.tag == gone.tag)
        self.on_evicted(gone)


_made: dict[tuple[object, ...], Entry] = {}
_taken_back: dict[tuple[object, ...], Withdrawal] = {}


def made(number: int, by: int, sequence: int, words: tuple[str, ...], ttl: float) -> Entry:
    """Signing is the slow part; the same arguments give the same record."""
    arguments = number, by, sequence, words, ttl
    if arguments not in _made:
        _made[arguments] = entry(number, by=by, sequence=sequence, words=words, ttl=ttl)
    return _made[arguments]


def taken_back(number: int, by: int, sequence: int) -> Withdrawal:
    arguments = number, by, sequence
    if arguments not in _taken_back:
        _taken_back[arguments] = withdrawal(number, by=by, sequence=sequence, ttl=5000.0)
    return _taken_back[arguments]


word_sets = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True).map(tuple)
numbers = st.integers(0, 3)
publishers = st.integers(1, 2)
sequences = st.integers(0, 4)


class StoreMachine(RuleBasedStateMachine):
    """The model: word → place → latest signed record; content key → address → deadline; and who gives way."""

    @initialize(records=st.sampled_from((3, 8, 1000)), size=st.sampled_from((2500, 5000, 1 << 20)))
    def start(self, records: int, size: int) -> None:
        budget = WatchedBudget(StoreLimits(records=records, bytes=size))
        self.store = budget.kept = RecordStore(NETWORK, Scope.LAN, random.Random(1), budget)
        budget.on_evicted = self.forget
        self.now = 0.0
        self.sets: dict[str, dict[bytes, Entry | Withdrawal]] = {word: {} for word in WORDS}
        self.providers: dict[int, dict[Address, float]] = {}

    def forget(self, gone: Piece) -> None:
        for where in gone.under:
            if where in KEYS:
                del self.sets[KEYS[where]][place_of(gone.raw)]
            else:
                host, _ = answered(gone.raw)
                del self.providers[where[0]][Address(host, int.from_bytes(gone.raw[16:18], "big"))]

    def seniority(self, record: Entry | Withdrawal) -> tuple[int, bool]:
        return record.sequence, isinstance(record, Withdrawal)

    @rule(
        number=numbers,
        by=publishers,
        sequence=sequences,
        words=word_sets,
        ttl=st.sampled_from(LIVES),
        under=st.sets(st.integers(0, 3), min_size=1),
        tag=st.sampled_from(TAGS),
    )
    def put(
        self, number: int, by: int, sequence: int, words: tuple[str, ...], ttl: float, under: set[int], tag: bytes
    ) -> None:
        record = made(number, by, sequence, words, ttl)
        listed = [one for one in sorted(under) if one < len(words)]
        verdicts = self.store.put_entry(record, listed, tag, now=self.now, wall=WALL + self.now)
        if record.expires <= WALL + self.now:
            assert set(verdicts) <= {Verdict.EXPIRED}
            return
        place = place_of(record.raw)
        before = {word: self.sets[word][place] for word in words if place in self.sets[word]}
        newest = max(before.values(), key=self.seniority, default=None)
        if newest is not None and newest.raw != record.raw and self.seniority(newest) >= self.seniority(record):
            assert set(verdicts) <= {Verdict.STALE}
            return
        assert set(verdicts) <= {Verdict.STORED}
        for word, old in before.items():
            self.sets[word][place] = record
            if isinstance(old, Entry) and old.raw != record.raw:
                for dropped in set(old.words) - set(words):
                    if self.sets[dropped].get(place) == old:
                        del self.sets[dropped][place]
        for one in listed:
            self.sets[words[one]][place] = record

    @rule(number=numbers, by=publishers, sequence=sequences, word=st.sampled_from(WORDS))
    def withdraw(self, number: int, by: int, sequence: int, word: str) -> None:
        record = taken_back(number, by, sequence)
        (verdict,) = self.store.withdraw(record, [key(word)], now=self.now, wall=WALL + self.now)
        old = self.sets[word].get(place_of(record.raw))
        if record.expires <= WALL + self.now:
            assert verdict is Verdict.EXPIRED
        elif old is None:
            assert verdict is Verdict.UNKNOWN
        elif old.raw == record.raw:
            assert verdict is Verdict.STORED
        elif self.seniority(old) >= self.seniority(record):
            assert verdict is Verdict.STALE
        else:
            assert verdict is Verdict.STORED
            for listed in old.words if isinstance(old, Entry) else [word]:
                if self.sets[listed].get(place_of(record.raw)) == old:
                    self.sets[listed][place_of(record.raw)] = record

    @rule(number=numbers, host=st.integers(1, 3), port=st.integers(1, 2))
    def provide(self, number: int, host: int, port: int) -> None:
        sender = Address(f"10.0.0.{host}", port)
        content_key = bytes([number]) * 20
        claim = ProviderClaim(5000, b"peerpeer")
        assert self.store.put_provider(content_key, sender, claim, now=self.now) is Verdict.STORED
        self.providers.setdefault(number, {})[sender] = self.now + PROVIDER_TTL

    @rule(host=st.integers(1, 3), port=st.integers(1, 2))
    def gone(self, host: int, port: int) -> None:
        sender = Address(f"10.0.0.{host}", port)
        assert self.store.providers.gone(sender, None) == sum(
            held.pop(sender, None) is not None for held in self.providers.values()
        )

    @rule(seconds=st.sampled_from((1.0, 60.0, 600.0, 11_000.0)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.store.expire(now=self.now)
        for held in self.sets.values():
            for place in [place for place, record in held.items() if record.expires <= WALL + self.now]:
                del held[place]
        for addresses in self.providers.values():
            for sender in [sender for sender, deadline in addresses.items() if deadline <= self.now]:
                del addresses[sender]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        for word, held in self.sets.items():
            members = self.store.set_of(key(word))
            assert [one.raw for one in members] == [held[place].raw for place in sorted(held)]
        for number, addresses in self.providers.items():
            for sender in addresses:
                assert self.store.providers.has(bytes([number]) * 20, sender, self.now)
        assert self.store.providers.size == sum(len(addresses) for addresses in self.providers.values())

    @invariant()
    def charges_exactly_what_it_holds_and_keeps_the_caps(self) -> None:
        assert_charged(self.store)


def assert_charged(kept: RecordStore) -> None:
    pool, budget = pieces(kept).values(), kept.budget
    assert budget.records == len(pool) <= budget.limits.records
    assert budget.bytes == sum(piece.cost for piece in pool) <= budget.limits.bytes
    assert kept.entries.size + kept.providers.size == len(pool)


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase


@given(
    st.lists(st.tuples(numbers, publishers, sequences, word_sets, st.sampled_from((b"a", b"b", b"c"))), max_size=60),
    st.integers(1, 8),
    st.integers(1, 5),
)
def test_the_caps_never_give(
    puts: list[tuple[int, int, int, tuple[str, ...], bytes]], records: int, per_key: int
) -> None:
    limits = StoreLimits(records=records, bytes=4000, entries_per_key=per_key, of_publisher_per_key=2)
    kept = store(limits=limits)
    for number, by, sequence, words, tag in puts:
        record = made(number, by, sequence, words, 5000.0)
        verdicts = kept.put_entry(record, range(len(words)), tag, now=0.0, wall=WALL)
        for word, verdict in zip(words, verdicts, strict=True):
            listed = record.raw in [held.raw for held in kept.set_of(key(word))]
            assert listed == (verdict is Verdict.STORED)
        assert_charged(kept)
        for word in WORDS:
            members = kept.set_of(key(word))
            assert len(members) <= per_key
            assert all(word in cast(Entry, reread(held.raw)).words for held in members)
            places = [place_of(held.raw) for held in members]
            assert places == sorted(set(places))


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=1)), max_size=40), st.integers(250, 2000))
def test_paging_reaches_everything_once_in_fair_order(puts: list[tuple[int, bytes]], room: int) -> None:
    kept = store(Scope.IPV4)
    for number, tag in puts:
        kept.put_entry(made(number, 1, 0, ("one",), 5000.0), [0], tag, now=0.0, wall=WALL)
    members = kept.set_of(key("one"))
    tags = {held.raw: held.tag for held in members}
    cursor, found = b"", list[bytes]()
    rng = random.Random(room)
    while True:
        answer = page(members, Query(("one",)), cursor, [room] * rng.randint(1, 3), 0.0)
        found += [raw for part in answer.parts for raw in part]
        cursor = answer.cursor
        if not cursor:
            break
    assert sorted(found) == sorted(tags)
    order = [tags[raw] for raw in found]
    for number in range(len(order)):
        seen = [order[:number].count(tag) for tag in set(order[number:])]
        assert not seen or order[:number].count(order[number]) <= min(seen) + 0
