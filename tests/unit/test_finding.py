"""Whom the search for holders asks, how many of one network, and in whose turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, cast

from dhtshare.content.link import PeerHint
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.errors import NetworkError, NotFoundError
from dhtshare.finding import (
    ANSWER_SECONDS,
    ASKED_AT_MOST,
    ASKED_PER_NETWORK,
    LOOKUP_SECONDS,
    SHARES,
    Finder,
)
from dhtshare.network import Address, ScopeRules
from dhtshare.providers import Lead
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import DIALS_IN_FLIGHT, Attempts
from dhtshare.transfer.exchange import Exchange

CONTENT = b"c" * 32


class World:
    """Who is named by the lookup, after how many seconds each, and what peers say: chunks and how many they hold."""

    def __init__(self) -> None:
        self.leads: list[tuple[float, Lead]] = []
        self.lasts = 0.0
        self.own: list[Address] = []
        self.asked: list[Address] = []
        self.accounts: set[int] = set()
        self.says: Callable[[Address], tuple[int, int]] = lambda _address: (4, 4)
        self.under_way = self.most_under_way = 0
        self.finder = Finder(self._lookup, cast(Exchange, self), ScopeRules(), lambda: self.own)

    async def _lookup(self, _content_hash: bytes) -> AsyncIterator[Lead]:
        for pause, lead in self.leads:
            await asyncio.sleep(pause)
            yield lead
        await asyncio.sleep(self.lasts)

    async def ask_have(self, peer: PeerAddress, content_hash: bytes, *, timeout: float, attempts: Attempts) -> PeerHas:
        assert (content_hash, timeout) == (CONTENT, ANSWER_SECONDS)
        self.asked.append(peer.address)
        self.accounts.add(id(attempts))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.5)
        self.under_way -= 1
        chunks, held = self.says(peer.address)
        return PeerHas(peer.address, "n", chunks, held, 0)

    def name(self, *hosts: str, by: str = "a", port: int = 4470) -> None:
        self.leads += [(0.0, Lead(Address(host, port), told_by=by)) for host in hosts]

    async def hosts(self, **options: Any) -> list[str]:
        return [one.address.host for one in await self.finder.holders(CONTENT, **options)]


def tell(story: Callable[[World, VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    async def main(loop: VirtualLoop) -> None:
        await story(World(), loop)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


def hosts(count: int, network: str = "81") -> Sequence[str]:
    return [f"{network}.{number}.1.1" for number in range(count)]


def test_only_who_says_that_it_holds_something_is_a_holder() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name(*hosts(5))
        said = {"81.0.1.1": (4, 4), "81.1.1.1": (4, 1), "81.2.1.1": (4, 0), "81.3.1.1": (0, 0)}

        def says(address: Address) -> tuple[int, int]:
            if address.host == "81.4.1.1":
                raise NotFoundError("nothing of it")
            return said[address.host]

        world.says = says
        assert await world.hosts() == ["81.0.1.1", "81.1.1.1", "81.3.1.1"]  # an empty file has no chunks

    tell(story)


def test_nobody_leads_us_to_ourselves_to_a_system_port_or_to_one_place_twice() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.own = [Address("81.0.1.1", 4470)]
        world.name("81.0.1.1", "81.1.1.1", "81.1.1.1")
        world.name("81.2.1.1", port=80)
        world.name("224.0.0.1", "0.0.0.0", "81.1.1.1", by="b")
        assert await world.hosts() == ["81.1.1.1"]

    tell(story)


def test_few_of_one_network_are_asked_and_at_home_all() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name(*(f"81.7.7.{number}" for number in range(1, 30)))
        world.name(*(f"10.0.0.{number}" for number in range(1, 9)), by="b")
        found = await world.hosts()
        assert sum(host.startswith("81.") for host in found) == ASKED_PER_NETWORK
        assert sum(host.startswith("10.") for host in found) == 8

    tell(story)


def test_no_teller_fills_the_places_before_the_others_spoke() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name(*hosts(100), by="liar")
        world.leads += [(1.0, Lead(Address(host, 4470), told_by="honest")) for host in hosts(3, "82")]
        found = await world.hosts(limit=8)
        assert {"82.0.1.1", "82.1.1.1", "82.2.1.1"} <= set(found)
        assert len(world.asked) == 8
        assert sum(host.startswith("81.") for host in found[: 8 // SHARES]) == 8 // SHARES  # meanwhile the liar's

    tell(story)


def test_hints_are_asked_first_and_count_as_a_teller() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name(*hosts(3))
        await world.hosts(hints=[PeerHint("83.1.1.1", 5000)])
        assert world.asked[0] == Address("83.1.1.1", 5000)

    tell(story)


def test_limits_of_dials_and_of_all() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        for number in range(20):
            world.name(*hosts(20, str(90 + number)), by=str(number))
        assert len(await world.hosts()) == ASKED_AT_MOST
        assert world.most_under_way == DIALS_IN_FLIGHT
        assert len(world.accounts) == 1

    tell(story)


def test_a_lookup_that_does_not_end_is_not_waited_for() -> None:
    async def story(world: World, loop: VirtualLoop) -> None:
        world.name(*hosts(2))
        world.lasts = 1e6
        assert len(await world.hosts()) == 2
        assert loop.time() == LOOKUP_SECONDS

    tell(story)


def test_the_account_of_an_errand_is_shared_by_its_steps() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        attempts = world.finder.attempts()
        world.name("81.1.1.1")
        for _ in range(2):
            await world.hosts(attempts=attempts)
        assert world.accounts == {id(attempts)}

    tell(story)


def test_a_feed_gives_each_address_once_to_dial() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name("81.1.1.1", "81.2.1.1", by="a")
        world.name("81.1.1.1", by="b")
        async with world.finder.feed(CONTENT, ()) as feed:
            came: list[str] = []
            async for peer in world.finder.peers(feed):
                came.append(peer.address.host)
                if len(came) == 2:
                    break
        assert sorted(came) == ["81.1.1.1", "81.2.1.1"]

    tell(story)


def test_peers_that_fail_stop_nothing() -> None:
    async def story(world: World, _loop: VirtualLoop) -> None:
        world.name(*hosts(6))

        def says(address: Address) -> tuple[int, int]:
            if address.host < "81.3":
                raise NetworkError("no answer")
            return 1, 1

        world.says = says
        assert len(await world.hosts()) == 3

    tell(story)
