"""Which holders are read on, how far, and whose word is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, NoAnswer, Reply
from dhtshare.dht.records.finds import FindEntries, FoundEntries, entries_bodies
from dhtshare.dht.records.pager import BELIEVED_AFTER, MAX_HOLDERS, PAGED_AT_ONCE, TRIES, Pager, Start
from dhtshare.dht.records.paging import CURSOR_BYTES
from dhtshare.dht.records.query import Query
from tests.unit.records.others import Answering, Holder, Others, silent, tell
from tests.unit.records.records_fakes import entry, key

QUERY = Query(("musica",), limit=500)
DIGEST = b"d" * 16
ENTRIES = [entry(number) for number in range(300)]


class Reading:
    """A pager of one key, and what it took of whom."""

    def __init__(self, others: Others, query: Query = QUERY, enough: int = 1000) -> None:
        self.others = others
        self.query = query
        self.taken: dict[Contact, list[bytes]] = {}
        self.enough = enough
        self.pager = Pager(others.holding, key("musica"), query, self._take, enough)

    def _take(self, contact: Contact, raws: Sequence[bytes]) -> bool:
        self.taken.setdefault(contact, []).extend(raws)
        return len(set(self.taken[contact])) >= self.enough

    async def read(self, *contacts: Contact) -> None:
        """As a search does: everybody's first answer, then on."""
        starts = []
        for contact in contacts:
            body = FindEntries(key("musica"), self.query, parts=2).body()
            reply = self.others._reply(contact, 18, body)
            answer = FoundEntries.read(reply.parts)
            self._take(contact, answer.raws)
            starts.append(Start.of(contact, answer, reply))
        await self.pager.read(starts)

    @property
    def raws(self) -> set[bytes]:
        return {raw for raws in self.taken.values() for raw in raws}

    @property
    def asked(self) -> int:
        return len(self.others.asked)


def cursor(number: int) -> bytes:
    return number.to_bytes(CURSOR_BYTES, "big")


def filled(others: Others, count: int) -> Holder:
    holder = others.holder()
    for one in ENTRIES[:count]:
        holder.store.put_entry(one, [0], b"net", now=0.0, wall=others.wall())
    return holder


def paged(pages: Callable[[int], list[bytes]], last: int, digest: bytes = DIGEST) -> Answering:
    """A holder of so many pages that claims this digest; page 0 is its first answer."""

    def answer(_method: int, body: Body) -> list[Body]:
        number = int.from_bytes(FindEntries.read(body).cursor, "big")
        onward = cursor(number + 1) if number < last else b""
        return list(entries_bodies(digest, 99, onward, [pages(number)]))

    return answer


def own(number: int) -> list[bytes]:
    return [ENTRIES[number].raw]


