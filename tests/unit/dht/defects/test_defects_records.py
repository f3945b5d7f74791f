"""Defects measured in kademlia 2.2.3's storage, copies and life of a node: each shown in stock, and ours without."""

from __future__ import annotations

import asyncio
import pickle
import random
from typing import Any

import pytest
from kademlia.network import Server
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol
from kademlia.storage import ForgetfulStorage
from kademlia.utils import digest

from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Code, Failure, Method, Refused
from dhtshare.dht.records.limits import ENTRY_TTL, PROVIDER_TTL, StoreLimits
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.records.provider import ProviderClaim
from dhtshare.dht.records.store import RecordStore
from dhtshare.dht.records.stores import StoreProviders
from dhtshare.dht.routing import Table
from dhtshare.dht.saved import SavedScope, decode_state, encode_state
from dhtshare.dht.simulation import VirtualLoop, run_virtual
from dhtshare.dht.wire import decode_request
from dhtshare.errors import MalformedError
from dhtshare.network import Address, Scope
from tests.sim.records_network import NETWORK, RecordsNetwork, content
from tests.unit.dht.dht_fakes import in_bucket

KEY = b"k" * 20


def tell(story: Any, **options: Any) -> None:
    async def main(loop: VirtualLoop) -> None:
        net = RecordsNetwork(loop, **options)
        async with net.living():
            await story(net)

    run_virtual(main)


class Stores:
    """A stock protocol that counts the stores it sends."""

    def __init__(self, records: int) -> None:
        self.protocol = KademliaProtocol(Node(b"\1" * 20), ForgetfulStorage(), 20)
        for number in range(records):
            self.protocol.storage[digest(number)] = b"v"
        self.sent: list[bytes] = []

        async def call_store(node: Node, key: bytes, value: object) -> None:
            self.sent.append(key)

        self.protocol.call_store = call_store


async def test_06_stock_hands_records_to_whoever_says_hello() -> None:
    stock = Stores(300)
    stock.protocol.welcome_if_new(Node(b"\2" * 20, "10.0.0.2", 2))
    await asyncio.sleep(0)
    assert len(stock.sent) == 300


def test_06_nobody_is_handed_a_record_that_it_did_not_ask_for() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        for number in range(30):
            net.people[0].share(number, ("musica", f"w{number}"))
        for number in range(30):
            await net.people[0].announcer.receipt(content(number))
        holder = next(person for person in net.people[1:] if person.holding.store.counts().entries)
        newcomer = await net.add(joins=False, pulls=False)
        seen: list[int] = []
        receive = newcomer.dht.rpc.datagram_received

        def listens(data: bytes, sender: Address) -> None:
            if data[4] == 0:
                seen.append(decode_request(data).method)
            receive(data, sender)

        net.datagrams.attach(newcomer.address, listens)
        for person in net.people[:-1]:
            await newcomer.dht.rpc.call(net.contact(person), Method.PING, {}, prove=True)
        await asyncio.sleep(120)
        assert newcomer.address in [contact.address for contact in holder.dht.table]
        stores = {RecordMethod.STORE_ENTRIES, RecordMethod.STORE_PROVIDERS, RecordMethod.WITHDRAW}
        assert seen, "they did get to know it"
        assert not stores & set(seen)

    tell(story)


def test_07_a_publish_that_nobody_took_has_no_quorum() -> None:
    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        publisher = net.people[0]
        assert publisher.dht.contacts >= 5
        for person in net.people[1:]:
            for method in (RecordMethod.STORE_ENTRIES, RecordMethod.STORE_PROVIDERS):
                person.dht.rpc.handle(method, lambda _request: Failure(Code.REFUSED), needs_proof=True)
        publisher.share(7, ("musica",))
        receipt = await publisher.announcer.receipt(content(7))
        assert receipt.acks == 0
        assert not receipt.quorum

    tell(story)


