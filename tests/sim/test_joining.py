"""Joining and staying: dead and hostile bootstrap nodes, names, restarts, lost networks, changed addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dhtshare.dht.dht import MAX_BOOTSTRAP_CONTACTS
from dhtshare.dht.nodeid import is_bound
from dhtshare.dht.saved import decode_state
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.network import Address, Scope
from tests.sim.hostile_entries import JOIN_SECONDS, KINDS, join_by_one_of_ten
from tests.sim.internet import NETWORK, PORT, Host, Internet, addresses, place, seconds_until


def in_the_sim(story: Callable[[Internet], Awaitable[None]], *, seed: int = 1, loss: float = 0.0) -> None:
    async def main(loop: VirtualLoop) -> None:
        async with Internet(loop, seed=seed, loss=loss).running() as internet:
            await story(internet)

    run_virtual(main)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("honest_at", [0, 9])
def test_one_good_bootstrap_node_of_ten_is_enough(kind: str, honest_at: int) -> None:
    """Nine dead or hostile entries cost at most 30 seconds (threats.md)."""

    async def story(internet: Internet) -> None:
        assert (await join_by_one_of_ten(internet, kind, honest_at)).well_known <= JOIN_SECONDS

    in_the_sim(story)


def test_joining_is_quick_where_all_is_well() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(30, resting=True)
        newcomer = internet.add()
        began = internet.loop.time()
        await newcomer.dht.bootstrap([place(server) for server in servers[:3]])
        assert internet.loop.time() - began < 2.0
        assert newcomer.scope.joined
        assert newcomer.scope.contacts >= 20

    in_the_sim(story)


def test_whoever_waits_for_a_ready_node_does_not_wait_for_the_dead() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(8)
        dead = [(f"9.9.{number}.9", PORT) for number in range(9)]
        newcomer = internet.add()
        began = internet.loop.time()
        await newcomer.dht.bootstrap_within(8.0, [*dead, place(servers[0])])
        assert newcomer.scope.joined
        assert internet.loop.time() - began < 2.0

    in_the_sim(story)


def test_where_nobody_answers_the_wait_is_bounded() -> None:
    async def story(internet: Internet) -> None:
        newcomer = internet.add()
        began = internet.loop.time()
        await newcomer.dht.bootstrap_within(3.0, [("9.9.9.9", PORT)])
        assert not newcomer.scope.joined
        assert internet.loop.time() - began <= 3.0

    in_the_sim(story)


def test_a_dead_name_server_keeps_nobody_from_joining_by_address() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(5)

        async def never(name: str) -> list[str]:
            await asyncio.sleep(1000)
            return []

        newcomer = internet.add()
        newcomer.dht._bootstrap._resolver = never
        began = internet.loop.time()
        joining = asyncio.create_task(newcomer.dht.bootstrap([("node.example", PORT), place(servers[0])]))
        assert await seconds_until(internet, lambda: newcomer.scope.joined, 2) <= 2
        await joining
        assert internet.loop.time() - began < 10, "a name gets five seconds"

    in_the_sim(story)


def test_names_stand_for_all_their_addresses_of_both_families() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(3)
        six = internet.add("2a00:1::1", reachable="yes", announce_host="2a00:1::1")
        dead = internet.free_host()
        internet.names["pool.example"] = [dead, "not an address", "fe80::1%eth0", servers[1].address.host, "2a00:1::1"]
        newcomer = internet.add("2a00:2::2")
        both = internet.add()
        await newcomer.dht.bootstrap([("pool.example", PORT), ("unknown.example", PORT)])
        await both.dht.bootstrap([("pool.example", PORT)])
        assert [contact.address for contact in newcomer.dht.scopes[Scope.IPV6].table] == [six.address]
        assert both.dht.scopes[Scope.IPV4].contacts == 3
        assert newcomer.dht._bootstrap.unresolved == ["unknown.example"]

    in_the_sim(story)


def test_a_name_that_means_nothing_yet_is_asked_for_again() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(3)
        newcomer = internet.add()
        await newcomer.dht.bootstrap([("late.example", PORT)])
        assert newcomer.scope.contacts == 0
        await asyncio.sleep(300)
        internet.names["late.example"] = [servers[0].address.host]
        await seconds_until(internet, lambda: newcomer.scope.contacts == 3, 90)

    in_the_sim(story)


def test_a_bootstrap_node_that_starts_later_is_found() -> None:
    async def story(internet: Internet) -> None:
        host = internet.free_host()
        early = internet.add()
        assert await early.dht.bootstrap([(host, PORT)]) == 0
        await asyncio.sleep(1000)
        internet.add(host, reachable="yes", announce_host=host)
        await seconds_until(internet, lambda: early.scope.contacts == 1, 90)

    in_the_sim(story)


def test_a_bootstrap_node_under_a_false_id_helps_but_is_not_tabled() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(10)
        misnamed = servers[2]
        misnamed.scope.move(b"\x01" * 20)
        newcomer = internet.add()
        await newcomer.dht.bootstrap([place(misnamed)])
        assert newcomer.scope.contacts == 9
        assert misnamed.address not in {contact.address for contact in newcomer.scope.table}

    in_the_sim(story)


def test_a_restart_needs_nothing_but_saved_contacts() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(30, resting=True)
        host = internet.free_host()
        node = internet.add(host)
        await node.dht.bootstrap([place(servers[0])])
        await asyncio.sleep(60)
        old_id = node.scope.node_id
        state = await node.end()
        for server in servers[:20]:  # two thirds of those it knew are gone when it comes back
            internet.datagrams.silence(server.address)
        again = internet.add(host, saved=state)
        assert again.scope.node_id == old_id
        await again.dht.bootstrap()
        assert again.scope.joined
        alive = addresses(servers[20:])
        assert len(alive & {contact.address for contact in again.scope.table}) == 10

    in_the_sim(story)


def test_a_restart_elsewhere_takes_another_id_that_its_address_may_have() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(10)
        node = internet.add()
        await node.dht.bootstrap([place(servers[0])])
        state = await node.end()
        again = internet.add(saved=state)
        assert again.scope.node_id == decode_state(state, NETWORK)[Scope.IPV4].node_id
        await again.dht.bootstrap()
        assert again.scope.external.host == again.address.host
        assert is_bound(again.scope.node_id, again.address.host)

    in_the_sim(story)


def test_a_session_that_reached_nobody_keeps_what_the_one_before_knew() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(10, resting=True)
        node = internet.add()
        await node.dht.bootstrap([place(servers[0])])
        state = await node.end()
        for server in servers:
            internet.datagrams.silence(server.address)
        lonely = internet.add(saved=state)
        assert await lonely.dht.bootstrap() == 0
        kept = decode_state(await lonely.end(), NETWORK)[Scope.IPV4].contacts
        assert len(kept) == 10

    in_the_sim(story)


def test_saved_bytes_that_are_damaged_count_for_nothing() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(3)
        for saved in (b"\x80\x04\x95garbage", b"x" * 3_000_000, b"\x00"):
            node = internet.add(saved=saved)
            assert await node.dht.bootstrap([place(servers[0])]) >= 3

    in_the_sim(story)


def test_saved_contacts_are_asked_a_bounded_number_at_once() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(MAX_BOOTSTRAP_CONTACTS + 20, resting=True)
        node = internet.add()
        await node.dht.bootstrap([place(servers[0])])
        await asyncio.sleep(30)
        assert node.scope.contacts > MAX_BOOTSTRAP_CONTACTS
        again = internet.add(saved=await node.end())
        assert len(list(again.dht._places_of(Scope.IPV4))) == MAX_BOOTSTRAP_CONTACTS

    in_the_sim(story)


@pytest.mark.parametrize("minutes", [2, 20, 90])
def test_a_node_that_lost_its_network_finds_back_by_itself(minutes: int) -> None:
    """After minutes its table still stands; after hours of calls into the void all contacts are evicted."""

    async def story(internet: Internet) -> None:
        servers = await internet.grow(16)
        node = await internet.join(*servers[:2])
        await asyncio.sleep(60)
        assert not node.scope.is_client
        internet.datagrams.silence(node.address)
        for _ in range(minutes):
            await node.scope.walk(internet.rng.randbytes(20))
            await asyncio.sleep(60)
        internet.datagrams.silence(node.address, False)
        back = await seconds_until(
            internet, lambda: len(node.scope.table.nearest(node.scope.node_id)) >= 12 and node.scope.joined, 120
        )
        assert back <= 120
        await asyncio.sleep(1200)
        assert len(internet.who_knows(node)) >= 12

    in_the_sim(story)


def test_who_comes_back_without_any_configured_node_asks_those_it_lost() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(12)
        node = await internet.join(servers[0])
        await node.end()
        hinted = internet.add()  # told of one address at run time, as by LAN discovery; nothing is configured
        hinted.dht.add_contact_hint(servers[1].address)
        await seconds_until(internet, lambda: hinted.scope.contacts == 12, 30)
        internet.datagrams.silence(hinted.address)
        while hinted.scope.contacts:
            await hinted.scope.walk(internet.rng.randbytes(20))
            await asyncio.sleep(30)
        internet.datagrams.silence(hinted.address, False)
        await seconds_until(internet, lambda: hinted.scope.contacts == 12, 120)

    in_the_sim(story)


@pytest.mark.parametrize("count", [2, 20])
def test_a_changed_address_is_learned_and_told(count: int) -> None:
    """A provider that deals a new address every night must not end a node's place in the DHT."""

    async def story(internet: Internet) -> None:
        servers = await internet.grow(count)
        node = await internet.join(*servers[:2])
        await asyncio.sleep(400)
        assert not node.scope.is_client
        old, old_id, moves = node.address, node.scope.node_id, []
        node.scope.on_moved.append(lambda: moves.append(node.scope.node_id))
        node.move(internet.free_host())
        await seconds_until(internet, lambda: bool(moves), 1200)
        assert node.scope.external.host == node.address.host
        assert is_bound(node.scope.node_id, node.address.host)
        assert node.scope.node_id != old_id
        await asyncio.sleep(2400)
        assert len(moves) == 1
        assert len(internet.who_knows(node)) == count
        assert all(old not in {c.address for c in other.scope.table.nearest(old_id)} for other in servers)

    in_the_sim(story)


