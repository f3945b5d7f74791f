"""Who can be reached, and who is told to others: servers, clients behind NATs, liars, networks of any size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from dhtshare.dht.favours import FAVOUR_SECONDS
from dhtshare.dht.messages import Code, Method, Refused
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.network import Scope
from tests.sim.internet import Host, Internet


def in_the_sim(story: Callable[[Internet], Awaitable[None]], *, seed: int = 1, loss: float = 0.0) -> None:
    async def main(loop: VirtualLoop) -> None:
        async with Internet(loop, seed=seed, loss=loss).running() as internet:
            await story(internet)

    run_virtual(main)


def verdict(node: Host) -> tuple[bool, bool | None, bool | None]:
    """Client, UDP gets in, TCP gets in."""
    return node.scope.is_client, node.scope.reachable, node.scope.dialable


def test_a_node_that_can_be_reached_becomes_a_server() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(24)
        newcomer = await internet.join(*servers[:3])
        assert newcomer.scope.is_client, "until somebody showed that it can be reached"
        assert internet.who_knows(newcomer) == []
        await asyncio.sleep(60)
        assert verdict(newcomer) == (False, True, True)
        assert len(internet.who_knows(newcomer)) >= 10

    in_the_sim(story)


def test_a_node_behind_a_nat_stays_a_client_and_knows_it() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(24)
        natted = await internet.join(*servers[:3], natted=True)
        for _ in range(10):  # through many probes, refreshes and the growth of the network
            await asyncio.sleep(600)
            assert internet.who_knows(natted) == []
            assert natted.scope.is_client
        assert verdict(natted) == (True, False, False)
        assert natted.scope.contacts >= 20, "it knows them all the same"
        assert natted.scope.external.host == natted.address.host

    in_the_sim(story)


def test_it_works_with_loss_too() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(24)
        natted = await internet.join(*servers[:3], natted=True)
        newcomers = [await internet.join(*servers[:3]) for _ in range(4)]
        await asyncio.sleep(3600)
        assert all(not newcomer.scope.is_client for newcomer in newcomers)
        assert natted.scope.is_client
        assert internet.who_knows(natted) == []

    in_the_sim(story, seed=2, loss=0.1)


def test_two_nodes_that_were_told_nothing_become_servers_of_each_other() -> None:
    """Nobody else is there to send a datagram: the TCP dial decides."""

    async def story(internet: Internet) -> None:
        first, second = internet.add(), internet.add()
        await second.dht.bootstrap([(first.address.host, first.address.port)])
        await asyncio.sleep(1200)
        for node, other in ((first, second), (second, first)):
            assert node.scope.external.host == node.address.host
            assert not node.scope.is_client
            assert internet.who_knows(node) == [other]

    in_the_sim(story)


def test_a_network_grows_from_one_node_without_anybody_being_told_its_address() -> None:
    async def story(internet: Internet) -> None:
        first = internet.add()
        for _ in range(9):
            await internet.join(first)
        natted = await internet.join(first, natted=True)
        await asyncio.sleep(3 * 3600)
        for node in internet.hosts[:10]:
            assert not node.scope.is_client
            assert node.scope.contacts == 9
        assert verdict(natted)[0]
        assert natted.scope.dialable is False
        assert internet.who_knows(natted) == []

    in_the_sim(story)


def test_a_hole_in_the_nat_is_no_proof() -> None:
    """In a network of four everybody was written to lately, so everybody's datagram comes in."""

    async def story(internet: Internet) -> None:
        servers = await internet.grow(3)
        natted = await internet.join(*servers, natted=True)
        for _ in range(20):
            await asyncio.sleep(300)
            for server in servers:
                await natted.scope.ping(server.contact)  # keeps the holes open
            assert natted.scope.is_client
            assert natted.scope.reachable is not True
        assert natted.scope.dialable is False

    in_the_sim(story)


def test_a_server_that_is_cut_off_steps_down() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(24)
        node = await internet.join(*servers[:3])
        await asyncio.sleep(60)
        assert not node.scope.is_client
        internet.datagrams.natted.add(node.address.host)  # a firewall comes up
        await asyncio.sleep(5400)
        assert verdict(node) == (True, False, False)
        await asyncio.sleep(1800)
        assert internet.who_knows(node) == []

    in_the_sim(story)


def test_who_says_it_is_reachable_is_a_server_at_once_and_told_when_it_is_wrong() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(24)
        node = await internet.join(*servers[:3], reachable="yes", natted=True)
        await asyncio.sleep(1800)
        assert verdict(node) == (False, False, False)

    in_the_sim(story)


def test_who_says_it_is_not_is_never_probed() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(10)
        node = await internet.join(*servers[:3], reachable="no")
        await asyncio.sleep(3600)
        assert verdict(node) == (True, None, None)
        assert node.address not in internet.dials

    in_the_sim(story)


def test_one_favour_per_address_in_ten_minutes() -> None:
    """Neither the dial nor the datagram can be aimed often at one address, whoever asks whom."""

    async def story(internet: Internet) -> None:
        servers = await internet.grow(12)
        node = await internet.join(*servers[:3], reachable="no")
        prober = servers[5]
        outcomes: list[int | None] = []
        for number in range(20):
            body = {2: 4470, 4: bytes([number]) * 20}
            try:
                await node.scope.rpc.call(prober.contact, Method.PROBE, body, prove=True)
                outcomes.append(None)
            except Refused as refusal:
                outcomes.append(refusal.code)
            await asyncio.sleep(10)
        assert outcomes == [None] + 19 * [Code.BUSY]
        assert internet.dials.count(node.address) == 1
        await asyncio.sleep(FAVOUR_SECONDS)
        await node.scope.rpc.call(prober.contact, Method.PROBE, {2: 4470, 4: b"x" * 20}, prove=True)

    in_the_sim(story)


def test_the_lan_needs_no_probes() -> None:
    async def story(internet: Internet) -> None:
        node = internet.add()
        assert not node.dht.scopes[Scope.LAN].is_client
        assert node.dht.scopes[Scope.LAN].reachable is None

    in_the_sim(story)
