"""What one holder is sent, in how many datagrams, how often, and what its words come to."""

from __future__ import annotations

from typing import Any

import pytest

from dhtshare.dht.messages import Body, Code, Failure, NoAnswer
from dhtshare.dht.records.deliveries import (
    AT_ONCE,
    LONGEST_BUSY_WAIT,
    TRIES,
    Deliveries,
    Promise,
    ask,
    deliver,
    read_back,
)
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.limits import ENTRY_TARGET, PROVIDER_TARGET, Verdict
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.receipts import ReceiptTally
from dhtshare.dht.records.stores import MAX_KEYS, Check, StoreEntries, StoreProviders, verdicts_body
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, pack
from tests.unit.records.others import Others, silent, tell
from tests.unit.records.records_fakes import entry, key

CLAIM = ProviderClaim(5000, b"peerpeer")
HEAD = 100  # what stands around a body in a datagram, at most


def entries_of(tally: ReceiptTally, *entries: Entry) -> Deliveries:
    made = Deliveries()
    for one in entries:
        for number, word in enumerate(one.words):
            made.add_entry(one, number, Promise(tally, tally.add(key(word), ENTRY_TARGET, word)))
    return made


def providers_of(tally: ReceiptTally, count: int) -> Deliveries:
    made = Deliveries()
    for number in range(count):
        made.add_provider(CLAIM, Promise(tally, tally.add(number.to_bytes(20, "big"), PROVIDER_TARGET)))
    return made


def test_what_is_stored_is_an_ack_and_what_is_refused_is_none() -> None:
    verdicts = (Verdict.STORED, Verdict.FULL, Verdict.STALE, Verdict.EXPIRED, Verdict.FORGED)

    async def story(others: Others) -> None:
        contact = others.know(lambda _method, _body: verdicts_body(verdicts))
        tally = ReceiptTally()
        await deliver(others.holding, contact, entries_of(tally, entry(words=("a1", "b1", "c1", "d1", "e1"))))
        assert [one.acks for one in tally.keys] == [1, 0, 0, 0, 0]
        assert [one.full for one in tally.keys] == [0, 1, 0, 0, 0]
        assert tally.holders == {contact.address}

    tell(story)


@pytest.mark.parametrize("answer", [{}, {2: b"\0"}, {2: b"\0\0\0"}, {2: "no"}, {2: b"\0\0", 4: 1}, {2: b"\xfe\x09"}])
def test_an_answer_that_is_none_is_no_ack(answer: Body) -> None:
    async def story(others: Others) -> None:
        contact = others.know(lambda _method, _body: answer)
        tally = ReceiptTally()
        await deliver(others.holding, contact, entries_of(tally, entry(words=("a1", "b1"))))
        assert sum(one.acks + one.full for one in tally.keys) == 0
        assert not tally.holders

    tell(story)


def test_many_records_fit_their_datagrams_and_each_word_goes_out_once() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        tally = ReceiptTally()
        long = [entry(number, words=tuple(f"word{number}x{at}" for at in range(20))) for number in range(40)]
        deliveries = entries_of(tally, *long)
        for number in range(2 * MAX_KEYS + 1):
            deliveries.add_provider(CLAIM, Promise(tally, tally.add(number.to_bytes(20, "big"), PROVIDER_TARGET)))
        assert await deliver(others.holding, holder.contact, deliveries)
        assert all(one.acks == 1 for one in tally.keys)
        assert len(others.calls(RecordMethod.STORE_PROVIDERS)) == 3
        assert all(len(pack(body)) + HEAD <= MAX_DATAGRAM_BYTES for _, _, _, body in others.asked)
        sent = [item for _, body in others.calls(RecordMethod.STORE_ENTRIES) for item in StoreEntries.read(body).items]
        assert [(raw, bytes(range(20))) for raw in (one.raw for one in long)] == sent
        assert others.most_under_way <= AT_ONCE

    tell(story)


def test_small_entries_share_a_datagram() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        await deliver(others.holding, holder.contact, entries_of(ReceiptTally(), *(entry(n) for n in range(12))))
        assert len(others.calls(RecordMethod.STORE_ENTRIES)) <= 4

    tell(story)


