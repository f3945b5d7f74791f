"""Requests and answers of one scope over datagrams: the driver around wire, tokens, rates and table.

Every datagram is handled where it arrives, without a task: a bad one costs a counter. An answer counts
only from the address that was asked. An unproved address gets at most one datagram of at most three
times its request's size, and nothing else is ever sent to it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dhtshare.dht.adapter import AdaptedProtocol
from dhtshare.dht.calls import PARTS_GAP_SECONDS, SENDINGS, Call, Listener
from dhtshare.dht.compact import CONTACT4_BYTES, CONTACT6_BYTES, pack_address, pack_contacts, unpack_contacts
from dhtshare.dht.contact import ID_BYTES, UNKNOWN_ID, Contact
from dhtshare.dht.counters import Counters
from dhtshare.dht.messages import (
    TARGET_KEY,
    Answer,
    Body,
    Code,
    Failure,
    Handler,
    Method,
    NoAnswer,
    Refused,
    Reply,
    Request,
)
from dhtshare.dht.nodeid import may_have
from dhtshare.dht.peerbook import PeerBook
from dhtshare.dht.rates import RequestRates, Verdict
from dhtshare.dht.routing import Table
from dhtshare.dht.tokens import TokenMint
from dhtshare.dht.wire import (
    AMPLIFICATION,
    ENVELOPE_BYTES,
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    TYPE_REQUEST,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    UnsupportedError,
    datagram_type,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    message_id,
    pack,
)
from dhtshare.errors import LocalProtocolError, MalformedError, NetworkError
from dhtshare.network import Address, Scope, ScopeRules, is_loopback

MAX_ANSWERS_UNDER_WAY = 4096  # calls waiting at once; more is our own bug or a lookup storm
MAX_NOMINATIONS_PER_SECOND = 20.0


class Transport(Protocol):
    """Where datagrams go. Sockets in a node, a virtual network in tests and in `lab`."""

    def sendto(self, data: bytes, address: Address) -> None:
        """Send or drop; never raises."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Method:
    handler: Handler
    with_contacts: bool
    needs_proof: bool


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
        self.client = client
        self.counters = Counters()
        self.peers = PeerBook()
        self.last_reply = float("-inf")  # monotonic time of the last answer from anybody
        self.on_reply: Callable[[Contact, Reply], None] | None = None
        self.on_request: Callable[[Contact], None] | None = None
        self._rng = rng
        self._wall = wall
        self._methods: dict[int, _Method] = {}
        self._calls: dict[bytes, Call] = self._outstanding
        self._rates = None if scope is Scope.LAN else RequestRates()
        self._packed: dict[tuple[int, bool], tuple[bytes, bytes]] = {}
        self._packed_version = -1
        self.handle(Method.PING, lambda _request: {})
        self.handle(Method.FIND_NODE, lambda _request: {}, with_contacts=True)

    # ---- life ----------------------------------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:
        """Start on a transport; must run on the loop that will deliver the datagrams."""
        self.transport: Transport | None = transport
        self._loop = asyncio.get_running_loop()
        self._mint = TokenMint(self.network, self._rng, self._loop.time())

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
        self._methods[method] = _Method(handler, with_contacts, needs_proof)

    # ---- calling -------------------------------------------------------------------------------

    async def call(self, contact: Contact, method: int, body: Body, *, prove: bool = False) -> Reply:
        """Ask one node. With `prove` the request surely carries a token, fetched by a ping if need be.

        Raises NoAnswer (timed out, one retransmission included) or Refused. A contact with UNKNOWN_ID
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
        identifier = self._rng.randbytes(20)
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

    def cancel(self, call: Call) -> None:
        """Forget a call; its listener hears nothing more. Harmless when it is over."""
        if self._calls.get(call.identifier) is call:
            self._finish(call)

    def _send_call(self, call: Call) -> None:
        wait = call.sent(self._loop.time())
        call.timer = self._loop.call_later(wait, self._timeout, call.identifier)
        self._send(call.datagram, call.contact.address)

    def _timeout(self, msg_id: bytes) -> None:
        call = self._calls[msg_id]
        if call.started_answering:
            self._complete(call)
        elif call.sendings < SENDINGS:
            self.counters.retransmissions += 1
            self._send_call(call)
            call.listener.late()
        else:
            self._finish(call)
            self.counters.timeouts += 1
            self.table.failed(call.contact, self._loop.time())
            call.listener.failed(NoAnswer(f"{call.contact.address} did not answer."))

    def _finish(self, call: Call) -> None:
        del self._calls[call.identifier]
        if isinstance(call.timer, asyncio.TimerHandle):
            call.timer.cancel()

    # ---- datagrams in --------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Handle one datagram from a canonical address of this scope. Never raises for what is in it."""
        counters = self.counters
        counters.datagrams_in += 1
        counters.bytes_in += len(data)
        sender = addr if type(addr) is Address else Address(*addr)
        try:
            if datagram_type(data, self.network) == TYPE_REQUEST:
                self._serve(data, sender)
            else:
                self._accept_response(message_id(data), data, sender)
        except UnsupportedError:
            counters.unsupported += 1
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
            if isinstance(call.timer, asyncio.TimerHandle):
                call.timer.cancel()
            call.timer = self._loop.call_later(PARTS_GAP_SECONDS, self._timeout, msg_id)

    def _complete(self, call: Call) -> None:
        self._finish(call)
        message, bodies, complete = call.answer
        now = self._loop.time()
        address = call.contact.address
        rtt = now - call.sent_at
        self.last_reply = now
        self.peers.answered(address, message.token, rtt if call.sendings == 1 and complete else None, now)
        contact = Contact(message.node_id, address)
        bound = may_have(contact.node_id, address.host, self.scope)
        if call.contact.node_id not in (UNKNOWN_ID, contact.node_id) or (call.contact.node_id and not bound):
            self.counters.wrong_id += 1
            self.table.lied(call.contact)
            call.listener.failed(WrongId(contact))
            return
        if bound and contact.node_id != self.node_id:
            self.table.answered(contact, now)
        reply = Reply(
            contact.node_id,
            address,
            bodies,
            self._contacts_of(message, address),
            message.seen,
            message.wall,
            rtt,
            complete,
        )
        if self.on_reply is not None:
            self.on_reply(contact, reply)
        if message.code:
            self.counters.refusals += 1
            if message.code == Code.UNPROVED and not message.token:
                self.peers.forget_token(address)
            call.listener.failed(Refused(message.code, message.retry_after))
        else:
            call.listener.replied(reply)

    def _contacts_of(self, message: ResponseMessage, responder: Address) -> tuple[Contact, ...]:
        if not message.contacts4 and not message.contacts6:
            return ()
        may_name, acceptable = self.rules.may_name, self.table.acceptable
        return tuple(
            contact
            for contact in unpack_contacts(message.contacts4, message.contacts6)
            if may_name(contact.address.host, responder.host) and acceptable(contact)
        )[:MAX_CONTACTS]

    # ---- serving -------------------------------------------------------------------------------

    def _serve(self, data: bytes, sender: Address) -> None:
        now = self._loop.time()
        rates = self._rates
        if rates is not None and rates.ignores(sender, now):
            self.counters.ignored += 1
            return
        identifier = message_id(data)
        try:
            message = decode_request(data)
        except UnsupportedError:
            self._refuse_newer(data, identifier, sender, now)
            raise
        packed = pack_address(sender)
        token = self._mint.make(packed, now)
        proved = message.token == token or (message.token != b"" and self._mint.check(message.token, packed, now))
        if rates is not None and rates.judge(sender, proved, now) is Verdict.DROP:
            self.counters.rate_limited += 1
            return
        self.counters.requests += 1
        limit = MAX_DATAGRAM_BYTES if proved else min(MAX_DATAGRAM_BYTES, AMPLIFICATION * len(data))
        method = self._methods.get(message.method)
        answer: Answer
        if not proved and (len(data) < UNPROVED_REQUEST_BYTES or (method is not None and method.needs_proof)):
            self.counters.unproved += 1
            answer = Failure(Code.UNPROVED)
        elif method is None:
            answer = Failure(Code.UNSUPPORTED)
        else:
            answer = self._dispatch(method, message, sender, proved, limit)
        with_contacts = method is not None and method.with_contacts and not isinstance(answer, Failure)
        self._respond(identifier, message, answer, sender, token, proved, limit, with_contacts)
        if proved and not message.client and self.on_request is not None:
            contact = Contact(message.node_id, sender)
            if not self.table.heard(contact, now):
                self.on_request(contact)

    def _dispatch(self, method: _Method, message: RequestMessage, sender: Address, proved: bool, limit: int) -> Answer:
        room = limit - ENVELOPE_BYTES
        if method.with_contacts:
            target = message.body.get(TARGET_KEY)
            if type(target) is not bytes or len(target) != ID_BYTES:
                return Failure(Code.MALFORMED)
            room -= MAX_CONTACTS * (CONTACT6_BYTES if ":" in sender.host else CONTACT4_BYTES) + 6
        request = Request(
            message.body,
            sender,
            message.node_id,
            proved,
            message.client,
            message.dialled,
            self.scope,
            room,
            MAX_DATAGRAM_BYTES - ENVELOPE_BYTES if proved else 0,
        )
        try:
            return method.handler(request)
        except MalformedError:
            self.counters.malformed += 1
            return Failure(Code.MALFORMED)

    def _respond(
        self,
        identifier: bytes,
        message: RequestMessage,
        answer: Answer,
        sender: Address,
        token: bytes,
        proved: bool,
        limit: int,
        with_contacts: bool,
    ) -> None:
        wall = int(self._wall())
        if isinstance(answer, Failure):
            response = ResponseMessage(self.node_id, {}, answer.code, answer.retry_after, token, seen=sender, wall=wall)
            self._send_response(identifier, response, sender, limit)
            return
        bodies = answer if isinstance(answer, list) else [answer]
        bodies = bodies[: MAX_PARTS if proved else 1] or [{}]
        contacts4 = contacts6 = b""
        if with_contacts:
            target = message.body[TARGET_KEY]
            assert isinstance(target, bytes)
            left = limit - ENVELOPE_BYTES - (len(pack(bodies[0])) if bodies[0] else 1)
            contacts4, contacts6 = self._closest_packed(target, sender, left)
        for part, body in enumerate(bodies):
            response = ResponseMessage(
                self.node_id, body, 0, 0, token, contacts4, contacts6, sender, wall, part, len(bodies)
            )
            self._send_response(identifier, response, sender, limit)
            contacts4 = contacts6 = b""

    def _send_response(self, identifier: bytes, response: ResponseMessage, sender: Address, limit: int) -> None:
        try:
            data = encode_response(self.network, identifier, response)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from error
        if len(data) > limit:
            self.counters.oversized += 1
            return
        self._send(data, sender)

    def _refuse_newer(self, data: bytes, identifier: bytes, sender: Address, now: float) -> None:
        """Tell the sender of a message with an unknown even key that we are older than it."""
        if self._rates is not None and self._rates.judge(sender, False, now) is Verdict.DROP:
            return
        token = self._mint.make(pack_address(sender), now)
        response = ResponseMessage(self.node_id, {}, Code.UNSUPPORTED, 0, token, seen=sender, wall=int(self._wall()))
        self._send_response(identifier, response, sender, AMPLIFICATION * len(data))

    def _closest_packed(self, target: bytes, asker: Address, left: int) -> tuple[bytes, bytes]:
        """The closest contacts that fit into `left` bytes, packed; whole groups come from a cache."""
        table = self.table
        loopback = self.scope is not Scope.LAN or is_loopback(asker.host)
        if self._packed_version != table.version:
            self._packed.clear()
            self._packed_version = table.version
        group = table.group_key(target)
        found = None if group is None else self._packed.get((group, loopback))
        if found is None:
            found = pack_contacts(table.nearest(target, MAX_CONTACTS, loopback=loopback))
            if group is not None:
                self._packed[group, loopback] = found
        if len(found[0]) + len(found[1]) + 6 <= left:
            return found
        width = CONTACT6_BYTES if found[1] else CONTACT4_BYTES
        return pack_contacts(table.nearest(target, max(0, left - 6) // width, loopback=loopback))

    def _send(self, data: bytes, address: Address) -> None:
        if self.transport is not None:
            self.counters.datagrams_out += 1
            self.counters.bytes_out += len(data)
            self.transport.sendto(data, address)


class WrongId(NoAnswer):
    """The address answered, under another id than it was known by. `contact` is who is really there."""

    def __init__(self, contact: Contact) -> None:
        super().__init__(f"{contact.address} answered under another id.")
        self.contact = contact
