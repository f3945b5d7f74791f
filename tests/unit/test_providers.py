"""The feed of leads."""

import asyncio
from collections.abc import AsyncIterator

from dhtshare.content.link import PeerHint
from dhtshare.network import Address
from dhtshare.providers import LEADS_PER_TELLER, Lead, ProviderFeed

CONTENT = b"c" * 32


class Dht:
    """Answers each lookup with the next batch; the last one again and again."""

    def __init__(self, *batches: list[Lead]) -> None:
        self.batches = list(batches)
        self.asked: list[bytes] = []

    async def lookup(self, content_hash: bytes) -> AsyncIterator[Lead]:
        self.asked.append(content_hash)
        for lead in self.batches.pop(0) if len(self.batches) > 1 else self.batches[0]:
            await asyncio.sleep(0)
            yield lead


def lead(number: int) -> Lead:
    return Lead(Address("10.0.0.1", number))


async def take(feed: ProviderFeed, count: int) -> list[Lead]:
    taken: list[Lead] = []
    async for one in feed.stream():
        taken.append(one)
        if len(taken) == count:
            break
    return taken


async def test_hints_come_first_then_the_dht_without_doubles() -> None:
    dht = Dht([lead(1), lead(2), lead(1)])
    async with ProviderFeed(CONTENT, [PeerHint("10.0.0.1", 9, b"i" * 32)], dht.lookup) as feed:
        assert await take(feed, 3) == [Lead(Address("10.0.0.1", 9), b"i" * 32, "hint"), lead(1), lead(2)]
    assert dht.asked[0] == CONTENT


async def test_two_readers_see_all_leads() -> None:
    async with ProviderFeed(CONTENT, [], Dht([lead(1), lead(2)]).lookup) as feed:
        first, second = await asyncio.gather(take(feed, 2), take(feed, 2))
    assert first == second == [lead(1), lead(2)]


async def test_tellers_take_turns_and_one_address_comes_from_each() -> None:
    named = [Lead(Address("10.0.0.1", number), told_by="liar") for number in range(1, 100)]
    named += [Lead(Address("10.0.0.1", 99), told_by="honest")]

    class AllAtOnce(Dht):
        async def lookup(self, content_hash: bytes) -> AsyncIterator[Lead]:
            for one in named:
                yield one

    async with ProviderFeed(CONTENT, [], AllAtOnce([]).lookup) as feed:
        await asyncio.sleep(0.01)
        assert Lead(Address("10.0.0.1", 99), told_by="honest") in await take(feed, 2)


async def test_a_teller_that_never_ends_is_heard_only_so_far() -> None:
    class Endless(Dht):
        """Each lookup names as many new ones."""

        async def lookup(self, content_hash: bytes) -> AsyncIterator[Lead]:
            self.asked.append(content_hash)
            start = 1 + len(self.asked) * 1000
            for number in range(start, start + 1000):
                yield Lead(Address("10.0.0.1", number), told_by="liar")
            yield Lead(Address("10.0.0.2", 1), told_by="honest")

    async with ProviderFeed(CONTENT, [], Endless([]).lookup) as feed:
        await asyncio.sleep(0.05)
        assert len(feed) == LEADS_PER_TELLER + 1


async def test_peers_found_later_are_told() -> None:
    async with asyncio.timeout(10), ProviderFeed(CONTENT, [], Dht([], [lead(7)]).lookup) as feed:
        assert await take(feed, 1) == [lead(7)]


async def test_our_own_address_is_no_lead() -> None:
    async with ProviderFeed(CONTENT, [], Dht([lead(1), lead(2)]).lookup, own=[Address("10.0.0.1", 1)]) as feed:
        assert await take(feed, 1) == [lead(2)]


async def test_closing_ends_every_reader() -> None:
    feed = ProviderFeed(CONTENT, [], Dht([]).lookup)
    async with feed:
        reader = asyncio.create_task(take(feed, 1))
        await asyncio.sleep(0)
    assert await reader == []


async def test_a_hint_of_an_unknown_host_is_passed_over() -> None:
    hints = [PeerHint("no-such-host.invalid", 5), PeerHint("10.0.0.1", 5)]
    async with asyncio.timeout(10), ProviderFeed(CONTENT, hints, Dht([]).lookup) as feed:
        assert await take(feed, 1) == [Lead(Address("10.0.0.1", 5), None, "hint")]
