"""Defects of kademlia 2.2.3 and rpcudp 5.0.1 at the datagram: each shown in the stock class, and ours without."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import pytest
import umsgpack
from kademlia.crawling import RPCFindResponse
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol
from kademlia.storage import ForgetfulStorage
from rpcudp.protocol import RPCProtocol

from dhtshare.dht.calls import SENDINGS
from dhtshare.dht.compact import pack_address
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.messages import TARGET_KEY, Body, Method, NoAnswer
from dhtshare.dht.sockets import UdpTransport
from dhtshare.dht.wire import AMPLIFICATION, MAX_DATAGRAM_BYTES, message_id
from dhtshare.errors import LocalProtocolError
from dhtshare.network import Address, Scope, make_address
from tests.unit.dht.dht_fakes import bound, in_bucket
from tests.unit.dht.virtual import NETWORK, Net, address_of, contact_of, know, response, tell

ID = b"i" * 20


class Sent:
    """A transport for stock protocols."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Any]] = []

    def sendto(self, data: bytes, address: Any) -> None:
        self.datagrams.append((data, address))


def stock(node_id: bytes = b"\1" * 20) -> KademliaProtocol:
    protocol = KademliaProtocol(Node(node_id), ForgetfulStorage(), 20)
    protocol.transport = Sent()
    return protocol


def stock_request(method: str, *arguments: object) -> bytes:
    return b"\0" + bytes(20) + umsgpack.packb([method, arguments])


@contextmanager
def task_faults(loop: asyncio.AbstractEventLoop) -> Iterator[list[type]]:
    """The kinds of exceptions that nobody retrieved."""
    seen: list[type] = []
    loop.set_exception_handler(lambda _loop, context: seen.append(type(context.get("exception"))))
    yield seen


JUNK = [
    b"",
    b"\0",
    b"\xff" * 60,
    bytes(21) + b"\xc1",  # reserved code
    bytes(21) + b"\x92\xa4ping",  # cut short
    bytes(21) + b"\x91" * 900,  # nested
    bytes(21) + umsgpack.packb("no list"),
    bytes(21) + umsgpack.packb(["ping", 5]),
    bytes(21) + umsgpack.packb([{}, []]),
    bytes(21) + umsgpack.packb(["ping", ["no bytes"]]),
]


def test_03_ids_that_are_no_ids_stop_nothing() -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        stock().rpc_ping(("10.0.0.9", 1), b"\xff" * 21)
    assert stock().rpc_ping(("10.0.0.9", 1), b"short"), "a short id is welcome"

    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        for bad in (b"", b"\1", b"x" * 19, b"x" * 21, "text of 20 characters", 7, None, [ID], {}):
            raw = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: 1, 4: bad, 6: {}, 7: bytes(400)})
            stranger.send(raw, address_of(node))
        await asyncio.sleep(1)
        assert stranger.heard == []
        assert node.rpc.counters.malformed == 9
        stranger.ask(address_of(node))
        await asyncio.sleep(1)
        assert len(stranger.heard) == 1, "and it still answers"

    tell(story)


async def test_13_stock_takes_an_answer_from_anybody_and_leaks_cancelled_calls() -> None:
    protocol = stock()
    future = protocol.ping(("10.0.0.2", 1), ID)
    (identifier,) = protocol._outstanding
    protocol._accept_response(identifier, b"forged", ("6.6.6.6", 6))
    assert await future == (True, b"forged")
    protocol.ping(("10.0.0.2", 1), ID).cancel()
    assert len(protocol._outstanding) == 1
    _, timer = protocol._outstanding.popitem()[1]
    timer.cancel()


def test_13_an_answer_counts_from_the_asked_address_only_and_cancelled_calls_are_gone() -> None:
    async def story(net: Net) -> None:
        node, asked, forger = net.node("10.0.0.1"), net.stranger("10.0.0.2"), net.stranger("10.6.6.6")
        other_port = net.stranger("10.0.0.2", 4471)
        call = asyncio.create_task(node.ping(Contact(UNKNOWN_ID, asked.address)))
        await asyncio.sleep(0.1)
        identifier = message_id(asked.heard[0])
        for liar in (forger, other_port):
            liar.send(response(identifier, b"f" * 20), address_of(node))
        await asyncio.sleep(0.1)
        assert not call.done()
        assert node.rpc.counters.wrong_source == 2
        asked.send(response(identifier, ID), address_of(node))
        assert (await call).node_id == ID
        assert len(node.table) == 1

        abandoned = asyncio.create_task(node.ping(Contact(UNKNOWN_ID, asked.address)))
        await asyncio.sleep(0.1)
        abandoned.cancel()
        await asyncio.sleep(0)
        assert node.rpc._calls == {}
        asked.send(response(message_id(asked.heard[-1]), ID), address_of(node))
        await asyncio.sleep(30)
        assert node.rpc.counters.unknown_reply == 1
        assert node.rpc.counters.timeouts == 0
        assert abandoned.cancelled()

    tell(story)


