"""Scopes of several nodes on a virtual network, and a stranger who sends whatever bytes a test wants."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from dhtshare.dht.contact import Contact
from dhtshare.dht.external import ExternalAddress
from dhtshare.dht.messages import Body, Method
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.simulation import EPOCH, VirtualLoop, VirtualNetwork, run_virtual
from dhtshare.dht.wire import (
    MESSAGE_ID_BYTES,
    RequestMessage,
    ResponseMessage,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    message_id,
)
from dhtshare.network import Address, Scope, ScopeRules, network_id

NETWORK = network_id("datagrams under test")
WALL = int(EPOCH)


class Net:
    """A virtual network without loss, 20 ms there and back, and the nodes on it."""

    def __init__(self, loop: VirtualLoop, scope: Scope = Scope.LAN, seed: int = 1) -> None:
        self.loop = loop
        self.scope = scope
        self.rng = random.Random(seed)
        self.datagrams = VirtualNetwork(loop, self.rng, rtt=0.02)
        self.faults: list[dict[str, Any]] = []  # what the loop's own handler heard: none, in every test
        loop.set_exception_handler(lambda _loop, context: self.faults.append(context))

    def node(self, host: str, port: int = 4470, *, node_id: bytes | None = None) -> ScopeDht:
        """A server at that address, with an empty table."""
        dht = ScopeDht(
            self.scope,
            network=NETWORK,
            rules=ScopeRules(),
            rng=random.Random(f"{host} {port}"),
            wall=lambda: EPOCH,
            node_id=node_id,
            external=None if self.scope is Scope.LAN else ExternalAddress(host),
        )
        dht.become(client=False)
        dht.rpc.connection_made(self.datagrams.attach(Address(host, port), dht.rpc.datagram_received))
        return dht

    def stranger(self, host: str, port: int = 4470) -> Stranger:
        return Stranger(self, Address(host, port))


class Stranger:
    """An address without a node. `heard` is each datagram that came to it; `answer` may send something back."""

    def __init__(self, net: Net, address: Address) -> None:
        self.net = net
        self.address = address
        self.heard: list[bytes] = []
        self.answer: Callable[[bytes, Address], None] = lambda data, sender: None
        self._transport = net.datagrams.attach(address, self._receive)

    def _receive(self, data: bytes, sender: Address) -> None:
        self.heard.append(data)
        self.answer(data, sender)

    def send(self, data: bytes, target: Address) -> None:
        self._transport.sendto(data, target)

    def ask(self, target: Address, method: int = Method.PING, body: Body | None = None, **fields: Any) -> None:
        """Send a request; its padding is the codec's."""
        node_id = fields.pop("node_id", bytes(20))
        message = RequestMessage(method, node_id, body or {}, **fields)
        self.send(encode_request(NETWORK, self.net.rng.randbytes(MESSAGE_ID_BYTES), message), target)

    async def token_of(self, target: Address) -> bytes:
        """Prove the address by a ping."""
        self.ask(target, client=True)
        await asyncio.sleep(0.5)
        return decode_response(self.heard[-1]).token

    @property
    def replies(self) -> list[ResponseMessage]:
        """What it heard, read as answers."""
        return [decode_response(data) for data in self.heard]

    @property
    def requests(self) -> list[RequestMessage]:
        """What it heard, read as requests."""
        return [decode_request(data) for data in self.heard]

    def replies_with(self, make: Callable[[bytes], bytes]) -> None:
        """Answer every request with `make(message id)`."""
        self.answer = lambda data, sender: self.send(make(message_id(data)), sender)


def response(identifier: bytes, node_id: bytes, body: Body | None = None, **fields: Any) -> bytes:
    """A datagram that answers."""
    return encode_response(NETWORK, identifier, ResponseMessage(node_id, body or {}, wall=WALL, **fields))


def know(node: ScopeDht, *others: ScopeDht | Contact) -> None:
    """Put contacts into a node's table as if each had answered."""
    for other in others:
        contact = other if isinstance(other, Contact) else contact_of(other)
        assert node.table.answered(contact, node.rpc.now()), contact


def contact_of(node: ScopeDht) -> Contact:
    return Contact(node.node_id, address_of(node))


def address_of(node: ScopeDht) -> Address:
    address: Address = node.rpc.transport.address  # type: ignore[union-attr]
    return address


def tell(story: Callable[[Net], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Run a story in virtual time. Nothing in it may reach the loop's exception handler, nor leave a task."""

    async def main(loop: VirtualLoop) -> None:
        net = Net(loop, **options)
        await story(net)
        assert net.faults == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
