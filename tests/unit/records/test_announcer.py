"""What is kept alive, when, and what is said of it; restarts, renames and second thoughts included."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from dhtshare.content.format import Kind
from dhtshare.content.keys import content_key
from dhtshare.dht.messages import Body
from dhtshare.dht.records.agenda import RETRY_SECONDS, Agenda
from dhtshare.dht.records.announcer import COMPANY_SECONDS, ROUNDS_AT_ONCE, Announcer
from dhtshare.dht.records.entry import sign_entry, sign_withdrawal
from dhtshare.dht.records.limits import ENTRY_PERIOD, ENTRY_TARGET, ENTRY_TTL, PROVIDER_PERIOD
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.withdrawals import GONE_SECONDS
from dhtshare.identity import SigningKey
from tests.unit.records.others import Holder, Others, silent, tell
from tests.unit.records.records_fakes import HOUR, NETWORK, content, key

KEY = SigningKey.from_seed(bytes(32))


class Publisher:
    """An announcer at work, what it signs, and when it noted that entries are due."""

    def __init__(self, others: Others) -> None:
        self.others = others
        self.library = {content(number): (f"word{number}", "musica") for number in range(100)}
        self.signed = 0
        self.due: dict[bytes, float] = {}
        self.refusals = 0
        self.agenda = Agenda(random.Random(1))
        self.announcer = Announcer(
            [others.holding],
            network=NETWORK,
            agenda=self.agenda,
            make_entry=self.entry,
            make_withdrawal=self.withdrawal,
            claim=lambda partial: ProviderClaim(5000, b"peerpeer", partial),
            wall=others.wall,
            keep_due=self.keep_due,
        )

    def entry(self, content_hash: bytes) -> bytes | None:
        if content_hash not in self.library:
            return None
        self.signed += 1
        return sign_entry(
            KEY,
            NETWORK,
            content_hash=content_hash,
            sequence=(1 << 41) + self.signed,
            expires=int(self.others.holding.record_wall() + ENTRY_TTL),
            kind=Kind.FILE,
            size=1,
            name="n",
            words=self.library[content_hash],
        )

    def withdrawal(self, content_hash: bytes) -> bytes:
        self.signed += 1
        expires = int(self.others.holding.record_wall() + ENTRY_TTL)
        return sign_withdrawal(
            KEY, NETWORK, content_hash=content_hash, sequence=(1 << 41) + self.signed, expires=expires
        )

    async def keep_due(self, due: dict[bytes, float]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("can't start new thread")
        self.due |= due

    def share(self, number: int, **options: Any) -> bytes:
        content_hash = content(number)
        self.announcer.share(content_hash, self.library.get(content_hash, ()), **options)
        return content_hash


def publishing(story: Callable[[Others, Publisher], Coroutine[Any, Any, None]]) -> None:
    async def life(others: Others) -> None:
        publisher = Publisher(others)
        task = asyncio.create_task(publisher.announcer.run())
        try:
            await story(others, publisher)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    tell(life)


def entries_at(holder: Holder, word: str = "musica") -> int:
    return len(holder.store.set_of(key(word)))


def provided_at(holder: Holder, number: int) -> bool:
    return bool(holder.store.providers.live(content_key(NETWORK, content(number)), holder.others.loop.time()))


def stores(others: Others, method: RecordMethod = RecordMethod.STORE_ENTRIES) -> int:
    return len(others.calls(method))


def test_what_is_shared_goes_out_is_read_back_and_is_noted() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(5)]
        receipt = await publisher.announcer.receipt(publisher.share(1))
        assert (receipt.keys, receipt.acks, receipt.verified, receipt.holders) == (3, 15, 3, 5)
        assert (receipt.quorum, receipt.alone, receipt.read_back) == (True, False, True)
        assert [entries_at(holder) for holder in holders] == [1] * 5
        assert publisher.due[content(1)] - others.wall() == pytest.approx(ENTRY_PERIOD, rel=0.11)
        assert receipt.next_renewal - others.wall() == pytest.approx(PROVIDER_PERIOD, rel=0.11)
        assert await publisher.announcer.receipt(content(1)) is receipt

    publishing(story)


def test_renewals_come_in_time_and_are_read_back_but_once() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        await publisher.announcer.receipt(publisher.share(1))
        checks = stores(others, RecordMethod.CHECK)
        await asyncio.sleep(12 * HOUR)
        assert 12 <= stores(others, RecordMethod.STORE_PROVIDERS) <= 15
        assert stores(others) == 2
        assert stores(others, RecordMethod.CHECK) == checks
        receipt = await publisher.announcer.receipt(content(1))
        assert (receipt.keys, receipt.verified, receipt.read_back) == (3, 3, True)

    publishing(story)


def test_without_words_what_was_read_back_stays_so_when_it_is_renewed() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        publisher.library.clear()
        first = await publisher.announcer.receipt(publisher.share(1))
        assert (first.keys, first.verified) == (1, 1)
        await asyncio.sleep(3 * HOUR)
        renewed = await publisher.announcer.receipt(content(1))
        assert (renewed.keys, renewed.verified, renewed.read_back) == (1, 1, True)
        assert renewed.next_renewal > first.next_renewal

    publishing(story)


def test_an_entry_that_was_not_found_again_is_looked_for_at_its_next_renewal() -> None:
    """Though the provider record was, and is renewed each hour."""

    async def story(others: Others, publisher: Publisher) -> None:
        holder, empty, hides = others.holder(), Holder(others), True

        def answer(method: int, body: Body) -> Any:
            shown = empty if hides and method in {RecordMethod.FIND_ENTRIES, RecordMethod.CHECK} else holder
            return shown.answer(method, body)

        others.answers[holder.contact] = answer
        receipt = await publisher.announcer.receipt(publisher.share(1))
        assert (receipt.keys, receipt.verified, receipt.quorum, receipt.read_back) == (3, 1, True, False)
        await asyncio.sleep(2 * HOUR)
        assert (await publisher.announcer.receipt(content(1))).verified == 1
        hides = False
        await asyncio.sleep(11 * HOUR)
        receipt = await publisher.announcer.receipt(content(1))
        assert (receipt.keys, receipt.verified, receipt.read_back) == (3, 3, True)

    publishing(story)


def test_an_announcer_that_broke_off_goes_on_when_it_is_run_again() -> None:
    """As a node does that was refused a thread: what was on its way then goes out, and nobody waits for ever."""

    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(5)]
        publisher.refusals = 2 * ROUNDS_AT_ONCE
        receipts = [asyncio.create_task(publisher.announcer.receipt(publisher.share(number))) for number in range(3)]
        for _ in range(publisher.refusals):
            run = asyncio.create_task(publisher.announcer.run())
            with pytest.raises(ExceptionGroup, match="unhandled"):
                await run
        run = asyncio.create_task(publisher.announcer.run())
        assert all(receipt.quorum for receipt in await asyncio.gather(*receipts))
        assert [entries_at(holder) for holder in holders] == [3] * 5
        await asyncio.sleep(ENTRY_PERIOD)
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        assert [provided_at(holder, 1) for holder in holders] == [True] * 5

    async def life(others: Others) -> None:
        await story(others, Publisher(others))

    tell(life)


def test_a_restart_does_not_announce_what_is_not_due() -> None:
    """The library is told before anybody is known; that the first contact comes then is no new company."""

    async def story(others: Others, publisher: Publisher) -> None:
        for number in range(30):
            publisher.share(number, entry_at=others.wall() + 5 * HOUR)
        await asyncio.sleep(5.0)
        holder = others.holder()
        await asyncio.sleep(3 * COMPANY_SECONDS + 5.0)
        assert provided_at(holder, 7)
        assert entries_at(holder) == 0
        await asyncio.sleep(5 * HOUR)
        assert entries_at(holder) == 30

    publishing(story)


def test_what_was_published_while_alone_goes_out_when_somebody_comes_and_after_a_restart() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        receipt = await publisher.announcer.receipt(publisher.share(1))
        assert receipt.alone
        assert receipt.quorum
        assert publisher.due[content(1)] <= others.wall() + 1.0  # nobody has it
        await asyncio.sleep(300.0)
        holder = others.holder()
        await asyncio.sleep(COMPANY_SECONDS + 5.0)
        assert entries_at(holder) == 1
        assert provided_at(holder, 1)
        assert not (await publisher.announcer.receipt(content(1))).alone
        assert publisher.due[content(1)] > others.wall() + 9 * HOUR

    publishing(story)


def test_while_nobody_is_there_the_agenda_is_not_gone_through_each_second() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        looks, next_due = 0, publisher.agenda.next_due

        def counted() -> float | None:
            nonlocal looks
            looks += 1
            return next_due()

        await publisher.announcer.receipt(publisher.share(1))
        publisher.agenda.next_due = counted  # type: ignore[method-assign]
        await asyncio.sleep(600 * COMPANY_SECONDS)
        assert looks < 10
        holder = others.holder()
        await asyncio.sleep(COMPANY_SECONDS + 5.0)
        assert entries_at(holder) == 1

    publishing(story)


def test_those_who_come_to_a_few_are_told_who_provides() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        await publisher.announcer.receipt(publisher.share(1))
        late = others.holder()
        for callback in others.dht.on_refresh:
            callback()
        await asyncio.sleep(5.0)
        assert provided_at(late, 1)
        assert entries_at(late) == 0  # entries it pulls

    publishing(story)


def test_below_quorum_is_tried_again_and_the_receipt_follows() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holder, bad = others.holder(), others.know(lambda _method, _body: {})
        receipt = await publisher.announcer.receipt(publisher.share(1))
        assert not receipt.quorum  # one of two is not more than half
        another = Holder(others)
        another.contact = bad
        others.answers[bad] = another.answer
        await asyncio.sleep(RETRY_SECONDS + 5.0)
        assert (await publisher.announcer.receipt(content(1))).quorum
        assert entries_at(another) == entries_at(holder) == 1

    publishing(story)


def test_our_own_entry_is_held_here_while_others_are_few() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        for _ in range(ENTRY_TARGET - 1):
            others.holder()
        await publisher.announcer.receipt(publisher.share(1))
        assert len(others.holding.store.set_of(key("musica"))) == 1
        others.holder()
        await publisher.announcer.receipt(publisher.share(2))
        assert len(others.holding.store.set_of(key("word2"))) == 0

    publishing(story)


def test_what_left_the_library_meanwhile_has_no_entry_and_still_a_receipt() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        publisher.share(1)
        del publisher.library[content(1)]
        receipt = await publisher.announcer.receipt(content(1))
        assert (receipt.keys, receipt.acks) == (1, 1)

    publishing(story)


def test_a_receipt_is_of_what_was_shared_last() -> None:
    """A second publish, by other words, while the first is still going out."""

    async def story(others: Others, publisher: Publisher) -> None:
        for _ in range(5):
            others.holder()
        content_hash = publisher.share(1)
        await asyncio.sleep(0.1)
        publisher.library[content_hash] = ("a1", "b1", "c1", "d1")
        publisher.share(1)
        receipt = await publisher.announcer.receipt(content_hash)
        assert receipt.keys == 5
        assert publisher.announcer.receipts()[content_hash] is receipt

    publishing(story)


@pytest.mark.parametrize("after", [0.0, 0.03, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5])
def test_what_is_taken_back_while_it_goes_out_stays_nowhere(after: float) -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(5)]
        content_hash = publisher.share(1)
        waiting = asyncio.ensure_future(publisher.announcer.receipt(content_hash))
        await asyncio.sleep(after)
        await publisher.announcer.unshare(content_hash)
        await waiting  # whoever waits is told, too
        await asyncio.sleep(10.0)
        assert not any(provided_at(holder, 1) for holder in holders)
        page = [raw for holder in holders for raw in holder.store.set_of(key("musica")) if b"musica" in raw.raw]
        assert page == [], "no entry, at most its withdrawal"
        assert content_hash not in publisher.announcer

    publishing(story)


def test_a_renamed_content_leaves_its_old_words() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(4)]
        content_hash = publisher.share(1)
        await publisher.announcer.receipt(content_hash)
        publisher.library[content_hash] = ("musica", "other")
        publisher.share(1)
        await publisher.announcer.receipt(content_hash)
        for holder in holders:
            assert [b"musica" in held.raw for held in holder.store.set_of(key("other"))] == [True]
            assert not any(b"musica" in held.raw for held in holder.store.set_of(key("word1")))

    publishing(story)


def test_a_clock_that_is_corrected_again_and_again_is_followed_twice() -> None:
    """Holders that contradict themselves must not keep a round going for ever."""

    async def story(others: Others, publisher: Publisher) -> None:
        said = 0

        def contradicts(method: int, body: Body) -> Any:
            nonlocal said
            answer = holder.answer(method, body)
            if method == RecordMethod.STORE_ENTRIES:
                said += 1
                others.holding.clock._offsets.clear()
                for number in range(5):
                    others.holding.clock._offsets[bytes([number])] = said * 10 * HOUR
            return answer

        holder = Holder(others)
        holder.contact = others.know(contradicts)
        async with asyncio.timeout(60):
            await publisher.announcer.receipt(publisher.share(1))
        assert stores(others) == 2

    publishing(story)


def test_a_publish_does_not_wait_for_a_library_that_is_renewed() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        slow = [True]
        holder = Holder(others)

        def answer(method: int, body: Body) -> Any:
            if slow[0] and method == RecordMethod.STORE_ENTRIES:
                return silent(method, body)
            return holder.answer(method, body)

        holder.contact = others.know(answer)
        for number in range(ROUNDS_AT_ONCE - 1):
            publisher.share(number)
            await asyncio.sleep(0.05)
        slow[0] = False
        async with asyncio.timeout(2.0):
            await publisher.announcer.receipt(publisher.share(50))

    publishing(story)


def test_leaving_tells_each_who_keeps_a_provider_record_once_and_waits_for_nobody() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(30)]
        for number in range(9):
            await publisher.announcer.receipt(publisher.share(number))
        for holder in holders[::2]:
            others.answers[holder.contact] = silent
        began = others.loop.time()
        await publisher.announcer.leave()
        assert others.loop.time() - began <= GONE_SECONDS
        assert not any(provided_at(holder, 7) for holder in holders[1::2])
        told = [contact for contact, _ in others.calls(RecordMethod.GONE)]
        assert {holder.contact for holder in holders[1::2]} <= set(told)
        assert all(told.count(holder.contact) == 1 for holder in holders[1::2])

    publishing(story)


def test_where_nobody_can_dial_us_no_provider_record_goes_out_and_those_there_go() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holders = [others.holder() for _ in range(4)]
        await publisher.announcer.receipt(publisher.share(1))
        assert all(provided_at(holder, 1) for holder in holders)
        others.dht.found_undialable(True)
        await asyncio.sleep(5.0)
        assert not any(provided_at(holder, 1) for holder in holders)
        assert not others.holding.own
        receipt = await publisher.announcer.receipt(publisher.share(2))
        assert (receipt.keys, receipt.quorum, receipt.alone, receipt.read_back) == (2, True, False, True)
        others.dht.found_undialable(False)
        await asyncio.sleep(5.0)
        assert all(provided_at(holder, 1) and provided_at(holder, 2) for holder in holders)
        assert (await publisher.announcer.receipt(content(2))).keys == 2  # what was announced whole

    publishing(story)


def test_a_new_address_is_announced_at_once_and_costs_no_entry() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        await publisher.announcer.receipt(publisher.share(1))
        entries, providers = stores(others), stores(others, RecordMethod.STORE_PROVIDERS)
        for callback in others.dht.on_moved:
            callback()
        await asyncio.sleep(5.0)
        assert (stores(others), stores(others, RecordMethod.STORE_PROVIDERS)) == (entries, providers + 1)

    publishing(story)


def test_a_clock_that_turns_out_to_be_wrong_makes_the_entries_of_an_earlier_life_due() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        holder = others.holder()
        publisher.share(1, entry_at=others.wall() + 9 * HOUR)
        await asyncio.sleep(5.0)
        assert entries_at(holder) == 0
        for number in range(5):
            others.holding.heard(others.know(silent, f"10.7.7.{number}"), int(others.wall() + 24 * HOUR))
        await asyncio.sleep(5.0)
        assert stores(others) >= 1

    publishing(story)


def test_a_library_of_hundreds_goes_out_together_and_lets_others_work() -> None:
    async def story(others: Others, publisher: Publisher) -> None:
        others.holder()
        publisher.library |= {content(number): (f"word{number}",) for number in range(100, 300)}
        for number in range(100, 300):
            publisher.share(number)
        assert len(publisher.announcer) == 200
        receipts = [await publisher.announcer.receipt(content(number)) for number in range(100, 300)]
        assert all(receipt.read_back for receipt in receipts)
        assert stores(others, RecordMethod.STORE_PROVIDERS) == 4  # 50 keys a datagram
        assert len(publisher.announcer.receipts()) == 200

    publishing(story)