async def test_14_stock_raises_in_tasks_that_nobody_awaits() -> None:
    loop = asyncio.get_running_loop()
    with task_faults(loop) as faults:
        protocol = stock()
        for data in JUNK:
            protocol.datagram_received(data, ("10.0.0.9", 1))
        for _ in range(5):
            await asyncio.sleep(0)
        import gc

        gc.collect()
        loop.set_exception_handler(None)
    assert len(faults) >= 5


def test_14_junk_costs_a_counter_and_no_task() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        junk = [*JUNK, *(NETWORK + data for data in JUNK), *(NETWORK + b"\1" + data[1:] for data in JUNK)]
        for data in junk:
            stranger.send(data, address_of(node))
        await asyncio.sleep(1)
        counters = node.rpc.counters
        assert counters.datagrams_in == len(junk)
        assert counters.malformed + counters.unknown_reply + counters.unsupported == len(junk)
        assert stranger.heard == []
        assert len(asyncio.all_tasks()) == 1

    tell(story)


def test_15_one_lost_datagram_costs_a_retransmission_and_evicts_nobody() -> None:
    assert RPCProtocol()._wait_timeout == 5, "stock waits so long for each, sends once, and evicts"

    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        know(node, peer)
        await node.ping(contact_of(peer))
        net.datagrams.silence(address_of(peer))
        call = asyncio.create_task(node.ping(contact_of(peer)))
        began = net.loop.time()
        await asyncio.sleep(0.1)
        net.datagrams.silence(address_of(peer), silent=False)
        assert (await call).node_id == peer.node_id
        assert net.loop.time() - began < 1.0
        assert node.rpc.counters.retransmissions == 1
        assert node.contacts == 1

        net.datagrams.silence(address_of(peer))
        with pytest.raises(NoAnswer):
            await node.ping(contact_of(peer))
        assert node.rpc.counters.timeouts == 1
        assert node.contacts == 1, "one call without answer evicts nobody either"

    tell(story)


def test_17_nobody_can_name_a_host_or_an_address_that_we_should_not_dial() -> None:
    (named,) = RPCFindResponse((True, [(ID, "printer.example", 80)])).get_node_list()
    assert named.ip == "printer.example", "stock would resolve it in the event loop"

    async def story(net: Net) -> None:
        node, stranger = net.node("81.2.3.4"), net.stranger("82.2.3.4")
        hosts = ["10.0.0.9", "192.168.1.1", "127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", "100.64.0.1"]
        good = bound("83.2.3.4")
        bad = [bound(host) for host in hosts]
        packed = b"".join(contact.node_id + pack_address(contact.address) for contact in [*bad, good])
        unbound = b"u" * 20 + pack_address(make_address("84.2.3.4", 4470))
        low_port = bound("85.2.3.4", 53)
        packed += unbound + low_port.node_id + pack_address(low_port.address)
        own = bound("82.2.3.4")
        stranger.replies_with(lambda identifier: response(identifier, own.node_id, contacts4=packed))
        reply = await node.rpc.call(own, Method.FIND_NODE, {TARGET_KEY: ID})
        assert reply.contacts == (good,)
        with pytest.raises(ValueError, match="not an IP literal"):
            pack_address(Address("printer.example", 80))

    tell(story, scope=Scope.IPV4)


def test_18_a_request_that_does_not_fit_says_so_at_once_and_answers_fit_by_parts() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        with pytest.raises(LocalProtocolError):
            await node.rpc.call(contact_of(peer), Method.PING, {3: bytes(9000)})
        assert node.rpc._calls == {}
        bodies: list[Body] = [{2: bytes([part]) * 1000} for part in range(16)]
        peer.rpc.handle(40, lambda _request: list(bodies), needs_proof=True)
        reply = await node.rpc.call(contact_of(peer), 40, {}, prove=True)
        assert reply.complete
        assert list(reply.parts) == bodies
        assert peer.rpc.counters.oversized == 0

    tell(story)


