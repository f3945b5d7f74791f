"""What an answer is worth: whether we believe it, and what the table and the peer book learn from it. Pure.

The asked address answered; nothing else is certain. An answer under another id than the asked one, or under
one that its address may not have, is none. Of the contacts it names only those are told on that can live in
this scope: an impossible one drops itself, never the answer.
"""

from __future__ import annotations

from typing import NamedTuple

from dhtshare.dht.calls import Call
from dhtshare.dht.compact import unpack_contacts
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.counters import Counters
from dhtshare.dht.messages import Code, NoAnswer, Refused, Reply
from dhtshare.dht.nodeid import may_have
from dhtshare.dht.peerbook import PeerBook
from dhtshare.dht.routing import Table
from dhtshare.dht.wire import MAX_CONTACTS, ResponseMessage
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope, ScopeRules, is_loopback


class WrongId(NoAnswer):
    """The address answered, under another id than it was known by. `contact` is who is really there."""

    def __init__(self, contact: Contact) -> None:
        super().__init__(f"{contact.address} answered under another id.")
        self.contact = contact


class Outcome(NamedTuple):
    """What a call came to. A refusal is both: `reply` is what it says beside its no. A liar's is `failure` alone."""

    reply: Reply | None
    failure: NetworkError | None


class AnswerReader:
    """Reads the answers to our calls in one scope. `now` is monotonic seconds."""

    __slots__ = ("_counters", "_node_id", "_peers", "_rules", "_scope", "_table")

    def __init__(
        self, scope: Scope, rules: ScopeRules, table: Table, node_id: bytes, peers: PeerBook, counters: Counters
    ) -> None:
        self._scope = scope
        self._rules = rules
        self._table = table
        self._node_id = node_id
        self._peers = peers
        self._counters = counters

    def moved(self, node_id: bytes, table: Table) -> None:
        """We have another id now, and the table that goes with it."""
        self._node_id = node_id
        self._table = table

    def read(self, call: Call, now: float) -> Outcome:
        """The outcome of a call that has its answer, all of it or as much as came."""
        message, bodies, complete = call.answer
        address = call.contact.address
        rtt = now - call.sent_at
        self._peers.answered(address, message.token, rtt if call.sendings == 1 and complete else None, now)
        contact = call.contact if call.contact.node_id == message.node_id else Contact(message.node_id, address)
        bound = may_have(contact.node_id, address.host, self._scope)
        if call.contact.node_id not in (UNKNOWN_ID, contact.node_id) or (call.contact.node_id and not bound):
            self._counters.wrong_id += 1
            self._table.dismiss(call.contact)
            return Outcome(None, WrongId(contact))
        if message.client:
            self._table.client(contact, now, invited=call.contact.node_id == UNKNOWN_ID)
        elif bound and contact.node_id != self._node_id:
            self._table.answered(contact, now)
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
        if not message.code:
            return Outcome(reply, None)
        self._counters.refusals += 1
        if message.code == Code.UNPROVED and not message.token:
            self._peers.forget_token(address)
        return Outcome(reply, Refused(message.code, message.retry_after))

    def _contacts_of(self, message: ResponseMessage, responder: Address) -> tuple[Contact, ...]:
        if not message.contacts4 and not message.contacts6:
            return ()
        scope, scope_of, acceptable = self._scope, self._rules.scope_of, self._table.acceptable
        loopback = scope is not Scope.LAN or is_loopback(responder.host)
        contacts = [
            contact
            for contact in unpack_contacts(message.contacts4, message.contacts6)
            if scope_of(contact.address.host) is scope
            and (loopback or not is_loopback(contact.address.host))
            and acceptable(contact)
        ]
        return tuple(contacts[:MAX_CONTACTS])
