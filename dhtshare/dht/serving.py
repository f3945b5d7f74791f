"""The answering side of one scope: from a request's bytes to the datagrams that go back. Pure.

Nothing here sends or knows a task: `answer` returns what goes to the sender. An unproved sender gets at
most one datagram of at most three times its request's size; in global scopes rates hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from dhtshare.dht.compact import CONTACT4_BYTES, CONTACT6_BYTES, pack_address, pack_contacts
from dhtshare.dht.contact import ID_BYTES, Row
from dhtshare.dht.counters import Counters
from dhtshare.dht.messages import TARGET_KEY, Answer, Body, Code, Failure, Handler, Method, Request
from dhtshare.dht.rates import RequestRates, Verdict
from dhtshare.dht.routing import Table
from dhtshare.dht.tokens import TokenMint
from dhtshare.dht.wire import (
    AMPLIFICATION,
    ENVELOPE_BYTES,
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    UnsupportedError,
    decode_request,
    encode_response,
    message_id,
    pack,
)
from dhtshare.errors import LocalProtocolError, MalformedError
from dhtshare.network import Address, Scope, is_loopback

_CONTACTS_HEADER_BYTES = 6  # key and length of both strings of contacts


class _Method(NamedTuple):
    handler: Handler | None  # None: the answer's body is empty
    with_contacts: bool
    needs_proof: bool


_PING = _Method(None, False, False)

Served = tuple[list[bytes], RequestMessage | None]
"""What to send back to the sender, and the request if it was understood and proved."""

_NOTHING: Served = ([], None)


class Responder:
    """Answers requests. `now` is monotonic; `wall` gives Unix seconds."""

    __slots__ = (
        "_counters",
        "_methods",
        "_mint",
        "_network",
        "_packed",
        "_rates",
        "_scope",
        "_table",
        "_wall",
        "client",
        "node_id",
    )

    def __init__(
        self,
        network: bytes,
        scope: Scope,
        table: Table,
        node_id: bytes,
        rng: random.Random,
        wall: Callable[[], float],
        counters: Counters,
        now: float,
    ) -> None:
        self.node_id = node_id
        self.client = False  # whether answers say that nobody should keep us in a table
        self._network = network
        self._scope = scope
        self._table = table
        self._wall = wall
        self._counters = counters
        self._mint = TokenMint(network, rng, now)
        self._rates = None if scope is Scope.LAN else RequestRates()
        self._packed: dict[tuple[int, bool], tuple[list[Row], tuple[bytes, bytes]]] = {}
        self._methods: dict[int, _Method] = {
            Method.PING: _PING,
            Method.FIND_NODE: _Method(None, True, False),
        }

    def handle(self, method: int, handler: Handler, *, with_contacts: bool = False, needs_proof: bool = False) -> None:
        """See `Rpc.handle`."""
        self._methods[method] = _Method(handler, with_contacts, needs_proof)

    def moved(self, node_id: bytes, table: Table) -> None:
        """We have another id now, and the table that goes with it."""
        self.node_id = node_id
        self._table = table
        self._packed.clear()

    def answer(self, data: bytes, sender: Address, now: float) -> Served:
        """The answer to one request. Raises MalformedError for bytes that are none."""
        counters, rates = self._counters, self._rates
        if rates is not None and rates.ignored and rates.ignores(sender, now):
            counters.ignored += 1
            return _NOTHING
        try:
            message = decode_request(data)
        except UnsupportedError:
            counters.unsupported += 1
            return self._refuse_newer(data, sender, now)
        packed = pack_address(sender)
        token = self._mint.make(packed, now)
        proved = self._mint.check(message.token, packed, now, current=token)
        if rates is not None and rates.judge(sender, proved, now) is Verdict.DROP:
            counters.rate_limited += 1
            return _NOTHING
        counters.requests += 1
        limit = MAX_DATAGRAM_BYTES if proved else min(MAX_DATAGRAM_BYTES, AMPLIFICATION * len(data))
        method = self._methods.get(message.method)
        answer: Answer
        if not proved and (len(data) < UNPROVED_REQUEST_BYTES or (method is not None and method.needs_proof)):
            counters.unproved += 1
            answer = Failure(Code.UNPROVED)
        elif method is None:
            answer = Failure(Code.UNSUPPORTED)
        else:
            answer = {} if method is _PING else self._dispatch(method, message, sender, proved, limit)
        identifier = message_id(data)
        if isinstance(answer, Failure):
            datagrams = self._failure(identifier, answer, sender, token, limit)
        else:
            datagrams = self._success(identifier, message, method, answer, sender, token, proved, limit)
        return datagrams, message if proved else None

    def _dispatch(self, method: _Method, message: RequestMessage, sender: Address, proved: bool, limit: int) -> Answer:
        room = limit - ENVELOPE_BYTES
        if method.with_contacts:
            target = message.body.get(TARGET_KEY)
            if type(target) is not bytes or len(target) != ID_BYTES:
                return Failure(Code.MALFORMED)
            width = CONTACT6_BYTES if ":" in sender.host else CONTACT4_BYTES
            room -= MAX_CONTACTS * width + _CONTACTS_HEADER_BYTES
        if method.handler is None:
            return {}
        request = Request(
            message.body,
            sender,
            message.node_id,
            proved,
            message.client,
            message.dialled,
            self._scope,
            room,
            MAX_DATAGRAM_BYTES - ENVELOPE_BYTES if proved else 0,
        )
        try:
            return method.handler(request)
        except MalformedError:
            self._counters.malformed += 1
            return Failure(Code.MALFORMED)

    def _success(
        self,
        identifier: bytes,
        message: RequestMessage,
        method: _Method | None,
        answer: Body | list[Body],
        sender: Address,
        token: bytes,
        proved: bool,
        limit: int,
    ) -> list[bytes]:
        bodies = (answer[: MAX_PARTS if proved else 1] or [{}]) if isinstance(answer, list) else [answer]
        contacts4 = contacts6 = b""
        if method is not None and method.with_contacts:
            target = message.body[TARGET_KEY]
            assert isinstance(target, bytes)
            left = limit - ENVELOPE_BYTES - (len(pack(bodies[0])) if bodies[0] else 1)
            contacts4, contacts6 = self._closest_packed(target, sender, left)
        own, wall, parts, client = self.node_id, int(self._wall()), len(bodies), self.client
        first = ResponseMessage(own, bodies[0], 0, 0, token, contacts4, contacts6, sender, wall, 0, parts, client)
        datagrams = self._encoded(identifier, first, limit)
        for part in range(1, parts):
            further = ResponseMessage(own, bodies[part], 0, 0, token, b"", b"", sender, wall, part, parts, client)
            datagrams += self._encoded(identifier, further, limit)
        return datagrams

    def _failure(self, identifier: bytes, failure: Failure, sender: Address, token: bytes, limit: int) -> list[bytes]:
        wall = int(self._wall())
        response = ResponseMessage(
            self.node_id, {}, failure.code, failure.retry_after, token, seen=sender, wall=wall, client=self.client
        )
        return self._encoded(identifier, response, limit)

    def _encoded(self, identifier: bytes, response: ResponseMessage, limit: int) -> list[bytes]:
        try:
            data = encode_response(self._network, identifier, response)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from error
        if len(data) <= limit:
            return [data]
        self._counters.oversized += 1
        return []

    def _refuse_newer(self, data: bytes, sender: Address, now: float) -> Served:
        """Tell the sender of a message with an unknown even key that we are older than it."""
        if self._rates is not None and self._rates.judge(sender, False, now) is Verdict.DROP:
            return _NOTHING
        token = self._mint.make(pack_address(sender), now)
        limit = AMPLIFICATION * len(data)
        return self._failure(message_id(data), Failure(Code.UNSUPPORTED), sender, token, limit), None

    def _closest_packed(self, target: bytes, asker: Address, left: int) -> tuple[bytes, bytes]:
        """The closest contacts that fit into `left` bytes, packed; whole buckets come from a cache."""
        table = self._table
        loopback = self._scope is not Scope.LAN or is_loopback(asker.host)
        group = table.group(target)
        index, rows = group or (0, [])
        kept = self._packed.get((index, loopback))
        if kept is not None and kept[0] is rows:
            found = kept[1]
        else:
            found = pack_contacts(table.nearest(target, MAX_CONTACTS, loopback=loopback))
            if group is not None:
                self._packed[index, loopback] = rows, found
        if len(found[0]) + len(found[1]) + _CONTACTS_HEADER_BYTES <= left:
            return found
        width = CONTACT6_BYTES if found[1] else CONTACT4_BYTES
        fitting = max(0, left - _CONTACTS_HEADER_BYTES) // width
        return pack_contacts(table.nearest(target, fitting, loopback=loopback))
