"""Of whom a node fetches what it should hold, what it believes of that, and when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import count

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body
from dhtshare.dht.records.copies import PAIR_BYTES, Pull, Survey, pulled_bodies
from dhtshare.dht.records.entry import Entry, Withdrawal
from dhtshare.dht.records.limits import ENTRY_TARGET
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.puller import (
    FARTHEST,
    JITTER_SECONDS,
    MAX_PULLS_WITHOUT_NEWS,
    MAX_SURVEYS,
    NEAREST,
    SETTLE_SECONDS,
    Puller,
)
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, pack
from tests.unit.records.others import Answering, Holder, Others, silent, tell
from tests.unit.records.records_fakes import HOUR, NETWORK, entry, key, raws, withdrawal


def puller(others: Others) -> Puller:
    return Puller(others.holding, NETWORK)


def put(holder: Holder, *entries: Entry) -> None:
    for one in entries:
        holder.store.put_entry(
            one, range(len(one.words)), b"net", now=holder.others.loop.time(), wall=holder.others.wall()
        )


def held(others: Others, word: str = "musica") -> set[bytes]:
    return set(raws(others.holding.store, word))


def test_what_a_neighbour_has_is_fetched_under_all_its_words_with_expiry_and_network() -> None:
    async def story(others: Others) -> None:
        made = entry(1, words=("musica", "nova"), ttl=5 * HOUR)
        put(others.holder(), made)
        assert await puller(others).pull() == 1
        (one,) = others.holding.store.set_of(key("musica"))
        (same,) = others.holding.store.set_of(key("nova"))
        assert one is same
        assert one.tag == b"net"
        assert one.deadline == pytest.approx(5 * HOUR, abs=2)

    tell(story)


def test_equal_sets_cost_one_question_and_no_record() -> None:
    async def story(others: Others) -> None:
        made = [entry(number) for number in range(20)]
        put(others.holder(), *made)
        mine = puller(others)
        assert await mine.pull() == 20
        before = len(others.asked)
        assert await mine.pull() == 0
        assert [method for _, _, method, _ in others.asked[before:]] == [RecordMethod.SURVEY]

    tell(story)


def test_what_each_of_several_lacks_comes_from_the_others() -> None:
    async def story(others: Others) -> None:
        for first in (0, 5, 10):
            put(others.holder(), *(entry(number) for number in range(first, first + 7)))
        assert await puller(others).pull() == 17
        assert len(held(others)) == 17

    tell(story)


@pytest.mark.parametrize("have", [range(0), range(0, 300, 2), range(200, 300), range(0, 300, 299)])
def test_a_large_set_is_fetched_whole_whatever_part_of_it_is_here(have: range) -> None:
    """A request marks 90 records; the range that it asks for holds more than that by the time it is answered."""

    async def story(others: Others) -> None:
        holder = others.holder()
        put(holder, *(entry(number) for number in range(300)))
        for number in have:
            others.holding.store.put_entry(entry(number), [0], b"net", now=0.0, wall=others.wall())
        assert await puller(others).pull() == 300 - len(have)
        assert held(others) == set(raws(holder.store, "musica"))

    tell(story)


def test_no_request_asks_for_more_than_a_holder_takes() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        words = [f"word{number}" for number in range(100)]
        for number, word in enumerate(words):
            put(holder, entry(number, words=(word,)))
        assert await puller(others).pull() == 100
        for _, body in others.calls(RecordMethod.PULL):
            assert len(pack(body)) + 100 <= MAX_DATAGRAM_BYTES
            Pull.read(body)

    tell(story)


def test_a_withdrawal_is_fetched_though_the_entry_never_was_here() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        put(holder, entry(1))
        gone: Withdrawal = withdrawal(1)
        holder.store.withdraw(gone, [key("musica")], now=0.0, wall=others.wall())
        assert await puller(others).pull() == 1
        assert held(others) == {gone.raw}

    tell(story)


def test_keys_that_others_are_closer_to_are_left_to_them() -> None:
    async def story(others: Others) -> None:
        many = [others.holder() for _ in range(60)]
        words = [f"word{number}" for number in range(30)]
        for holder in many:
            put(holder, *(entry(number, words=(word,)) for number, word in enumerate(words)))
        await puller(others).pull()
        own = others.dht.node_id
        for word in words:
            nearest = others.dht.table.nearest(key(word), ENTRY_TARGET)
            ours = Contact(own, nearest[0].address).distance_to(key(word)) < nearest[-1].distance_to(key(word))
            assert bool(held(others, word)) == ours, word
        assert 0 < others.holding.store.counts().entries < len(words)

    tell(story, seed=3)


def test_no_more_neighbours_are_asked_than_needed_the_nearest_first() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder().contact for _ in range(40)]
        await puller(others).pull()
        asked = list(dict.fromkeys(contact for _, contact, _, _ in others.asked))
        assert len(asked) == NEAREST + FARTHEST
        own = others.dht.node_id
        inside = sorted((c for c in others.dht.table if c in set(asked)), key=lambda c: c.distance_to(own))
        known = sorted((c for c in holders if c in others.dht.table), key=lambda c: c.distance_to(own))
        assert inside[:NEAREST] == known[:NEAREST]

    tell(story)


def test_the_dead_are_replaced_by_the_next() -> None:
    async def story(others: Others) -> None:
        for _ in range(12):
            others.know(silent)
        put(others.holder(), entry(1))
        assert await puller(others).pull() == 1

    tell(story)


def liar(records: Iterable[bytes], word: str = "musica") -> Answering:
    """Says that it has a set like nobody else's, and gives these one by one for ever."""
    numbers = count()
    items = list(records)

    def answer(method: int, body: Body) -> Body | list[Body]:
        if method == RecordMethod.SURVEY:
            asked = Survey.read(body)
            return {2: key(word) + next(numbers).to_bytes(8, "big")} if key(word) in asked.region else {}
        Pull.read(body)
        raw = items[next(numbers) % len(items)]
        return pulled_bodies([[(0, raw, b"net")]], more=True)

    return answer