def test_a_dead_holder_is_asked_for_the_first_thing_alone() -> None:
    async def story(others: Others) -> None:
        contact = others.know(silent)
        tally = ReceiptTally()
        await deliver(others.holding, contact, providers_of(tally, 20 * MAX_KEYS))
        assert len(others.asked) <= AT_ONCE * TRIES
        assert sum(one.acks for one in tally.keys) == 0

    tell(story)


def test_nothing_to_deliver_asks_nothing() -> None:
    async def story(others: Others) -> None:
        contact = others.know(silent)
        assert not await deliver(others.holding, contact, Deliveries())
        await read_back(others.holding, contact, Deliveries())
        assert others.asked == []

    tell(story)


def test_one_lost_answer_costs_one_more_question() -> None:
    async def story(others: Others) -> None:
        lost = iter([True, False])

        def answer(_method: int, _body: Body) -> Body:
            if next(lost):
                raise NoAnswer("lost")
            return {2: b"\0"}

        contact = others.know(answer)
        assert await ask(others.holding, contact, RecordMethod.GONE, {}) is not None
        assert len(others.asked) == 2

    tell(story)


@pytest.mark.parametrize(("told", "waited"), [(7, 7.0), (10_000, LONGEST_BUSY_WAIT), (0, 0.0)])
def test_a_busy_holder_is_asked_again_when_it_said_but_not_for_ever(told: int, waited: float) -> None:
    async def story(others: Others) -> None:
        contact = others.know(lambda _method, _body: Failure(Code.BUSY, told))
        assert await ask(others.holding, contact, RecordMethod.GONE, {}) is None
        times = [at for at, _, _, _ in others.asked]
        assert len(times) == TRIES
        assert times[1] - times[0] == pytest.approx(waited, abs=0.1)

    tell(story)


@pytest.mark.parametrize("code", [Code.UNSUPPORTED, Code.MALFORMED, Code.REFUSED, Code.FULL, 99])
def test_a_plain_no_is_taken_for_an_answer(code: Any) -> None:
    async def story(others: Others) -> None:
        contact = others.know(lambda _method, _body: Failure(code))
        assert await ask(others.holding, contact, RecordMethod.GONE, {}) is None
        assert len(others.asked) == 1

    tell(story)


def test_every_answer_tells_the_time() -> None:
    async def story(others: Others) -> None:
        for _ in range(3):
            await ask(others.holding, others.know(lambda _method, _body: {}), RecordMethod.GONE, {})
        assert others.holding.clock.agreed

    tell(story)


def test_what_a_holder_shows_is_found_again_and_nothing_else() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        kept, missing = entry(1, words=("a1", "b1")), entry(2, words=("c1",))
        now, wall = others.loop.time(), others.wall()
        holder.store.put_entry(kept, [1], b"net", now=now, wall=wall)
        tally = ReceiptTally()
        deliveries = entries_of(tally, kept, missing)
        for number in range(MAX_KEYS + 1):
            deliveries.add_provider(CLAIM, Promise(tally, tally.add(number.to_bytes(20, "big"), PROVIDER_TARGET)))
        tally.keys[1].acks = 2  # the first word found less room
        await read_back(others.holding, holder.contact, deliveries)
        assert [one.word for one in tally.keys if one.verified] == ["b1"]
        holder.store.put_entry(kept, [0], b"net", now=now, wall=wall)
        await read_back(others.holding, holder.contact, deliveries)
        assert [one.word for one in tally.keys if one.verified] == ["a1", "b1"]
        assert all(len(pack(body)) + HEAD <= MAX_DATAGRAM_BYTES for _, _, _, body in others.asked)
        for _, body in others.calls(RecordMethod.CHECK):
            Check.read(body)

    tell(story)


def test_one_key_goes_to_a_holder_once_for_each_claim() -> None:
    """Partial and whole differ in a flag, so they travel apart."""

    async def story(others: Others) -> None:
        holder = others.holder()
        deliveries, tally = providers_of(ReceiptTally(), 3), ReceiptTally()
        partial = ProviderClaim(5000, b"peerpeer", partial=True)
        deliveries.add_provider(partial, Promise(tally, tally.add(b"p" * 20, PROVIDER_TARGET)))
        await deliver(others.holding, holder.contact, deliveries)
        sent = [StoreProviders.read(body) for _, body in others.calls(RecordMethod.STORE_PROVIDERS)]
        assert sorted((one.claim.partial, len(one.keys)) for one in sent) == [(False, 3), (True, 1)]

    tell(story)
