"""The searcher's side: which entries come out, in whose name, and who is believed to be a holder."""

from __future__ import annotations

import pytest

from dhtshare.dht.messages import Body
from dhtshare.dht.records.entry import Entry
from dhtshare.dht.records.finds import FindEntries, entries_bodies
from dhtshare.dht.records.paging import CURSOR_BYTES
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.search import ENOUGH, PASSERS_BY, Found, Search
from dhtshare.dht.records.tellers import OURSELVES, teller_of
from dhtshare.network import Scope
from tests.unit.records.others import Answering, Holder, Others, silent, tell
from tests.unit.records.records_fakes import HOUR, NETWORK, entry, key, withdrawal


def put(holder: Holder, *entries: Entry) -> None:
    now, wall = holder.others.loop.time(), holder.others.wall()
    for one in entries:
        holder.store.put_entry(one, range(len(one.words)), b"net", now=now, wall=wall)


def searching(others: Others, *words: str, limit: int = 50) -> Search:
    return Search([others.holding], NETWORK, Query(words, limit=limit))


async def found(search: Search) -> list[Found]:
    return [one async for one in search.entries()]


def telling(*raws: bytes, digest: bytes = b"d" * 16) -> Answering:
    """A holder that says that these are all it has."""

    def answer(method: int, body: Body) -> list[Body]:
        FindEntries.read(body)
        return list(entries_bodies(digest, len(raws), b"", [list(raws)]))

    return answer


def test_an_entry_comes_once_from_each_who_names_it() -> None:
    async def story(others: Others) -> None:
        holders = [others.holder() for _ in range(3)]
        for holder in holders:
            put(holder, entry(1))
        put(holders[0], entry(2))
        came = await found(searching(others, "musica"))
        tellers = {str(holder.contact.address) for holder in holders}
        assert {one.told_by for one in came if one.entry == entry(1)} == tellers
        assert [one.told_by for one in came if one.entry == entry(2)] == [str(holders[0].contact.address)]
        assert len(came) == 4
        assert all(one.scope is Scope.LAN for one in came)

    tell(story)


def test_several_words_asked_of_the_same_holders_give_no_entry_twice() -> None:
    async def story(others: Others) -> None:
        holder = others.holder()
        put(holder, entry(1, words=("musica", "nova", "longest")))
        search = searching(others, "musica", "nova", "longest")
        assert len(await found(search)) == 1
        assert search.nodes_asked == search.nodes_answered == 1

    tell(story)


def test_what_does_not_match_is_past_or_forged_does_not_come() -> None:
    async def story(others: Others) -> None:
        good = entry(1)
        forged = bytes(64) + entry(2).raw[64:]
        others.loop._jumping.now += 2 * HOUR  # type: ignore[attr-defined]
        others.know(telling(good.raw, forged, entry(3, words=("other",)).raw, entry(4, ttl=HOUR).raw, b"x" * 200))
        assert [one.entry for one in await found(searching(others, "musica"))] == [good]

    tell(story)


def test_a_withdrawal_from_anybody_takes_it_out_of_all_names() -> None:
    async def story(others: Others) -> None:
        for _ in range(2):
            others.know(telling(entry(1).raw))
        gone = withdrawal(1)
        others.know(telling(gone.raw))
        search = searching(others, "musica")
        came = await found(search)
        assert len(came) <= 2
        assert search.withdrawn == {(gone.publisher, gone.content_hash)}

    tell(story)


def test_what_we_hold_ourselves_comes_first_and_needs_nobody() -> None:
    async def story(others: Others) -> None:
        others.holding.store.put_entry(entry(1), [0], b"", now=0.0, wall=others.wall())
        (one,) = await found(searching(others, "musica"))
        assert one.told_by == OURSELVES
        others.know(silent)
        put(others.holder(), entry(2))
        assert [one.entry for one in await found(searching(others, "musica"))] == [entry(1), entry(2)]

    tell(story)