def test_a_set_that_adds_up_to_its_digest_is_read_of_one_holder() -> None:
    async def story(others: Others) -> None:
        holders = [filled(others, 300) for _ in range(6)]
        reading = Reading(others)
        await reading.read(*(holder.contact for holder in holders))
        assert reading.raws == {one.raw for one in ENTRIES}
        one_reading = -(-300 // 48) + 1
        assert reading.asked <= PAGED_AT_ONCE * one_reading  # the three that began side by side

    tell(story)


def test_who_has_other_entries_is_read_too() -> None:
    async def story(others: Others) -> None:
        full, less = filled(others, 200), filled(others, 10)
        more = others.holder()
        for one in ENTRIES[190:]:
            more.store.put_entry(one, [0], b"net", now=0.0, wall=others.wall())
        reading = Reading(others)
        await reading.read(full.contact, less.contact, more.contact)
        assert reading.raws == {one.raw for one in ENTRIES}

    tell(story)


def test_nothing_is_asked_where_first_answers_were_all() -> None:
    async def story(others: Others) -> None:
        reading = Reading(others)
        await reading.read(filled(others, 3).contact, filled(others, 2).contact)
        assert reading.asked == 0

    tell(story)


def test_filters_hide_what_a_digest_is_of_so_three_that_show_the_same_are_believed() -> None:
    async def story(others: Others) -> None:
        contacts = [others.know(paged(own, 2)) for _ in range(12)]
        reading = Reading(others)
        await reading.read(*contacts)
        assert sum(len(raws) == 3 for raws in reading.taken.values()) <= BELIEVED_AFTER + PAGED_AT_ONCE - 1

    tell(story)


def test_liars_who_claim_the_others_digest_settle_nothing() -> None:
    """They say that it is all, show less, and are the closest."""

    async def story(others: Others) -> None:
        liars = [others.know(paged(lambda number: own(number + 100), 1)) for _ in range(BELIEVED_AFTER - 1)]
        honest = others.know(paged(own, 4))
        reading = Reading(others)
        await reading.read(*liars, honest)
        assert {ENTRIES[number].raw for number in range(5)} <= reading.raws

    tell(story)


def test_no_holder_is_read_further_than_enough() -> None:
    async def story(others: Others) -> None:
        endless = others.know(paged(own, 10_000))
        honest = others.know(paged(lambda number: own(100 + number), 20, b"e" * 16))
        reading = Reading(others, enough=30)
        await reading.read(endless, honest)
        assert len(reading.taken[endless]) == 30
        assert len(reading.taken[honest]) == 21

    tell(story)


def test_holders_whose_pages_end_elsewhere_show_the_same() -> None:
    """How much fits into a datagram differs with the contacts that go along."""

    async def story(others: Others) -> None:
        def of(size: int) -> Answering:
            return paged(lambda number: [one.raw for one in ENTRIES[size * number : size * (number + 1)]], 20)

        contacts = [others.know(of(size)) for size in (3, 4, 5, 3, 4, 5, 3, 4, 5, 3)]
        reading = Reading(others, enough=12)
        await reading.read(*contacts)
        assert sum(len(raws) >= 12 for raws in reading.taken.values()) <= BELIEVED_AFTER + PAGED_AT_ONCE

    tell(story)


def test_a_holder_that_has_told_nothing_of_use_is_left_some_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dhtshare.dht.records.pager.USELESS", 20)

    async def story(others: Others) -> None:
        useless = others.know(paged(lambda number: own(number % 7), 10_000))
        honest = others.know(paged(lambda number: own(100 + number), 20, b"e" * 16))
        reading = Reading(others, enough=30)
        await reading.read(useless, honest)
        assert len(reading.taken[useless]) == 50
        assert len(reading.taken[honest]) == 21

    tell(story)


def test_three_that_begin_alike_are_enough_of_a_set_that_is_larger_than_wanted() -> None:
    async def story(others: Others) -> None:
        contacts = [others.know(paged(own, 200)) for _ in range(9)]
        other = others.know(paged(lambda number: own(299 - number), 200))  # the same digest, other records
        reading = Reading(others, enough=10)
        await reading.read(other, *contacts)
        read_on = [contact for contact in (other, *contacts) if len(reading.taken[contact]) == 10]
        assert other in read_on
        assert BELIEVED_AFTER + 1 <= len(read_on) <= BELIEVED_AFTER + PAGED_AT_ONCE

    tell(story)


@pytest.mark.parametrize(
    "answering",
    [
        silent,
        lambda _method, _body: {2: b"too short"},
        lambda _method, body: list(entries_bodies(DIGEST, 9, FindEntries.read(body).cursor, [[]])),
        lambda _method, _body: list(entries_bodies(DIGEST, 9, cursor(1), [[]])),
    ],
    ids=["dead", "nonsense", "turns on the spot", "goes back"],
)
def test_a_holder_that_leads_nowhere_is_left_and_the_others_are_read(answering: Answering) -> None:
    async def story(others: Others) -> None:
        bad, good = others.know(answering), others.know(paged(own, 3))
        reading = Reading(others)
        starts = [Start(bad, DIGEST, cursor(1), ()), Start(good, DIGEST, cursor(1), ())]
        await reading.pager.read(starts)
        assert len(reading.taken[good]) == 3
        assert sum(contact == bad for _, contact, _, _ in others.asked) <= 2

    tell(story)


def test_a_page_that_lost_datagrams_is_asked_for_again_but_not_for_ever() -> None:
    for torn, asked in ((1, 2 + 1), (TRIES - 1, TRIES + 1), (99, TRIES)):

        async def story(others: Others, torn: int = torn, asked: int = asked) -> None:
            left = [torn]
            whole = paged(own, 2)

            def answer(method: int, body: Body) -> Reply:
                left[0] -= 1
                parts = whole(method, body)
                assert isinstance(parts, list)
                return Reply(contact.node_id, contact.address, tuple(parts), (), None, 0, 0.0, left[0] < 0)

            contact = others.know(answer)
            reading = Reading(others)
            await reading.pager.read([Start(contact, DIGEST, cursor(1), ())])
            assert len(others.asked) == asked
            assert len(reading.raws) == (2 if torn < TRIES else 1)

        tell(story)


def test_a_first_answer_that_lost_datagrams_is_read_from_the_beginning() -> None:
    async def story(others: Others) -> None:
        contact = others.know(paged(own, 2))
        answer = FoundEntries(DIGEST, 9, b"", (ENTRIES[0].raw,))
        torn = Reply(contact.node_id, contact.address, (), (), None, 0, 0.0, False)
        start = Start.of(contact, answer, torn)
        assert (start.cursor, start.raws) == (bytes(CURSOR_BYTES), ())
        reading = Reading(others)
        await reading.pager.read([start])
        assert reading.raws == {ENTRIES[number].raw for number in range(3)}

    tell(story)


def test_a_crowd_that_claims_to_hold_something_is_not_read_to_its_last() -> None:
    async def story(others: Others) -> None:
        crowd = [
            others.know(paged(lambda number, at=at: own((at + number) % 300), 1, bytes([at]) * 16)) for at in range(50)
        ]
        reading = Reading(others)
        await reading.read(*crowd)
        assert len({contact for _, contact, _, _ in others.asked}) == MAX_HOLDERS
        assert others.most_under_way == PAGED_AT_ONCE

    tell(story)


def test_nobody_waits_for_a_holder_that_is_asked_in_vain() -> None:
    async def story(others: Others) -> None:
        def dies(_method: int, body: Body) -> Body:
            if FindEntries.read(body).cursor == cursor(2):
                raise NoAnswer("died meanwhile")
            return entries_bodies(DIGEST, 9, cursor(2), [own(7)])[0]

        dying, good = others.know(dies), others.know(paged(own, 4))
        reading = Reading(others)
        await reading.pager.read([Start(dying, DIGEST, cursor(1), ()), Start(good, b"o" * 16, cursor(1), ())])
        assert reading.taken[dying] == own(7)
        assert len(reading.taken[good]) == 4

    tell(story)
