"""Defects measured in kademlia 2.2.3's routing table: each shown in the stock class, and ours without."""

from __future__ import annotations

import asyncio
import random

import pytest
from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from dhtshare.dht.contact import ID_BITS, Contact, distance
from dhtshare.dht.join import REFRESH_K, fill_buckets, find_neighbours, join
from dhtshare.dht.messages import TARGET_KEY, Method, NoAnswer
from dhtshare.dht.nodeid import bound_id, may_have
from dhtshare.dht.routing import K, Table
from dhtshare.dht.saved import SavedScope
from dhtshare.network import Address, Scope
from tests.unit.dht.dht_fakes import OWN, bound, in_bucket
from tests.unit.dht.virtual import Net, address_of, contact_of, know, response, tell


class Pings:
    """The protocol that a stock table pings with."""

    def __init__(self) -> None:
        self.sent = 0

    async def call_ping(self, node: Node) -> None:
        self.sent += 1


def stock_table(node_id: bytes = OWN) -> RoutingTable:
    return RoutingTable(Pings(), K, Node(node_id))


def nearest_of(contacts: list[Contact], target: bytes, count: int = K) -> list[bytes]:
    """Brute force."""
    return [c.node_id for c in sorted(contacts, key=lambda contact: contact.distance_to(target))[:count]]


def crowd(count: int, seed: int = 1) -> list[Contact]:
    rng = random.Random(seed)
    return [Contact(rng.randbytes(20), Address("10.0.0.1", 1024 + number)) for number in range(count)]


async def test_01_the_k_closest_are_the_k_closest() -> None:
    own, contacts = random.Random(7).randbytes(20), crowd(500)
    stock, ours = stock_table(own), Table(own, Scope.LAN)
    for contact in contacts:
        stock.add_contact(Node(contact.node_id, *contact.address))
        ours.answered(contact, 0.0)
    held = [Contact(node.id, Address("", 0)) for bucket in stock.buckets for node in bucket.get_nodes()]
    targets = [random.Random(number).randbytes(20) for number in range(200)]
    stock_recall = [
        len({node.id for node in stock.find_neighbors(Node(target))} & set(nearest_of(held, target)))
        for target in targets
    ]
    assert sum(stock_recall) < 0.9 * K * len(targets)
    known = list(ours)
    assert len(known) > 100
    for target in targets:
        assert [contact.node_id for contact in ours.nearest(target)] == nearest_of(known, target)


def test_01b_buckets_on_the_other_side_are_not_forgotten() -> None:
    stock = stock_table()
    width = 2**160 // 5
    stock.buckets = [KBucket(number * width, (number + 1) * width - 1, K) for number in range(5)]
    for number, count in enumerate((18, 19, 15, 8, 10)):
        for extra in range(count):
            node = Node((number * width + 1 + extra).to_bytes(20, "big"), "10.0.0.1", 1024 + extra)
            assert stock.buckets[number].add_node(node)
    target = (4 * width + 1000).to_bytes(20, "big")
    assert len(stock.find_neighbors(Node(target))) == 18, "52 of its 70 contacts are out of its sight"

    ours = Table(OWN, Scope.LAN)
    sizes = {160: 10, 159: 8, 158: 15}
    contacts = [in_bucket(index, n, host=f"10.0.0.{index}") for index, count in sizes.items() for n in range(count)]
    for contact in contacts:
        ours.answered(contact, 0.0)
    for index in range(155, 161):
        target = in_bucket(index, 77777).node_id
        assert [contact.node_id for contact in ours.nearest(target)] == nearest_of(contacts, target)


async def test_02_the_id_at_the_edge_of_a_bucket_belongs_to_it() -> None:
    stock = stock_table()
    stock.split_bucket(0)
    edge = Node(stock.buckets[0].range[1].to_bytes(20, "big"), "10.0.0.1", 1024)
    assert stock.buckets[0].has_in_range(edge)
    assert stock.get_bucket_for(edge) == 1

    ours = Table(OWN, Scope.LAN)
    for index in (1, 2, 80, 159, 160):
        for value in {1 << (index - 1), (1 << index) - 1}:
            contact = Contact(value.to_bytes(20, "big"), Address("10.0.0.1", 1024 + index))
            assert ours.answered(contact, 0.0)
            assert contact in ours
            assert ours.sizes() == {index: 1}
            assert ours.buckets[index].has_in_range(ours.buckets[index].head())
            ours.dismiss(contact)
            assert contact not in ours
            assert ours.nearest(contact.node_id) == []