def test_four_liars_do_not_move_a_node() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(20, resting=True)
        node = await internet.join(*servers[:3])
        await asyncio.sleep(60)
        own = node.scope.node_id
        for number in range(4):
            for _ in range(5):
                node.scope.external.seen(Address(f"99.{number}.1.1", PORT), "66.66.66.66", internet.loop.time())
        await asyncio.sleep(1200)
        assert node.scope.node_id == own

    in_the_sim(story)


def test_two_nodes_are_a_network() -> None:
    async def story(internet: Internet) -> None:
        first = internet.add("5.5.5.5", reachable="yes", announce_host="5.5.5.5")
        second = internet.add("6.6.6.6", reachable="yes", announce_host="6.6.6.6")
        await second.dht.bootstrap([place(first)])
        await asyncio.sleep(1)
        assert [contact.address for contact in first.scope.table] == [second.address]
        assert [contact.address for contact in second.scope.table] == [first.address]

    in_the_sim(story)


def test_ten_that_start_at_once_find_each_other() -> None:
    async def story(internet: Internet) -> None:
        hosts = [internet.free_host() for _ in range(10)]
        nodes = [internet.add(host, reachable="yes", announce_host=host) for host in hosts]
        await asyncio.gather(*(node.dht.bootstrap([place(nodes[0])]) for node in nodes[1:]))
        await seconds_until(internet, lambda: all(node.scope.contacts == 9 for node in nodes), 60)

    in_the_sim(story)