@pytest.mark.parametrize("scope", [Scope.IPV4, Scope.IPV6])
def test_18_twenty_contacts_fit_one_datagram_in_both_families(scope: Scope) -> None:
    async def story(net: Net) -> None:
        hosts = [f"81.{number}.3.4" if scope is Scope.IPV4 else f"2a00:{number:x}::1" for number in range(1, 200)]
        node, stranger = net.node(hosts[0]), net.stranger(hosts[-1])
        for host in hosts[1:-1]:
            node.table.answered(bound(host), 0.0)
        stranger.ask(address_of(node), Method.FIND_NODE, {TARGET_KEY: ID}, client=True)
        await asyncio.sleep(1)
        (reply,) = stranger.replies
        width = 26 if scope is Scope.IPV4 else 38
        assert len(reply.contacts4 + reply.contacts6) == 20 * width
        assert len(stranger.heard[0]) <= MAX_DATAGRAM_BYTES

    tell(story, scope=scope)


async def test_19_each_family_has_its_own_socket_and_no_address_is_mapped() -> None:
    sockets = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, 0))
        sockets.append(sock)
    heard: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
    places = [make_address(sock.getsockname()[0], sock.getsockname()[1]) for sock in sockets]
    transport = UdpTransport(sockets, lambda data, sender: heard.put_nowait((data, sender)))
    try:
        for place in places:
            transport.sendto(str(place).encode(), place)
        got = [await asyncio.wait_for(heard.get(), 5) for _ in places]
    finally:
        transport.close()
    assert sorted(got) == sorted((str(place).encode(), place) for place in places)
    assert make_address("::ffff:10.1.2.3", 1) == Address("10.1.2.3", 1), "and a mapped literal is the IPv4 address"


def test_20_one_forged_datagram_draws_at_most_one_of_three_times_its_size() -> None:
    protocol = stock()
    for number in range(30):
        protocol.storage[bytes([number]) * 20] = bytes(1400)

    async def stock_floods() -> None:
        protocol.rpc_ping(("10.9.9.9", 9), b"n" * 20)
        await asyncio.sleep(0)
        for future, timer in protocol._outstanding.values():
            timer.cancel()
            future.cancel()
        await asyncio.sleep(0)

    asyncio.run(stock_floods())
    assert len(protocol.transport.datagrams) >= 30, "stock pushes its records at whoever is said to have pinged"

    async def story(net: Net) -> None:
        node, victim = net.node("81.2.3.4"), net.stranger("82.2.3.4")
        for number in range(1, 120):
            node.table.answered(bound(f"83.{number}.0.1"), 0.0)
        node.rpc.handle(40, lambda request: [{2: bytes(1000)}] * 16)
        for size in (60, 100, 200, 300, 399, 400, 800, 1200):
            for method in (Method.PING, Method.FIND_NODE, 40, 77):
                victim.heard.clear()
                fields = {0: 1, 2: int(method), 4: ID, 6: {2: ID}}
                short = NETWORK + b"\0" + bytes(20) + msgpack.packb(fields)
                padding = max(0, size - len(short) - (3 if size - len(short) < 256 else 4))
                forged = NETWORK + b"\0" + bytes(20) + msgpack.packb({**fields, 7: bytes(padding)})
                victim.send(forged, address_of(node))
                await asyncio.sleep(60)  # and nothing comes later
                assert len(victim.heard) <= 1, (size, method)
                assert sum(map(len, victim.heard)) <= AMPLIFICATION * len(forged), (size, method)

    tell(story, scope=Scope.IPV4)


def test_22_a_misspelt_name_is_an_attribute_error() -> None:
    assert callable(stock().no_such_thing), "stock makes a remote call of it"

    async def story(net: Net) -> None:
        rpc = net.node("10.0.0.1").rpc
        assert not hasattr(rpc, "no_such_thing")
        with pytest.raises(AttributeError, match="no_such_thing"):
            rpc.no_such_thing  # noqa: B018

    tell(story)


@pytest.mark.parametrize(
    "name",
    ["rpc_ping", "rpc_store", "rpc_find_node", "rpc_find_value", "rpc_stun", "welcome_if_new", "get_refresh_ids"],
)
def test_22_no_stock_method_of_the_network_is_left_open(name: str) -> None:
    async def story(net: Net) -> None:
        rpc = net.node("10.0.0.1").rpc
        method = getattr(rpc, name)
        arguments = [object()] * (method.__code__.co_argcount - 1)
        with pytest.raises(LocalProtocolError, match="adapter"):
            method(*arguments)

    tell(story)