@pytest.mark.parametrize("answer", [silent, lambda _method, _body: {}, lambda _method, _body: {4: 0}])
def test_nothing_is_an_answer_too(answer: Answering) -> None:
    async def story(others: Others) -> None:
        others.know(answer)
        assert await found(searching(others, "musica")) == []

    tell(story)


def test_no_teller_is_heard_beyond_enough_and_the_others_are() -> None:
    async def story(others: Others) -> None:
        junk = [entry(1000 + number, by=9) for number in range(60)]
        calls = [0]

        def endless(_method: int, body: Body) -> list[Body]:
            calls[0] += 1
            asked = FindEntries.read(body)
            page = int.from_bytes(asked.cursor[:4], "big") + 1 if asked.cursor else 1
            some = [junk[(3 * calls[0] + at) % len(junk)].raw for at in range(3)]
            return list(entries_bodies(b"d" * 16, 60, page.to_bytes(4, "big") + bytes(CURSOR_BYTES - 4), [some]))

        liar = others.know(endless)
        honest = others.holder()
        put(honest, *(entry(number) for number in range(30)))
        came = await found(searching(others, "musica", limit=10))
        told = [one for one in came if one.told_by == str(liar.address)]
        assert len(told) == ENOUGH * 10
        assert calls[0] <= 1 + ENOUGH * 10 / 3 + 1
        heard = {one.entry.content_hash for one in came if one.told_by == str(honest.contact.address)}
        assert len(heard) >= 10

    tell(story)


def test_what_was_withdrawn_keeps_nobody_from_what_is_there() -> None:
    """A holder sends withdrawals along; a machine that took back hundreds still has some."""

    async def story(others: Others) -> None:
        holder = others.holder()
        put(holder, *(entry(number) for number in range(330)))
        now, wall = others.loop.time(), others.wall()
        for number in range(300):
            holder.store.withdraw(withdrawal(number), [key("musica")], now=now, wall=wall)
        came = await found(searching(others, "musica", limit=50))
        assert len({one.entry.content_hash for one in came}) == 30

    tell(story)


def test_a_crowd_in_one_network_is_one_teller() -> None:
    async def story(others: Others) -> None:
        for number in range(6):
            others.know(telling(*(entry(100 * number + at, by=9).raw for at in range(3))), f"81.7.7.{number + 1}")
        others.know(telling(entry(1).raw), "90.1.1.1")
        came = await found(searching(others, "musica", limit=5))
        names = {one.told_by for one in came}
        assert len(names) == 2
        assert sum(one.entry == entry(1) for one in came) == 1
        assert sum(one.entry != entry(1) for one in came) <= ENOUGH * 5

    tell(story, scope=Scope.IPV4)


def test_whoever_is_far_from_a_word_is_a_passer_by_however_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(others: Others) -> None:
        monkeypatch.setattr(type(others.dht), "estimated_size", lambda _self: 1000)
        contacts = [others.know(telling(entry(number, by=2 + number % 7).raw)) for number in range(120)]
        contacts.sort(key=lambda contact: contact.distance_to(key("musica")))
        came = await found(searching(others, "musica", limit=200))
        near = {one.told_by for one in came} - {PASSERS_BY}
        assert near == {teller_of(contact.address, Scope.IPV4) for contact in contacts[: len(near)]}
        assert 0 < len(near) < 20
        assert sum(one.told_by == PASSERS_BY for one in came) == len(came) - len(near) > 50

    tell(story, scope=Scope.IPV4)


def test_a_crowded_region_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(others: Others) -> None:
        others.holder()
        others.suspicious = True
        search = searching(others, "musica")
        await found(search)
        assert search.suspicious

    tell(story)


def test_answers_set_the_record_clock() -> None:
    async def story(others: Others) -> None:
        for _ in range(3):
            others.holder()
        await found(searching(others, "musica"))
        assert others.holding.clock.agreed

    tell(story)
