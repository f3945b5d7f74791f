"""Defects measured in kademlia 2.2.3's crawl: each shown in the stock class, and ours without."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgpack
import pytest
from kademlia.crawling import NodeSpiderCrawl, RPCFindResponse
from kademlia.network import Server
from kademlia.node import Node, NodeHeap

from dhtshare.dht.compact import pack_address
from dhtshare.dht.contact import Contact, distance
from dhtshare.dht.lookup import MAX_REQUESTS_PER_PATH, MAX_VIEW, Lookup
from dhtshare.dht.messages import Method, Reply
from dhtshare.dht.routing import K
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.walk import PATHS
from dhtshare.dht.wire import RequestMessage, decode_request, message_id
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope
from tests.unit.dht.virtual import NETWORK, Net, Stranger, address_of, contact_of, response, tell

TARGET = bytes(20)
OTHER_ID = b"o" * 20


class OneAnswer:
    """A stock protocol whose every call is answered so."""

    def __init__(self, answer: Callable[[Node], tuple[bool, object]]) -> None:
        self._answer = answer
        self.calls = 0

    async def call_find_node(self, peer: Node, node: Node) -> tuple[bool, object]:
        self.calls += 1
        return self._answer(peer)


def crawl(protocol: OneAnswer, peers: int = 1) -> NodeSpiderCrawl:
    first = [Node(b"\xff" * 19 + bytes([number]), "10.0.0.2", number) for number in range(1, peers + 1)]
    return NodeSpiderCrawl(protocol, Node(TARGET), first, K, 3)


def closer(number: int, depth: int) -> bytes:
    """An id nearer to TARGET the deeper; a hostile node may claim any in the LAN scope."""
    return (1 << (159 - depth % 150)).to_bytes(20, "big")[:-4] + number.to_bytes(4, "big")


MALFORMED: dict[str, object] = {
    "no map": [1, 2],
    "text": "text",
    "nothing": None,
    "no version": {2: {}, 4: OTHER_ID, 7: 0},
    "a body that is none": {0: 1, 2: 7, 4: OTHER_ID, 7: 0},
    "a torn contact": {0: 1, 2: {}, 3: bytes(25), 4: OTHER_ID, 7: 0},
    "contacts of text": {0: 1, 2: {}, 3: "x" * 26, 4: OTHER_ID, 7: 0},
    "a short id": {0: 1, 2: {}, 4: b"id", 7: 0},
    "no id": {0: 1, 2: {}, 7: 0},
    "part 3 of 2": {0: 1, 2: {}, 4: OTHER_ID, 7: 0, 9: 3, 11: 2},
    "a key that is none": {0: 1, "x": 1, 2: {}, 4: OTHER_ID, 7: 0},
    "a clock that is none": {0: 1, 2: {}, 4: OTHER_ID, 7: "now"},
    "from the future": {0: 1, 2: {}, 4: OTHER_ID, 7: 0, 1000: 1},
}


@pytest.mark.parametrize(
    "answer", [["x"], [(b"id",)], [(1, 2, 3)], {"no": "value"}, 7, [(b"\1", "10.0.0.3", 1), (b"\0\1", "10.0.0.4", 1)]]
)
async def test_05_one_malformed_answer_ends_a_stock_crawl(answer: object) -> None:
    spider = crawl(OneAnswer(lambda peer: (True, answer)), 2)
    with pytest.raises((TypeError, AttributeError, ValueError, KeyError)):
        found = await spider.find()
        RPCFindResponse((True, answer)).get_value()  # an answer taken for a value
        assert found is None


def settled(net: Net, count: int) -> list[ScopeDht]:
    """Nodes of which each knows many others."""
    nodes = [net.node(f"10.0.{number >> 7}.{number & 127}") for number in range(1, count + 1)]
    for node in nodes:
        near = sorted(nodes, key=lambda other: distance(other.node_id, node.node_id))[1 : K + 1]
        for other in [*near, *net.rng.sample(nodes, min(count, 30))]:
            node.table.answered(contact_of(other), 0.0)
    return nodes


def closest_of(nodes: list[ScopeDht], target: bytes, count: int = K) -> list[bytes]:
    return sorted((node.node_id for node in nodes), key=lambda node_id: distance(node_id, target))[:count]


@pytest.mark.parametrize("name", MALFORMED)
def test_05_a_malformed_answer_costs_its_sender_only(name: str) -> None:
    async def story(net: Net) -> None:
        nodes = settled(net, 30)
        liar = net.stranger("10.9.9.9")
        raw = msgpack.packb(MALFORMED[name])
        liar.replies_with(lambda identifier: NETWORK + b"\1" + identifier + raw)
        asker = nodes[0]
        asker.table.answered(Contact(TARGET[:-1] + b"\1", liar.address), 0.0)  # the very closest, it seems
        result = await asker.walk(TARGET)
        assert len(liar.heard) >= 1
        expected = closest_of([node for node in nodes if node is not asker], TARGET)
        assert [contact.node_id for contact in result.closest] == expected
        assert result.failed == 1

    tell(story)


def test_05_a_body_that_the_method_cannot_read_costs_its_sender_only() -> None:
    async def story(net: Net) -> None:
        nodes = settled(net, 30)
        bad = nodes[5].node_id

        def reads(contact: Contact, reply: Reply) -> None:
            if contact.node_id == bad:
                raise MalformedError("no such body")

        result = await nodes[0].walk(bad, on_reply=reads)
        assert result.lied == 1
        assert bad not in [contact.node_id for contact in result.closest]
        assert len(result.closest) == K

    tell(story)


def hostile(net: Net, host: str, budget: dict[str, int]) -> Stranger:
    """One machine, always naming twenty more ids of its own that are closer."""
    stranger = net.stranger(host)

    def answer(data: bytes, sender: Address) -> None:
        request: RequestMessage = decode_request(data)
        budget["requests"] += 1
        depth = budget["requests"]
        contacts = b"".join(
            closer(20 * depth + number, depth) + pack_address(Address(host, 4470)) for number in range(20)
        )
        assert request.method == Method.FIND_NODE
        stranger.send(response(message_id(data), OTHER_ID, contacts4=contacts), sender)

    stranger.answer = answer
    return stranger


async def test_11_stock_is_led_on_for_as_long_as_somebody_likes_each_round_nested_in_the_last() -> None:
    depths: list[int] = [0]

    class Nested(NodeSpiderCrawl):
        async def find(self) -> list[Node]:
            depths.append(depths[-1] + 1)
            found: list[Node] = await super().find()
            return found

    def lead_on(peer: Node) -> tuple[bool, object]:
        if protocol.calls > 140:  # a stock crawl ends with a RecursionError else
            return True, []
        ids = [closer(number + 20 * protocol.calls, protocol.calls) for number in range(20)]
        return True, [(node_id, "10.6.6.6", 1) for node_id in ids]

    protocol = OneAnswer(lead_on)
    await Nested(protocol, Node(TARGET), [Node(b"\xff" * 20, "10.6.6.6", 1)], K, 3).find()
    assert protocol.calls > 140
    assert max(depths) > 40


def test_11_a_lookup_led_on_for_ever_ends_at_its_limit() -> None:
    async def story(net: Net) -> None:
        asker = net.node("10.0.0.1")
        served = {"requests": 0}
        swarm: dict[Address, bytes] = {}

        def answer_as(stranger: Stranger) -> Callable[[bytes, Address], None]:
            def answer(data: bytes, sender: Address) -> None:
                served["requests"] += 1
                depth = served["requests"]
                named = b""
                for number in range(20):
                    address = Address(f"10.6.{depth}.{number}", 4470)
                    swarm[address] = closer(20 * depth + number, depth)
                    fresh = net.stranger(*address)
                    fresh.answer = answer_as(fresh)
                    named += swarm[address] + pack_address(address)
                stranger.send(response(message_id(data), swarm[stranger.address], contacts4=named), sender)

            return answer

        for number in range(2):
            first = net.stranger("10.6.6.6", 4470 + number)
            swarm[first.address] = b"\xff" * 19 + bytes([number])
            first.answer = answer_as(first)
            asker.table.answered(Contact(swarm[first.address], first.address), 0.0)
        result = await asker.walk(TARGET)
        assert MAX_REQUESTS_PER_PATH <= served["requests"] <= PATHS * MAX_REQUESTS_PER_PATH + 8
        assert not result.complete, "and it says that it was not done"
        assert asker.rpc._calls == {}

    tell(story)


def test_11_one_machine_under_many_ids_is_asked_once_for_each_and_believed_for_one() -> None:
    async def story(net: Net) -> None:
        asker, budget = net.node("10.0.0.1"), {"requests": 0}
        liar = hostile(net, "10.6.6.6", budget)
        asker.table.answered(Contact(OTHER_ID, liar.address), 0.0)
        result = await asker.walk(TARGET)
        assert [contact.node_id for contact in result.closest] in ([], [OTHER_ID])
        assert budget["requests"] <= PATHS * MAX_REQUESTS_PER_PATH
        assert result.lied > 0

    tell(story)


def test_12_a_view_does_not_grow_with_what_is_named() -> None:
    heap = NodeHeap(Node(TARGET), K)
    heap.push([Node(random.Random(number).randbytes(20)) for number in range(300)])
    assert len(heap.heap) == 300, "stock keeps and compares all of them, each with each"

    rng = random.Random(1)

    def some(count: int) -> list[Contact]:
        return [Contact(rng.randbytes(20), Address("10.0.0.9", rng.randrange(1024, 60000))) for _ in range(count)]

    lookup = Lookup(TARGET, b"\xff" * 20, some(10), scope=Scope.LAN, k=K, paths=1)
    while requests := lookup.next_requests():
        for contact in requests:
            lookup.answered(contact, some(500))
    assert lookup.requests <= MAX_REQUESTS_PER_PATH
    assert all(len(path.view) <= MAX_VIEW for path in lookup._paths)


def test_31_the_dead_are_not_among_the_closest() -> None:
    async def story(net: Net) -> None:
        nodes = settled(net, 120)
        for node in nodes:
            for other in nodes:
                node.table.answered(contact_of(other), 0.0)
        dead = set(net.rng.sample([node.node_id for node in nodes[1:]], 36))
        for node in nodes:
            if node.node_id in dead:
                net.datagrams.silence(address_of(node))
        alive = [node for node in nodes[1:] if node.node_id not in dead]
        for number in range(5):
            target = random.Random(number).randbytes(20)
            result = await nodes[0].walk(target)
            found = [contact.node_id for contact in result.closest]
            assert not dead & set(found)
            assert found == closest_of([node for node in alive if node.node_id in found], target)
            assert set(closest_of(alive, target, 8)) <= set(found)

    tell(story)


async def test_31_stock_returns_them() -> None:
    dead = Node(TARGET[:-1] + b"\1", "10.0.0.66", 66)
    asked: list[bytes] = []

    def answer(peer: Node) -> tuple[bool, object]:
        asked.append(peer.id)
        if peer.id == dead.id:
            return False, None
        # each of the living names the dead one, and somebody new, so that the crawl goes on
        return True, [tuple(dead), (bytes(18) + bytes([1, len(asked)]), "10.0.0.3", len(asked))][
            : 2 if len(asked) < 9 else 1
        ]

    found = await crawl(OneAnswer(answer)).find()
    assert asked.count(dead.id) == 1
    assert dead.id in [node.id for node in found]


async def test_07_stock_says_stored_where_nothing_was() -> None:
    server = Server()

    class Refuses(OneAnswer):
        router = None

        async def call_store(self, *_arguments: object) -> tuple[bool, None]:
            return False, None

    protocol = Refuses(lambda peer: (True, []))
    protocol.router = type("Router", (), {"find_neighbors": lambda self, node: [Node(b"\xff" * 20, "10.0.0.2", 2)]})()
    server.protocol = protocol
    assert await server.set_digest(TARGET, b"v") is True
    protocol._answer = lambda peer: (False, None)
    with pytest.raises(ValueError, match="max"):
        await server.set_digest(TARGET, b"v")


def test_walks_end_when_they_are_cancelled() -> None:
    """Row 13 again, for a whole lookup: nothing of it is left under way."""

    async def story(net: Net) -> None:
        nodes = settled(net, 30)
        walk = asyncio.create_task(nodes[0].walk(TARGET))
        await asyncio.sleep(0.015)
        assert nodes[0].rpc._calls
        walk.cancel()
        with pytest.raises(asyncio.CancelledError):
            await walk
        assert nodes[0].rpc._calls == {}

    tell(story)
