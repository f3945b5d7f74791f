"""Requests and answers of one scope over datagrams: the driver around wire, tokens, rates and table.

Every datagram is handled where it arrives, without a task: a bad one costs a counter. An answer counts
only from the address that was asked. An unproved address gets at most one datagram of at most three
times its request's size, and nothing else is ever sent to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from dhtshare.dht.adapter import AdaptedProtocol
from dhtshare.dht.answers import AnswerReader
from dhtshare.dht.calls import SENDINGS, Call, Listener
from dhtshare.dht.contact import Contact
from dhtshare.dht.counters import Counters
from dhtshare.dht.messages import Body, Code, Handler, Method, NoAnswer, Refused, Reply
from dhtshare.dht.peerbook import PeerBook
from dhtshare.dht.routing import Table
from dhtshare.dht.serving import Responder
from dhtshare.dht.wire import (
    MESSAGE_ID_BYTES,
    TYPE_REQUEST,
    TYPE_RESPONSE,
    RequestMessage,
    datagram_type,
    decode_response,
    encode_arrival,
    encode_request,
    message_id,
)
from dhtshare.errors import LocalProtocolError, MalformedError, NetworkError
from dhtshare.network import Address, Scope, ScopeRules

MAX_ANSWERS_UNDER_WAY = 4096  # calls waiting at once; more is our own bug or a lookup storm


class Transport(Protocol):
    """Where datagrams go. Sockets in a node, a virtual network in tests and in `lab`."""

    def sendto(self, data: bytes, address: Address) -> None:
        """Send or drop; never raises."""

    def close(self) -> None: ...


def _late() -> None:
    """A plain call has no slot to give away."""


class Rpc(AdaptedProtocol):
    """Calls other nodes and answers them, in one scope."""

    def __init__(
        self,
        *,
        network: bytes,
        scope: Scope,
        rules: ScopeRules,
        table: Table,
        node_id: bytes,
        rng: random.Random,
        wall: Callable[[], float],
        client: bool,
    ) -> None:
        super().__init__(table)
        self.network = network
        self.scope = scope
        self.rules = rules
        self.table = table
        self.node_id = node_id
        self.counters = Counters()
        self.peers = PeerBook()
        self.last_reply = float("-inf")  # monotonic time of the last answer from anybody
        self.on_reply: Callable[[Contact, Reply], None] | None = None
        self.on_nominated: Callable[[Contact], None] | None = None  # a proved request from a stranger worth a ping
        self.on_arrival: Callable[[bytes, Address], None] | None = None  # a nonce came in, from that address
        self.on_lost: Callable[[Contact], None] | None = None  # evicted after too many failures
        self.on_asked: Callable[[Address], None] | None = None  # a request of ours goes to that address
        self.on_dialled: Callable[[Address], None] | None = None  # a proved request says where it reached us
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._responder = Responder(network, scope, table, node_id, rng, wall, self.counters, self._loop.time())
        self._responder.client = client
        self._reader = AnswerReader(scope, rules, table, node_id, self.peers, self.counters)
        self._calls: dict[bytes, Call] = self._outstanding

    @property
    def client(self) -> bool:
        """Whether we say in every message that nobody should keep us in a table."""
        return self._responder.client

    @client.setter
    def client(self, client: bool) -> None:
        self._responder.client = client

    # ---- life ----------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        """Start on a transport, which belongs to the caller."""
        self.transport: Transport | None = transport

    def close(self) -> None:
        """Fail every call under way and send nothing more. The transport belongs to its owner."""
        self.transport = None
        for call in list(self._calls.values()):
            self._finish(call)
            call.listener.failed(NoAnswer("The node stopped."))

    def handle(self, method: int, handler: Handler, *, with_contacts: bool = False, needs_proof: bool = False) -> None:
        """Answer a method. `with_contacts`: body key 2 is a target, and the closest contacts go with the answer.

        `needs_proof`: without a valid token the answer is UNPROVED, with a token. A handler must not
        block; it may raise MalformedError.
        """
        self._responder.handle(method, handler, with_contacts=with_contacts, needs_proof=needs_proof)

    def moved(self, node_id: bytes, table: Table) -> None:
        """We have another id now, and the table that goes with it."""
        self.node_id = node_id
        self.table = self.router = table
        self.source_node = table.node
        self._responder.moved(node_id, table)
        self._reader.moved(node_id, table)

    def now(self) -> float:
        """Monotonic seconds of the loop that we run on."""
        return self._loop.time()

    # ---- calling -------------------------------------------------------------------------------

    async def call(self, contact: Contact, method: int, body: Body, *, prove: bool = False) -> Reply:
        """Ask one node. With `prove` the request surely carries a token, fetched by a ping if need be.

        Raises NoAnswer (timed out, retransmissions included) or Refused. A contact with UNKNOWN_ID
        may answer under any id; else an answer under another id is NoAnswer and costs the contact its
        place in the table.
        """
        if prove and not self.peers.token(contact.address, self._loop.time()):
            await self._ask(contact, Method.PING, {})
        try:
            return await self._ask(contact, method, body)
        except Refused as refusal:
            if refusal.code != Code.UNPROVED:
                raise
            return await self._ask(contact, method, body)  # the refusal brought a fresh token

    async def _ask(self, contact: Contact, method: int, body: Body) -> Reply:
        future: asyncio.Future[Reply] = self._loop.create_future()

        def replied(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        def failed(error: NetworkError) -> None:
            if not future.done():
                future.set_exception(error)

        call = self.start(contact, method, body, Listener(replied, failed, _late))
        try:
            return await future
        finally:
            if call is not None:
                self.cancel(call)

    def start(self, contact: Contact, method: int, body: Body, listener: Listener) -> Call | None:
        """Send a request; the listener hears of it. None where it failed at once (and the listener knows)."""
        if self.transport is None or len(self._calls) >= MAX_ANSWERS_UNDER_WAY:
            listener.failed(NoAnswer("The node is not running, or has too many requests under way."))
            return None
        now = self._loop.time()
        address = contact.address
        identifier = self._rng.randbytes(MESSAGE_ID_BYTES)
        token = self.peers.token(address, now)
        message = RequestMessage(method, self.node_id, body, self.client, token, address)
        try:
            datagram = encode_request(self.network, identifier, message)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from error
        call = Call(identifier, contact, datagram, listener, self.peers.timeout(address))
        self._calls[identifier] = call
        self.counters.calls += 1
        self._send_call(call)
        return call

    def send_arrival(self, nonce: bytes, address: Address) -> None:
        """Send one datagram of 25 bytes that nobody answers."""
        self._send(encode_arrival(self.network, nonce), address)

    def cancel(self, call: Call) -> None:
        """Forget a call; its listener hears nothing more. Harmless when it is over."""
        if self._calls.get(call.identifier) is call:
            self._finish(call)

    def _send_call(self, call: Call) -> None:
        call.sent(self._loop.time())
        call.timer = self._loop.call_later(call.wait, self._timeout, call.identifier)
        self._send(call.datagram, call.contact.address)
        if self.on_asked is not None:
            self.on_asked(call.contact.address)

    def _timeout(self, msg_id: bytes) -> None:
        call = self._calls[msg_id]
        if call.started_answering:
            self._complete(call)
        elif call.sendings < SENDINGS:
            self.counters.retransmissions += 1
            self._send_call(call)
            if call.sendings == 2:
                call.listener.late()
        else:
            self._finish(call)
            self.counters.timeouts += 1
            if self.table.failed(call.contact, self._loop.time()) and self.on_lost is not None:
                self.on_lost(call.contact)
            call.listener.failed(NoAnswer(f"{call.contact.address} did not answer."))

    def _finish(self, call: Call) -> None:
        del self._calls[call.identifier]
        if not self._calls:
            self._calls.clear()  # gives back the room of its fullest time
        if call.timer is not None:
            call.timer.cancel()

    # ---- datagrams in --------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Handle one datagram from a canonical address of this scope. Never raises for what is in it."""
        counters = self.counters
        counters.datagrams_in += 1
        counters.bytes_in += len(data)
        sender = addr if type(addr) is Address else Address(*addr)
        try:
            kind = datagram_type(data, self.network)
            if kind == TYPE_REQUEST:
                now = self._loop.time()
                datagrams, message = self._responder.answer(data, sender, now)
                for datagram in datagrams:
                    self._send(datagram, sender)
                if message is not None:
                    self._asked_by(sender, message, now)
            elif kind == TYPE_RESPONSE:
                self._accept_response(message_id(data), data, sender)
            elif self.on_arrival is not None:
                self.on_arrival(message_id(data), sender)
        except MalformedError:
            counters.malformed += 1

    def _accept_response(self, msg_id: bytes, data: bytes, address: Address) -> None:
        call = self._calls.get(msg_id)
        if call is None:
            self.counters.unknown_reply += 1
            return
        if call.contact.address != address:
            self.counters.wrong_source += 1
            return
        message = decode_response(data)
        if call.take(message):
            self._complete(call)
        else:
            if call.timer is not None:
                call.timer.cancel()
            now = self._loop.time()
            call.timer = self._loop.call_later(call.rest(now), self._timeout, msg_id)
            if call.became_late(now):
                call.listener.late()

    def _complete(self, call: Call) -> None:
        self._finish(call)
        now = self._loop.time()
        self.last_reply = now
        outcome = self._reader.read(call, now)
        if outcome.reply is not None and self.on_reply is not None:
            self.on_reply(Contact(outcome.reply.node_id, outcome.reply.address), outcome.reply)
        if outcome.failure is not None:
            call.listener.failed(outcome.failure)
        elif outcome.reply is not None:
            call.listener.replied(outcome.reply)

    def _asked_by(self, sender: Address, message: RequestMessage, now: float) -> None:
        """A proved request came from there."""
        if self.on_dialled is not None and message.dialled is not None:
            self.on_dialled(message.dialled)
        if message.client:
            self.table.client(Contact(message.node_id, sender), now, invited=False)
        elif self.table.asked(message.node_id, sender, now) and self.on_nominated is not None:
            self.on_nominated(Contact(message.node_id, sender))

    def _send(self, data: bytes, address: Address) -> None:
        if self.transport is not None:
            self.counters.datagrams_out += 1
            self.counters.bytes_out += len(data)
            self.transport.sendto(data, address)