def test_forged_foreign_and_past_records_are_not_kept_and_not_asked_for_for_ever() -> None:
    async def story(others: Others) -> None:
        good = entry(1)
        forged = bytes(64) + good.raw[64:]
        elsewhere = entry(2, words=("other",))
        await asyncio.sleep(2 * HOUR)
        past = entry(3, ttl=HOUR)
        others.know(liar([forged, elsewhere.raw, past.raw, b"x" * 200]))
        assert await puller(others).pull() == 0
        assert held(others) == set()
        assert len(others.calls(RecordMethod.PULL)) == MAX_PULLS_WITHOUT_NEWS

    tell(story)


def test_one_record_again_and_again_is_no_news() -> None:
    async def story(others: Others) -> None:
        others.know(liar([entry(1).raw]))
        assert await puller(others).pull() == 1
        assert len(others.calls(RecordMethod.PULL)) == 1 + MAX_PULLS_WITHOUT_NEWS

    tell(story)


@pytest.mark.parametrize(
    "body",
    [{2: b"torn"}, {2: [1]}, {9: 1, 8: 2}, {6: 1}, {2: b"k" * PAIR_BYTES}],
    ids=["torn", "a list", "a newer even key", "too many, for ever", "a key of another region"],
)
def test_surveys_that_lead_nowhere_end(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.dht.records.puller.MAX_SURVEYS", 50)

    async def story(others: Others) -> None:
        others.know(lambda _method, _body: body)
        assert await puller(others).pull() == 0
        assert len(others.calls(RecordMethod.SURVEY)) <= 50 < MAX_SURVEYS
        assert len(others.calls(RecordMethod.PULL)) <= MAX_PULLS_WITHOUT_NEWS

    tell(story)


def test_a_neighbour_that_dies_in_the_middle_costs_the_rest_of_it_only() -> None:
    async def story(others: Others) -> None:
        first, second = others.holder(), others.holder()
        put(first, *(entry(number) for number in range(100)))
        put(second, *(entry(number) for number in range(60, 130)))
        whole, pulls = first.answer, count()

        def dies(method: int, body: Body) -> Body:
            if method == RecordMethod.PULL and next(pulls):
                return silent(method, body)
            answered: Body = whole(method, body)
            return answered

        others.answers[first.contact] = dies
        await puller(others).pull()
        assert len(held(others)) >= 70

    tell(story)


def test_it_pulls_when_it_joined_and_after_each_refresh_and_a_client_never() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        put(holder, entry(1))
        mine = puller(others)
        task = asyncio.create_task(mine.run())
        await asyncio.sleep(100)
        assert others.asked == []  # nothing happened yet
        for callback in others.dht.on_joined:
            callback()
        await asyncio.sleep(SETTLE_SECONDS + JITTER_SECONDS + 5)
        assert mine.pulled == 1
        put(holder, entry(2))
        others.dht.become(client=True)
        for callback in others.dht.on_refresh:
            callback()
        await asyncio.sleep(100)
        assert mine.pulled == 1
        others.dht.become(client=False)
        for callback in others.dht.on_moved:
            callback()
        await asyncio.sleep(100)
        assert mine.pulled == 2
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    tell(story)