@pytest.mark.parametrize("name", ["call_ping", "call_store", "call_find_node", "call_find_value", "_solve_datagram"])
def test_22_no_stock_call_is_left_open(name: str) -> None:
    async def story(net: Net) -> None:
        method = getattr(net.node("10.0.0.1").rpc, name)
        with pytest.raises(LocalProtocolError, match="adapter"):
            await method(*[object()] * (method.__code__.co_argcount - 1))

    tell(story)


def _udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def test_30_stock_loses_its_socket_to_a_port_that_is_none() -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: None)
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    (named,) = RPCFindResponse((True, [(ID, "127.0.0.1", 70000)])).get_node_list()
    transport.sendto(b"x", (named.ip, named.port))
    assert transport.is_closing()
    await asyncio.sleep(0)
    loop.set_exception_handler(None)


@pytest.mark.parametrize("port", [70000, -1, 0, 1 << 40])
async def test_30_no_port_kills_the_socket(port: int) -> None:
    sock = _udp()
    place = Address(*sock.getsockname())
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    transport = UdpTransport([sock], lambda data, sender: heard.put_nowait(data))
    try:
        transport.sendto(b"lost", Address("127.0.0.1", port))
        assert transport.send_errors == 1
        transport.sendto(b"still there", place)
        assert await asyncio.wait_for(heard.get(), 5) == b"still there"
    finally:
        transport.close()


def test_12_an_answer_of_thousands_of_contacts_is_no_answer() -> None:
    many = [(random.Random(number).randbytes(20), "10.0.0.1", 1000 + number) for number in range(2000)]
    assert len(RPCFindResponse((True, many)).get_node_list()) == 2000, "stock takes as many as fit 64 KB"

    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        packed = b"".join(in_bucket(100, number).node_id + b"\n\0\0\1\4\0" for number in range(2000))
        for count in (21, 40, 2000):
            fields = {0: 1, 2: {}, 3: packed[: 26 * count], 4: ID, 7: 0}
            raw = msgpack.packb(fields)
            stranger.replies_with(lambda identifier, raw=raw: NETWORK + b"\1" + identifier + raw)
            with pytest.raises(NoAnswer):
                await node.rpc.call(Contact(UNKNOWN_ID, stranger.address), Method.FIND_NODE, {TARGET_KEY: ID})
        assert node.rpc.counters.malformed == 3 * SENDINGS

    tell(story)


def test_04_two_forms_of_one_number_are_not_two_ids() -> None:
    protocol = stock()
    table = protocol.router
    for node_id in (b"\1", b"\0\1"):
        table.add_contact(Node(node_id, "10.0.0.9", 9))
    with pytest.raises(TypeError):
        table.find_neighbors(Node(b"\2"))

    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        for number in range(3):
            know(node, in_bucket(150, number))
        for short in (b"\1", b"\0\1"):
            raw = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: 1, 4: short, 6: {}, 7: bytes(400)})
            stranger.send(raw, address_of(node))
        await asyncio.sleep(0.5)
        for _ in range(10):
            stranger.ask(address_of(node), Method.FIND_NODE, {TARGET_KEY: ID}, client=True)
        await asyncio.sleep(0.5)
        assert len(stranger.heard) == 10
        assert all(len(reply.contacts4) == 3 * 26 for reply in stranger.replies)

    tell(story)


def test_29_stop_fails_what_is_under_way_at_once() -> None:
    async def story(net: Net) -> None:
        node = net.node("10.0.0.1")
        calls = [
            asyncio.create_task(node.ping(Contact(UNKNOWN_ID, Address(f"10.9.9.{number}", 9)))) for number in range(5)
        ]
        await asyncio.sleep(0.1)
        began = net.loop.time()
        node.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NoAnswer] * 5
        with pytest.raises(NoAnswer):
            await node.ping(Contact(UNKNOWN_ID, Address("10.9.9.9", 9)))
        assert net.loop.time() == began
        assert node.rpc._calls == {}

    tell(story)


async def test_29_stock_leaves_callers_hanging() -> None:
    protocol = stock()
    future = protocol.ping(("10.0.0.2", 1), ID)
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    assert not future.done()
    for _, timer in protocol._outstanding.values():
        timer.cancel()
