"""Fuzz targets of a node's two ends of a conversation: what it answers to any bytes, what it makes of any answer.

Invariants: an unproved sender gets one datagram of at most three times its request, a proved one sixteen; none is
longer than 1,200 bytes; all of it can be read. Of an answer only contacts that can live in the scope are told on.
"""

from __future__ import annotations

import contextlib
import json
import random
from functools import cache
from pathlib import Path

from dhtshare.dht.answers import AnswerReader
from dhtshare.dht.calls import Call, Listener
from dhtshare.dht.compact import pack_address
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.counters import Counters
from dhtshare.dht.nodeid import bound_id, may_have
from dhtshare.dht.peerbook import PeerBook
from dhtshare.dht.records.service import RecordService
from dhtshare.dht.records.verifier import Verifier
from dhtshare.dht.routing import Table
from dhtshare.dht.serving import Responder
from dhtshare.dht.wire import (
    AMPLIFICATION,
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    TYPE_REQUEST,
    TYPE_RESPONSE,
    datagram_type,
    decode_response,
    message_id,
)
from dhtshare.errors import MalformedError, NetworkError
from dhtshare.network import Address, Scope, ScopeRules, is_loopback, network_id
from tests.fuzz.target import Target
from tests.unit.records.records_fakes import WALL
from tests.unit.records.records_fakes import store as empty_store

NETWORK = network_id("dhtshare")  # the golden datagrams are of this one
SENDERS = {Scope.LAN: Address("10.0.0.2", 4470), Scope.IPV4: Address("81.2.3.4", 4470)}
VECTORS = json.loads((Path(__file__).parent.parent / "golden" / "dht_datagrams.json").read_text(encoding="ascii"))


class _End:
    """A node of one scope with some contacts and a place for records. Its clock moves on with each datagram."""

    def __init__(self, scope: Scope) -> None:
        rng = random.Random(1)
        self.scope = scope
        self.now = 0.0
        self.sender = SENDERS[scope]
        host = "10.0.0.1" if scope is Scope.LAN else "82.2.3.4"
        self.node_id = bound_id(host, rng)
        self.table = Table(self.node_id, scope)
        for number in range(1, 100):
            other = f"10.1.0.{number}" if scope is Scope.LAN else f"83.{number}.3.4"
            self.table.answered(Contact(bound_id(other, rng), Address(other, 4470)), 0.0)
        self.responder = Responder(NETWORK, scope, self.table, self.node_id, rng, lambda: WALL, Counters(), 0.0)
        self.mint = self.responder._mint
        self.reader = AnswerReader(scope, ScopeRules(), self.table, self.node_id, PeerBook(), Counters())
        RecordService(
            network=NETWORK,
            scope=scope,
            rules=ScopeRules(),
            store=empty_store(scope),
            verifier=Verifier(NETWORK),
            own={},
            now=lambda: self.now,
            record_wall=lambda: WALL,
        ).register(self.responder)


@cache
def _end(scope: Scope) -> _End:
    return _End(scope)


def served(data: bytes) -> None:
    """A request from a stranger; the golden token in it stands for a good one half of the time."""
    for scope in SENDERS:
        end = _end(scope)
        end.now += 1.0
        packed = pack_address(end.sender)
        good = end.mint.make(packed, end.now)
        for token in (b"tokentok", good):
            raw = NETWORK + data.replace(b"tokentok", token)
            with contextlib.suppress(MalformedError):
                if datagram_type(raw, NETWORK) != TYPE_REQUEST:
                    continue
                datagrams, message = end.responder.answer(raw, end.sender, end.now)
                _check(datagrams, raw, proved=message is not None)


def _check(datagrams: list[bytes], request: bytes, *, proved: bool) -> None:
    assert len(datagrams) <= (MAX_PARTS if proved else 1)
    for datagram in datagrams:
        assert len(datagram) <= MAX_DATAGRAM_BYTES
        assert proved or len(datagram) <= AMPLIFICATION * len(request)
        assert datagram_type(datagram, NETWORK) == TYPE_RESPONSE
        assert message_id(datagram) == message_id(request)
        decode_response(datagram)


def answered(data: bytes) -> None:
    """The answer to a request of ours, in as many datagrams as the first byte says, all of them alike but one."""
    if not data:
        return
    count, raw = 1 + data[0] % 3, NETWORK + data[1:]
    for scope in SENDERS:
        end = _end(scope)
        for known in (UNKNOWN_ID, bound_id(end.sender.host, random.Random(2))):
            ear: list[NetworkError] = []
            listener = Listener(lambda _reply: None, ear.append, lambda: None)
            call = Call(bytes(20), Contact(known, end.sender), b"", listener, 0.2)
            call.sent(end.now)
            with contextlib.suppress(MalformedError):
                if datagram_type(raw, NETWORK) != TYPE_RESPONSE:
                    return
                for number in range(count):
                    if call.take(decode_response(raw)._replace(part=number) if number else decode_response(raw)):
                        break
                _believe(end, call)


def _believe(end: _End, call: Call) -> None:
    reply, failure = end.reader.read(call, end.now + 0.1)
    assert reply is not None or failure is not None
    if reply is None:
        return
    assert len(reply.contacts) <= MAX_CONTACTS
    for contact in reply.contacts:
        assert ScopeRules().scope_of(contact.address.host) is end.scope
        assert may_have(contact.node_id, contact.address.host, end.scope)
        assert contact.node_id != end.node_id
        assert not is_loopback(contact.address.host)
    assert len(end.table) < 400


def _golden(kind: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(raw)[len(NETWORK) :] for raw in VECTORS[kind].values())


TARGETS = (
    Target("served", served, _golden("requests")),
    Target("answered", answered, tuple(bytes((n % 3,)) + raw for n, raw in enumerate(_golden("responses")))),
)