async def test_10_ids_that_share_a_prefix_make_no_more_than_160_buckets() -> None:
    stock, ours = stock_table(), Table(OWN, Scope.LAN)
    for group in range(4):
        prefix = bytes([0x80 | group]) + bytes(18)
        for number in range(21):
            node_id = prefix + bytes([6 * number])  # 153 bits in common: stock splits unless 5 divides that
            stock.add_contact(Node(node_id, "10.0.0.1", 1024 + number))
            ours.answered(Contact(node_id, Address("10.0.0.1", 1024 + 100 * group + number)), 0.0)
    assert len(stock.buckets) > ID_BITS
    assert len(ours.buckets) == 1, "for all their ids are equally far, as seen from us"
    for bits in range(1, ID_BITS + 1):
        ours.answered(in_bucket(bits, 0, host=f"10.1.{bits >> 8}.{bits & 255}"), 0.0)
    assert len(ours.buckets) <= ID_BITS


def test_21_who_moved_is_found_where_it_lives_now() -> None:
    stock = stock_table()
    bucket = stock.buckets[0]
    for number in range(1, 4):
        stock.add_contact(Node(bytes(19) + bytes([number]), "10.0.0.2", number))
    assert not stock.is_new_node(Node(bytes(19) + b"\1", "10.0.0.3", 1)), "so stock keeps what it has"
    assert bucket.head().ip == "10.0.0.2"

    async def story(net: Net) -> None:
        node, moving = net.node("10.0.0.1"), net.node("10.0.0.2")
        know(node, moving)
        old_place = contact_of(moving)
        moved = net.node("10.0.0.3", node_id=moving.node_id)
        moving.close()
        net.datagrams.detach(Address("10.0.0.2", 4470))
        with pytest.raises(NoAnswer):
            await node.ping(old_place)  # as any lookup would
        assert [contact.address.host for contact in node.table] == ["10.0.0.2"]
        await moved.rpc.call(contact_of(node), Method.PING, {}, prove=True)  # so it is asked back, and answers
        await asyncio.sleep(1)
        assert [contact.address.host for contact in node.table] == ["10.0.0.3"]

    tell(story)


def test_21_a_sign_of_life_makes_the_head_the_one_least_recently_seen() -> None:
    table = Table(OWN, Scope.LAN)
    contacts = [in_bucket(100, number) for number in range(3)]
    for now, contact in enumerate(contacts):
        table.answered(contact, float(now))
    table.asked(*contacts[0], 10.0)
    assert table.buckets[100].head().contact == contacts[1]


def test_25_nobody_is_in_its_own_table() -> None:
    own = random.Random(3).randbytes(20)
    stock = stock_table(own)
    stock.add_contact(Node(own, "10.0.0.1", 1))
    assert not stock.is_new_node(Node(own))

    async def story(net: Net) -> None:
        node, mirror = net.node("10.0.0.1"), net.node("10.0.0.2")
        mirror.rpc.moved(node.node_id, Table(node.node_id, Scope.LAN))
        assert not node.table.answered(contact_of(node), 0.0)
        await node.ping(Contact(b"", address_of(mirror)))
        await mirror.rpc.call(contact_of(node), Method.PING, {}, prove=True)
        await asyncio.sleep(5)
        assert node.contacts == 0

    tell(story)


def test_26_requests_from_strangers_cost_no_pings_once_there_is_no_room() -> None:
    async def story(net: Net) -> None:
        node = net.node("10.0.0.1", node_id=OWN)
        for number in range(2 * K):
            node.table.answered(in_bucket(160, number), 0.0)
        calls = node.rpc.counters.calls
        strangers = [net.stranger("10.0.1.1", 1024 + number) for number in range(500)]
        for number, stranger in enumerate(strangers):
            token = await stranger.token_of(address_of(node))
            stranger.ask(address_of(node), token=token, node_id=b"\xff" + number.to_bytes(19, "big"))
        await asyncio.sleep(5)
        assert node.rpc.counters.requests == 1000
        assert node.rpc.counters.calls == calls

    tell(story)


async def test_26_stock_pings_for_each() -> None:
    stock = stock_table()
    for number in range(60):
        stock.add_contact(Node(b"\x90" + number.to_bytes(19, "big"), "10.0.0.1", 1024))
        stock.add_contact(Node(b"\xff" + number.to_bytes(19, "big"), "10.0.0.1", 1024))
    for bucket in stock.buckets:  # as deep as the paper lets a bucket be that is not ours
        bucket.depth = lambda: 5
    stock.buckets[0].has_in_range = lambda node: False
    await asyncio.sleep(0)
    before = stock.protocol.sent
    for number in range(20):
        stock.add_contact(Node(b"\xfe" + number.to_bytes(19, "big"), "10.0.0.1", 1024))
    await asyncio.sleep(0)
    assert stock.protocol.sent - before == 20


