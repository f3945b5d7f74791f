"""Records between a few nodes of a home network: published, found, renewed, withdrawn, and gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from dhtshare.dht.records.limits import ENTRY_TTL, PROVIDER_TTL, StoreLimits, Verdict
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from tests.sim.records_network import TCP_PORT, Person, RecordsNetwork, content

Story = Callable[[RecordsNetwork], Coroutine[Any, Any, None]]


def tell(story: Story, **options: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        net = RecordsNetwork(loop, **options)
        async with net.living():
            await story(net)

    run_virtual(main)


def test_what_one_publishes_the_others_find_with_a_receipt_that_says_so() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        publisher, searcher = net.people[1], net.people[4]
        publisher.share(7, ("musica", "popular"))
        receipt = await publisher.announcer.receipt(content(7))
        assert (receipt.keys, receipt.acks, receipt.holders, receipt.verified) == (3, 12, 4, 3)
        assert receipt.quorum
        assert not receipt.alone
        assert receipt.full == ()
        assert publisher.wall() < receipt.next_renewal < publisher.wall() + 3600
        (found,) = await searcher.search("popular", "musica")
        assert found.entry.content_hash == content(7)
        (provider,) = await searcher.providers(content(7))
        assert provider.address == (publisher.address.host, TCP_PORT + 1)
        assert provider.peer == publisher.key.public[:8]

    tell(story)


def test_two_are_a_network_and_who_starts_after_a_publish_finds_it() -> None:
    async def story(net: RecordsNetwork) -> None:
        alone = await net.add()
        alone.share(7, ("musica",))
        receipt = await alone.announcer.receipt(content(7))
        assert receipt.alone
        assert receipt.quorum  # nobody was there to refuse
        assert (receipt.acks, receipt.verified) == (0, 0)
        late = await net.add(pulls=False)
        assert [found.entry.content_hash for found in await late.search("musica")] == [content(7)]
        (provider,) = await late.providers(content(7))
        assert provider.address == (alone.address.host, TCP_PORT)

    tell(story)


def test_who_was_alone_announces_as_soon_as_somebody_comes() -> None:
    async def story(net: RecordsNetwork) -> None:
        alone = await net.add()
        alone.share(7, ("musica",))
        await alone.announcer.receipt(content(7))
        late = await net.add(pulls=False)
        await asyncio.sleep(5)
        assert late.holding.store.counts().entries == 1
        receipt = alone.announcer.receipts()[content(7)]
        assert (receipt.acks, receipt.alone) == (2, False)

    tell(story)


def test_nothing_there_is_said_after_every_key_was_asked() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        search = net.people[0].searching("no", "such", "words", "anywhere")
        assert [found async for found in search.entries()] == []
        assert search.nodes_asked == search.nodes_answered == 5
        assert await net.people[0].providers(content(1)) == []

    tell(story)


def test_withdrawn_is_gone_everywhere_and_at_once() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        publisher, searcher = net.people[1], net.people[4]
        publisher.share(7, ("musica", "popular"))
        publisher.share(8, ("musica",))
        await publisher.announcer.receipt(content(7))
        acks = await publisher.announcer.unshare(content(7))
        assert acks == 8
        assert [found.entry.content_hash for found in await searcher.search("musica")] == [content(8)]
        assert await searcher.search("popular") == []
        assert await searcher.providers(content(7)) == []
        assert len(await searcher.providers(content(8))) == 1

    tell(story)


def test_a_clean_shutdown_takes_the_provider_records_back_within_two_seconds() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        publisher, searcher = net.people[1], net.people[4]
        for number in range(60):
            publisher.share(number, ("musica",))
        await publisher.announcer.receipt(content(59))
        net.people[2].die()
        began = net.loop.time()
        await publisher.announcer.leave()
        assert net.loop.time() - began <= 2.0
        publisher.die()
        assert await searcher.providers(content(0)) == []
        assert await searcher.providers(content(59)) == []
        assert len(await searcher.search("musica")) == 60  # entries outlive their publisher's session

    tell(story)


def test_records_are_renewed_for_as_long_as_they_are_shared_and_end_with_their_publisher() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4)
        publisher, searcher = net.people[1], net.people[3]
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        await asyncio.sleep(3 * ENTRY_TTL)
        assert len(await searcher.search("musica")) == 1
        assert len(await searcher.providers(content(7))) == 1
        publisher.die()
        await asyncio.sleep(PROVIDER_TTL)
        assert await searcher.providers(content(7)) == []
        await asyncio.sleep(ENTRY_TTL)
        assert await searcher.search("musica") == []

    tell(story)


def test_a_restart_announces_providers_again_but_no_entry_that_is_not_due() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4)
        publisher = net.people[1]
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        sequence = publisher.sequence
        due = publisher.due[content(7)]
        assert 9 * 3600 < due - publisher.wall() <= 11 * 3600
        publisher.announcer.share(content(7), ("musica",), entry_at=due)
        receipt = await publisher.announcer.receipt(content(7))
        assert receipt.keys == 1
        assert publisher.sequence == sequence
        await asyncio.sleep(due - publisher.wall())
        await asyncio.sleep(5)
        assert publisher.sequence > sequence

    tell(story)


def test_a_word_that_is_full_is_listed_and_is_no_failure() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4, pulls=False, limits=StoreLimits(entries_per_key=5))
        publisher = net.people[1]
        for number in range(5):
            publisher.share(number, ("crowded", f"own{number}"))
            assert (await publisher.announcer.receipt(content(number))).full == ()
        publisher.share(5, ("crowded", "own5"))
        full = await publisher.announcer.receipt(content(5))
        assert full.quorum
        assert full.full == ("crowded",)
        assert (full.keys, full.verified) == (3, 2)

    tell(story)


def test_below_quorum_is_said_and_tried_again() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        publisher = net.people[1]
        for holder in net.people[2:]:
            refuse = lambda _entry, numbers, _tag, **_times: [Verdict.UNKNOWN] * len(numbers)  # noqa: E731
            holder.holding.store.put_entry = refuse  # type: ignore[method-assign]
        publisher.share(7, ("musica",))
        receipt = await publisher.announcer.receipt(content(7))
        assert not receipt.quorum
        assert receipt.acks == 4 + 1  # the provider record, and one holder's entry
        for holder in net.people[2:]:
            del holder.holding.store.put_entry
        await asyncio.sleep(130)
        assert publisher.announcer.receipts()[content(7)].quorum

    tell(story)


@pytest.mark.parametrize("error", [-30 * 3600.0, -20 * 3600.0, 30 * 3600.0])
def test_what_a_wrong_clock_signed_is_signed_anew_at_once(error: float) -> None:
    """Holders refuse it, or (20 h behind) would keep it for 4 h, and their answers tell the time."""

    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        publisher = net.people[1]
        publisher.clock_error = error
        publisher.share(7, ("musica",))
        began = net.loop.time()
        receipt = await publisher.announcer.receipt(content(7))
        assert (receipt.quorum, receipt.verified, receipt.acks) == (True, 2, 10)
        assert net.loop.time() - began < 5.0
        assert publisher.holding.clock.wrong
        (found,) = await net.people[4].search("musica")
        assert found.entry.expires - net.people[4].wall() > 23.9 * 3600
        assert await publisher.announcer.unshare(content(7)) == 10 / 2
        assert await net.people[4].search("musica") == []

    tell(story)


def test_a_withdrawal_that_a_wrong_clock_signed_is_signed_anew_at_once() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        publisher = net.people[1]
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        publisher.clock_error = 30 * 3600.0  # since then
        assert await publisher.announcer.unshare(content(7)) == 5
        assert await net.people[4].search("musica") == []

    tell(story)


def test_entries_of_an_earlier_life_are_renewed_where_the_clock_turns_out_to_be_wrong() -> None:
    """By a clock that is a day behind they are due tomorrow; by that time they would be gone."""

    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        publisher = net.people[1]
        publisher.clock_error = -24 * 3600.0
        publisher.share(7, ("musica",), entry_at=net.people[2].wall() + 3600.0)
        publisher.share(8, ("popular",))
        await publisher.announcer.receipt(content(8))
        await asyncio.sleep(10.0)
        assert len(await net.people[4].search("musica")) == 1

    tell(story)


def test_five_hundred_hits_are_all_reached() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4, pulls=False)
        publisher, searcher = net.people[1], await net.add(pulls=False)
        for number in range(500):
            publisher.share(number, ("musica", f"title{number}"))
        await publisher.announcer.receipt(content(499))
        await asyncio.sleep(5)
        for words in (("musica",), ("musica", "title7")):
            found = await searcher.search(*words)
            assert len(found) == (500 if len(words) == 1 else 1)
        assert len(await searcher.search("musica", limit=1, extension="ogg")) == 0

    tell(story)


@pytest.mark.parametrize("loss", [0.05, 0.15])
def test_lost_datagrams_lose_no_hit(loss: float) -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        for number in range(120):
            net.people[1].share(number, ("musica",))
        receipts = [await net.people[1].announcer.receipt(content(number)) for number in range(120)]
        assert all(receipt.quorum for receipt in receipts)
        assert len(await net.people[4].search("musica")) == 120

    tell(story, loss=loss)


def test_hits_stream_before_the_search_is_over() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(5)
        for number in range(200):
            net.people[1].share(number, ("musica",))
        await net.people[1].announcer.receipt(content(199))
        searcher = await net.add(pulls=False)
        began = net.loop.time()
        first: dict[bytes, float] = {}
        tellers: dict[bytes, set[str]] = {}
        async for found in searcher.searching("musica").entries():
            first.setdefault(found.entry.content_hash, net.loop.time() - began)
            tellers.setdefault(found.entry.content_hash, set()).add(found.told_by)
        times = list(first.values())
        assert len(times) == 200
        assert max(map(len, tellers.values())) == 5  # first answers of all holders tell of the same few
        assert times[0] < 0.05
        assert times[-1] > 3 * times[0]

    tell(story)


def test_who_comes_later_pulls_what_it_should_hold() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4)
        publisher = net.people[1]
        for number in range(150):
            publisher.share(number, ("musica", f"title{number}"))
        await publisher.announcer.receipt(content(149))
        await publisher.announcer.unshare(content(0))
        late = await net.add()
        await asyncio.sleep(30)
        counts = late.holding.store.counts()
        assert counts.entries == 149
        assert counts.withdrawals > 0
        for other in net.people[:-1]:
            other.die()
        assert len(await late.search("musica")) == 149
        assert await late.puller.pull() == 0

    tell(story)


def test_pulling_again_costs_no_record() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(4)
        for number in range(300):
            net.people[1].share(number, ("musica",))
        await net.people[1].announcer.receipt(content(299))
        await asyncio.sleep(60)
        holder: Person = net.people[3]
        before = net.datagrams.bytes
        assert await holder.puller.pull() == 0
        assert net.datagrams.bytes - before < 5_000

    tell(story)


def test_sets_that_share_many_large_entries_are_pulled_whole() -> None:
    """What one pull brings belongs to all sets that are waited for: the marks of the next request grow with it."""

    async def story(net: RecordsNetwork) -> None:
        await net.add(3, pulls=False)
        words = [f"word{number}" for number in range(24)]
        for number in range(200):
            net.people[1].share(number, words)
        await net.people[1].announcer.receipt(content(199))
        late = await net.add(pulls=False)
        assert await late.puller.pull() >= 200
        counts = late.holding.store.counts()
        assert (counts.entries, counts.keys) == (200, 24)

    tell(story)