def test_far_buckets_are_filled_after_joining_and_refreshed() -> None:
    """Stock looked up its own id only, and held 45 of 111 contacts at N = 500."""

    async def story(internet: Internet) -> None:
        servers = await internet.grow(60, resting=True)
        newcomer = await internet.join(servers[0])
        await asyncio.sleep(60)
        full = sum(min(20, n) for n in counts_by_bucket(newcomer, servers).values())
        assert newcomer.scope.contacts >= 0.9 * full
        before = internet.loop.time()
        refreshes: list[float] = []
        newcomer.scope.on_refresh.append(lambda: refreshes.append(internet.loop.time()))
        await asyncio.sleep(3600)
        pauses = [later - earlier for earlier, later in zip([before, *refreshes], refreshes, strict=False)]
        assert len(refreshes) in (3, 4, 5)
        assert all(600 <= pause <= 1200 for pause in pauses), "every 15 minutes, jittered"
        assert newcomer.scope.table.stale(internet.loop.time(), 1300.0) == []

    in_the_sim(story)


def counts_by_bucket(node: Host, others: list[Host]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for other in others:
        index = other.contact.distance_to(node.scope.node_id).bit_length()
        counts[index] = counts.get(index, 0) + 1
    return counts


def test_dead_contacts_leave_and_living_ones_stay() -> None:
    async def story(internet: Internet) -> None:
        servers = await internet.grow(30, resting=True)
        node = await internet.join(*servers[:3])
        await asyncio.sleep(60)
        dead, living = servers[::3], [server for number, server in enumerate(servers) if number % 3]
        for server in dead:
            internet.datagrams.silence(server.address)
        await asyncio.sleep(3600)
        known = {contact.address for contact in node.scope.table}
        assert not known & addresses(dead)
        assert addresses(living) <= known

    in_the_sim(story, loss=0.1, seed=3)