def test_26_where_there_is_room_nominations_are_paced() -> None:
    async def story(net: Net) -> None:
        node = net.node("10.0.0.1", node_id=OWN)
        tokens = []
        strangers = [net.stranger("10.0.1.1", 1024 + number) for number in range(300)]
        for stranger in strangers:
            stranger.ask(address_of(node), client=True)
        await asyncio.sleep(1)
        tokens = [stranger.replies[-1].token for stranger in strangers]
        for number, (stranger, token) in enumerate(zip(strangers, tokens, strict=True)):
            index = 1 + number % 100
            node_id = in_bucket(index + 30, number).node_id
            stranger.ask(address_of(node), token=token, node_id=node_id)
        await asyncio.sleep(0.1)
        assert node.rpc.counters.requests == 600
        assert 50 <= node.rpc.counters.calls <= 102

    tell(story)


def test_09_who_only_asks_is_in_nobodys_table() -> None:
    async def story(net: Net) -> None:
        node, victim = net.node("10.0.0.1"), net.node("10.0.0.9")
        forger = net.stranger("10.0.0.6")
        for number in range(200):
            forger.ask(address_of(node), node_id=random.Random(number).randbytes(20))
        await asyncio.sleep(5)
        assert node.contacts == 0
        assert len(forger.heard) == 200, "each was answered once, and nobody was asked"
        # a proved request nominates, and the nominated is asked; a false id then costs the liar its place
        token = forger.replies[-1].token
        forger.heard.clear()
        forger.replies_with(lambda identifier: response(identifier, b"t" * 20))
        forger.ask(address_of(node), token=token, node_id=b"c" * 20)
        await asyncio.sleep(5)
        assert [contact.node_id for contact in node.table] == []
        # an id that is claimed for somebody else's address is asked there, and found false
        await node.ping(contact_of(victim))
        assert [contact.node_id for contact in node.table] == [victim.node_id]

    tell(story)


def test_24_an_id_of_the_world_is_bound_to_its_address() -> None:
    rng = random.Random(1)
    ids = {bound_id("81.2.3.4", rng) for _ in range(500)}
    assert len(ids) == 500
    assert len({int.from_bytes(node_id[:3], "big") >> 3 for node_id in ids}) <= 8, "eight places, whatever one tries"
    assert all(may_have(node_id, "81.2.3.4", Scope.IPV4) for node_id in ids)
    chosen = [rng.randbytes(20) for _ in range(2000)]
    assert sum(may_have(node_id, "81.2.3.4", Scope.IPV4) for node_id in chosen) <= 1

    async def story(net: Net) -> None:
        node = net.node("82.2.3.4")
        assert may_have(node.node_id, "82.2.3.4", Scope.IPV4)
        saved = SavedScope(b"x" * 20, "82.2.3.4", ())
        assert net.node("82.2.3.4", 4471, node_id=saved.node_id).node_id != saved.node_id, "nor by a file"
        impostor = Contact(node.node_id[:-1] + b"\0", Address("83.2.3.4", 4470))
        assert not node.table.answered(impostor, 0.0)
        assert node.table.answered(bound("83.2.3.4"), 0.0)

    tell(story, scope=Scope.IPV4)


def test_27_who_joins_fills_the_far_buckets_too() -> None:
    async def story(net: Net) -> None:
        nodes = [net.node(f"10.0.0.{number}") for number in range(1, 101)]
        ids = {node.node_id for node in nodes}
        for node in nodes:
            near = sorted(nodes, key=lambda other: distance(other.node_id, node.node_id))[1:21]
            for other in [*near, *net.rng.sample(nodes, 20)]:
                node.table.answered(contact_of(other), 0.0)
        newcomer = net.node("10.0.1.1")
        assert await join(newcomer, [address_of(nodes[0])])
        await fill_buckets(newcomer)
        for index, size in newcomer.table.sizes().items():
            there = sum(distance(node_id, newcomer.node_id).bit_length() == index for node_id in ids)
            assert size >= min(REFRESH_K, there), index
        only_own_id = net.node("10.0.1.2")
        await find_neighbours(only_own_id, [contact_of(nodes[0])])
        assert newcomer.contacts > only_own_id.contacts

    tell(story)


def test_27_a_request_of_others_refreshes_nothing() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1", node_id=OWN), net.stranger("10.0.0.2")
        know(node, *(in_bucket(160, number) for number in range(3)))
        before = node.table.stale(1000.0, 900.0)
        stranger.ask(address_of(node), Method.FIND_NODE, {TARGET_KEY: b"\xff" * 20})
        await asyncio.sleep(1)
        assert len(stranger.heard) == 1
        assert node.table.stale(1000.0, 900.0) == before
        assert 160 in before

    tell(story)


@pytest.mark.parametrize("length", [0, 1, 19, 21, 40])
def test_03_no_id_of_another_length_enters(length: int) -> None:
    with pytest.raises(ValueError, match="20 bytes"):
        Table(bytes(length), Scope.LAN)