def test_08_two_providers_stand_side_by_side_and_no_stranger_overwrites() -> None:
    stock = KademliaProtocol(Node(b"\1" * 20), ForgetfulStorage(), 20)
    for value in ("peerA:1", "peerB:2", "evil:666"):
        stock.storage[KEY] = value
    assert stock.storage[KEY] == "evil:666"

    async def story(net: RecordsNetwork) -> None:
        await net.add(6)
        for number in (1, 2):
            net.people[number].share(7, ("musica",))
            await net.people[number].announcer.receipt(content(7))
        evil, holder = net.people[3], net.people[4]
        evil.dht.rpc.peers.forget_token(holder.address)
        held = holder.holding.store.counts()
        body = StoreProviders((KEY,), ProviderClaim(666, b"evilevil")).body()
        evil.dht.rpc.peers.token = lambda address, now: b""  # type: ignore[method-assign]
        with pytest.raises(Refused) as refused:
            await evil.dht.rpc.call(net.contact(holder), RecordMethod.STORE_PROVIDERS, body)
        assert refused.value.code == Code.UNPROVED
        assert holder.holding.store.counts() == held
        found = await net.people[5].providers(content(7))
        assert {provider.address.host for provider in found} == {net.people[n].address.host for n in (1, 2)}

    tell(story)


def test_08_memory_is_bounded_and_the_answer_says_full() -> None:
    async def story(net: RecordsNetwork) -> None:
        holder = await net.add(limits=StoreLimits(records=10))
        peer = await net.add(joins=True)
        keys = tuple(random.Random(number).randbytes(20) for number in range(30))
        for start in range(0, 30, 10):
            body = StoreProviders(keys[start : start + 10], ProviderClaim(5000, b"peerpeer")).body()
            await peer.dht.rpc.call(net.contact(holder), RecordMethod.STORE_PROVIDERS, body, prove=True)
        assert 0 < holder.holding.store.counts().providers <= 10

    tell(story)


def test_16_holders_prolong_nothing() -> None:
    stock = ForgetfulStorage()
    stock[KEY] = b"v"
    birthday = stock.data[KEY][0]
    for key, value in stock.iter_older_than(-1):
        stock[key] = value  # what Server._refresh_table does by way of the network
    assert stock.data[KEY][0] >= birthday, "a stock holder's copy is always young"

    async def story(net: RecordsNetwork) -> None:
        await net.add(8)
        publisher, searcher = net.people[0], net.people[7]
        publisher.share(7, ("musica",))
        await publisher.announcer.receipt(content(7))
        assert await searcher.search("musica")
        publisher.die()
        await asyncio.sleep(PROVIDER_TTL + 60)
        assert await searcher.providers(content(7)) == []
        assert len(await searcher.search("musica")) == 1
        await asyncio.sleep(ENTRY_TTL - PROVIDER_TTL)
        assert await searcher.search("musica") == []

    tell(story)


def test_23_a_state_file_is_read_and_never_run() -> None:
    ran: list[str] = []

    class Runs:
        def __reduce__(self) -> Any:
            return ran.append, ("code from a file",)

    with pytest.raises(MalformedError):
        decode_state(pickle.dumps({"ksize": 20, "neighbors": Runs()}), NETWORK)
    assert ran == []
    contacts = tuple(in_bucket(150, number) for number in range(300))
    raw = encode_state(NETWORK, {Scope.LAN: SavedScope(b"i" * 20, None, contacts)})
    assert decode_state(raw, NETWORK)[Scope.LAN].contacts == contacts, "hundreds, not the 20 neighbours of stock"


def test_28_an_empty_part_is_still_a_part() -> None:
    class Empty(ForgetfulStorage):
        def __len__(self) -> int:
            return 0

    mine = Empty()
    assert Server(storage=mine).storage is not mine

    async def story(net: RecordsNetwork) -> None:
        person = await net.add()
        assert len(person.dht.table) == 0
        assert bool(person.dht.table)
        assert bool(person.holding.store)
        table = Table(person.dht.node_id, Scope.LAN)
        person.dht.rpc.moved(person.dht.node_id, table)
        assert person.dht.table is table
        assert person.dht.rpc.router is table
        assert bool(RecordStore(NETWORK, Scope.LAN, random.Random(1)))

    tell(story)


def test_09_an_answer_says_who_answered() -> None:
    """Stock answers to finds carry no id, so an id that is only claimed is never found out."""
    stock = KademliaProtocol(Node(b"\1" * 20), ForgetfulStorage(), 20)
    assert stock.rpc_find_node(("10.0.0.9", 9), b"n" * 20, KEY) == []

    async def story(net: RecordsNetwork) -> None:
        await net.add(3)
        one, other = net.people[0], net.people[1]
        reply = await one.dht.rpc.call(Contact(b"", other.address), Method.FIND_NODE, {2: KEY})
        assert reply.node_id == other.dht.node_id

    tell(story)
