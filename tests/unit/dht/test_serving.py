"""The answering side: what goes back to whom, how much of it, what is named, and what is only counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgpack
import pytest

from dhtshare.dht.compact import pack_address, unpack_contacts
from dhtshare.dht.contact import Contact
from dhtshare.dht.counters import Counters
from dhtshare.dht.messages import TARGET_KEY, Answer, Body, Code, Failure, Method, Request
from dhtshare.dht.rates import IGNORE_SECONDS, PROVED_BURST, UNPROVED_BURST
from dhtshare.dht.routing import Table
from dhtshare.dht.serving import Responder
from dhtshare.dht.wire import (
    AMPLIFICATION,
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    decode_response,
    encode_request,
    pack,
)
from dhtshare.errors import LocalProtocolError, MalformedError
from dhtshare.network import Address, Scope
from tests.unit.dht.dht_fakes import OWN, bound, in_bucket
from tests.unit.dht.virtual import NETWORK, Net, address_of, contact_of, tell

ID, TARGET = b"i" * 20, b"t" * 20
HOSTS = {Scope.LAN: "10.0.0.2", Scope.IPV4: "81.2.3.4", Scope.IPV6: "2a00::2"}


class Served:
    """One responder, asked directly. `now` is monotonic seconds."""

    def __init__(self, scope: Scope = Scope.LAN, contacts: Sequence[Contact] = ()) -> None:
        self.scope = scope
        self.sender = Address(HOSTS[scope], 4470)
        self.counters = Counters()
        self.table = Table(OWN, scope)
        for contact in contacts:
            self.table.answered(contact, 0.0)
        self.now = 0.0
        rng = random.Random(1)
        self.responder = Responder(NETWORK, scope, self.table, OWN, rng, lambda: 1_800_000_000.9, self.counters, 0.0)

    def token(self, sender: Address | None = None) -> bytes:
        (reply,) = self.ask(Method.PING, sender=sender)
        return reply.token

    def raw(self, data: bytes, sender: Address | None = None) -> list[bytes]:
        return self.responder.answer(data, sender or self.sender, self.now)[0]

    def ask(
        self, method: int, body: Body | None = None, *, token: bytes = b"", sender: Address | None = None
    ) -> list[ResponseMessage]:
        data = encode_request(NETWORK, bytes(20), RequestMessage(method, ID, body or {}, True, token))
        return [decode_response(raw) for raw in self.raw(data, sender)]


def crowd(count: int, host: str = "10.0.0.9") -> list[Contact]:
    """Many contacts in many buckets; ports tell them apart."""
    return [in_bucket(160 - number // 20, number, host) for number in range(count)]


# ---- what every answer says ----------------------------------------------------------------------


@pytest.mark.parametrize("scope", Scope)
def test_every_answer_says_who_whom_when_and_brings_a_token(scope: Scope) -> None:
    served = Served(scope)
    (reply,) = served.ask(Method.PING)
    assert (reply.node_id, reply.code, reply.body) == (OWN, 0, {})
    assert reply.seen == served.sender
    assert reply.wall == 1_800_000_000
    assert len(reply.token) == 8
    (again,) = served.ask(Method.PING, token=reply.token)
    assert again.token == reply.token


def test_refusals_say_the_same() -> None:
    served = Served()
    (reply,) = served.ask(4711)
    assert (reply.code, reply.seen, len(reply.token)) == (Code.UNSUPPORTED, served.sender, 8)


@pytest.mark.parametrize("method", [0, 3, 10, 4711, 65535])
def test_a_method_that_we_do_not_know_is_unsupported(method: int) -> None:
    served = Served()
    assert [reply.code for reply in served.ask(method)] == [Code.UNSUPPORTED]
    assert [reply.code for reply in served.ask(method, token=served.token())] == [Code.UNSUPPORTED]


def test_a_message_of_a_newer_version_is_answered_with_unsupported() -> None:
    served = Served()
    raw = msgpack.packb({0: 1, 2: 1, 4: ID, 6: {}, 8: "must know this", 7: bytes(400)})
    (reply,) = [decode_response(data) for data in served.raw(NETWORK + b"\0" + bytes(20) + raw)]
    assert reply.code == Code.UNSUPPORTED
    assert served.counters.unsupported == 1


@pytest.mark.parametrize("target", [None, b"", bytes(19), bytes(21), "t" * 20, 7, [TARGET]], ids=repr)
def test_a_target_that_is_none_is_malformed(target: object) -> None:
    served = Served(contacts=crowd(30))
    (reply,) = served.ask(Method.FIND_NODE, {TARGET_KEY: target})
    assert (reply.code, reply.contacts4) == (Code.MALFORMED, b"")


def test_what_a_handler_cannot_read_is_malformed_and_counted() -> None:
    served = Served()

    def handler(_request: Request) -> Answer:
        raise MalformedError("no such body")

    served.responder.handle(40, handler)
    assert [reply.code for reply in served.ask(40)] == [Code.MALFORMED]
    assert served.counters.malformed == 1


def test_what_a_handler_is_told() -> None:
    served, told = Served(Scope.IPV4), []

    def handler(request: Request) -> Answer:
        told.append(request)
        return {}

    served.responder.handle(40, handler)
    dialled = Address("85.2.3.4", 4470)
    for token in (b"", served.token()):
        message = RequestMessage(40, ID, {3: "x"}, True, token, dialled)
        served.raw(encode_request(NETWORK, bytes(20), message))
    unproved, proved = told
    assert (unproved.proved, proved.proved) == (False, True)
    assert (unproved.more_room, proved.more_room) == (0, 1088)
    assert proved._replace(proved=False, more_room=0) == unproved._replace(room=proved.room)
    assert proved.dialled == dialled
    assert (proved.body, proved.node_id, proved.client, proved.sender) == ({3: "x"}, ID, True, served.sender)


# ---- amplification -------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("method", [Method.PING, Method.FIND_NODE, 40, 41, 4711])
def test_an_unproved_sender_gets_one_datagram_of_at_most_three_times_its_size(scope: Scope, method: int) -> None:
    contacts = crowd(60) if scope is Scope.LAN else [bound(f"8{n}.{n}.3.4") for n in range(1, 10)]
    served = Served(scope, contacts)
    served.responder.handle(40, lambda request: [{2: bytes(request.room - 10)}] * MAX_PARTS, with_contacts=True)
    served.responder.handle(41, lambda request: [{2: bytes(900)}] * MAX_PARTS, needs_proof=True)
    for padding in range(0, 1100, 13):
        fields = {0: 1, 2: int(method), 4: ID, 6: {2: TARGET}, 7: bytes(padding)}
        data = NETWORK + b"\0" + bytes(20) + msgpack.packb(fields)
        served.now += 10.0
        datagrams = served.raw(data)
        assert len(datagrams) <= 1
        assert sum(map(len, datagrams)) <= AMPLIFICATION * len(data)
        if len(data) < UNPROVED_REQUEST_BYTES and datagrams:
            assert decode_response(datagrams[0]).code == Code.UNPROVED


def test_an_unpadded_request_draws_a_token_and_no_more() -> None:
    served = Served(contacts=crowd(60))
    data = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: Method.FIND_NODE, 4: ID, 6: {2: TARGET}})
    (reply,) = [decode_response(raw) for raw in served.raw(data)]
    assert (reply.code, reply.contacts4, len(reply.token)) == (Code.UNPROVED, b"", 8)
    assert served.counters.unproved == 1


def test_a_forged_token_is_no_proof() -> None:
    served = Served()
    served.responder.handle(40, lambda _request: {}, needs_proof=True)
    token = served.token(Address("10.0.0.3", 4470))
    assert [reply.code for reply in served.ask(40, token=token)] == [Code.UNPROVED], "it is somebody else's"
    assert [reply.code for reply in served.ask(40, token=bytes(8))] == [Code.UNPROVED]
    assert [reply.code for reply in served.ask(40, token=served.token())] == [0]


def test_a_proved_sender_gets_up_to_sixteen_datagrams() -> None:
    served = Served(contacts=crowd(60))
    served.responder.handle(40, lambda _request: [{2: n} for n in range(30)], with_contacts=True)
    replies = served.ask(40, {2: TARGET}, token=served.token())
    assert [reply.body for reply in replies] == [{2: n} for n in range(MAX_PARTS)]
    assert [(reply.part, reply.parts) for reply in replies] == [(n, MAX_PARTS) for n in range(MAX_PARTS)]
    assert [len(reply.contacts4) > 0 for reply in replies] == [True] + [False] * 15, "contacts come with the first"
    assert all(len(reply.token) == 8 for reply in replies)
    (alone,) = served.ask(40, {2: TARGET})
    assert (alone.parts, alone.body) == (1, {2: 0})


def test_no_body_at_all_is_an_empty_one() -> None:
    served = Served()
    served.responder.handle(40, lambda _request: [])
    assert [reply.body for reply in served.ask(40)] == [{}]


def test_the_room_that_a_handler_is_told_is_really_there() -> None:
    contacts = [in_bucket(150, number) for number in range(20)]
    for with_contacts in (True, False):
        served = Served(contacts=contacts)

        def fill(request: Request) -> Answer:
            size = request.room
            while len(pack({2: bytes(size)})) > request.room:
                size -= 1
            return {2: bytes(size)}

        served.responder.handle(40, fill, with_contacts=with_contacts)
        for token in (b"", served.token()):
            (reply,) = served.ask(40, {2: TARGET}, token=token)
            assert len(reply.contacts4) == (20 * 26 if with_contacts else 0)
        assert served.counters.oversized == 0


def test_a_handler_that_takes_more_than_a_datagram_is_our_own_fault() -> None:
    served = Served()
    served.responder.handle(40, lambda _request: {2: bytes(1200)})
    with pytest.raises(LocalProtocolError):
        served.ask(40)


def test_one_that_takes_more_than_an_unproved_sender_may_have_is_dropped_and_counted() -> None:
    served = Served()
    served.responder.handle(40, lambda _request: {2: bytes(1100)})
    data = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: 40, 4: ID, 6: {}, 7: bytes(335)})
    assert UNPROVED_REQUEST_BYTES - 20 <= len(data) < MAX_DATAGRAM_BYTES // 3 + 1
    assert [decode_response(raw).code for raw in served.raw(data)] == [Code.UNPROVED]
    data = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: 40, 4: ID, 6: {}, 7: bytes(364)})
    assert len(data) >= UNPROVED_REQUEST_BYTES
    assert all(len(raw) <= 3 * len(data) for raw in served.raw(data))


# ---- contacts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["10.0.0.2", "127.0.0.1"])
def test_loopback_is_named_to_loopback_only(asker: str) -> None:
    near = [in_bucket(150, number, "127.0.0.1") for number in range(30)]
    served = Served(contacts=[*near, *(in_bucket(151, number, "10.0.0.9") for number in range(5))])
    (reply,) = served.ask(Method.FIND_NODE, {2: near[0].node_id}, sender=Address(asker, 9))
    hosts = {contact.address.host for contact in unpack_contacts(reply.contacts4, reply.contacts6)}
    assert hosts == ({"127.0.0.1"} if asker == "127.0.0.1" else {"10.0.0.9"})


def test_the_closest_twenty_are_named_in_order_from_the_cache_and_without_it() -> None:
    contacts = crowd(200)
    served = Served(contacts=contacts)
    held = list(served.table)
    for number in range(200):
        target = random.Random(number % 50).randbytes(20)
        (reply,) = served.ask(Method.FIND_NODE, {2: target})
        named = {contact.node_id for contact in unpack_contacts(reply.contacts4, b"")}
        nearest = sorted(held, key=lambda contact: contact.distance_to(target))[:MAX_CONTACTS]
        assert named == {contact.node_id for contact in nearest}


def test_the_cache_forgets_with_every_change_of_the_table() -> None:
    contacts = [in_bucket(150, number) for number in range(20)]
    served = Served(contacts=contacts)
    target = in_bucket(150, 999).node_id
    served.ask(Method.FIND_NODE, {2: target})
    served.table.dismiss(contacts[0])
    (reply,) = served.ask(Method.FIND_NODE, {2: target})
    assert contacts[0].node_id not in {contact.node_id for contact in unpack_contacts(reply.contacts4, b"")}
    another = Table(ID, Scope.LAN)
    served.responder.moved(ID, another)
    (reply,) = served.ask(Method.FIND_NODE, {2: target})
    assert (reply.node_id, reply.contacts4) == (ID, b"")


def test_fewer_contacts_where_fewer_fit() -> None:
    served = Served(contacts=[in_bucket(150, number) for number in range(20)])
    data = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 1, 2: 2, 4: ID, 6: {2: TARGET}, 7: bytes(320)})
    datagrams = served.raw(data)
    assert len(datagrams) == 1
    served.responder.handle(40, lambda request: {2: bytes(700)}, with_contacts=True)
    (reply,) = served.ask(40, {2: TARGET}, token=served.token())
    assert 0 < len(reply.contacts4) // 26 < 20
    nearest = served.table.nearest(TARGET, 20)
    assert [contact.node_id for contact in unpack_contacts(reply.contacts4, b"")] == [
        contact.node_id for contact in nearest[: len(reply.contacts4) // 26]
    ]


def test_clients_are_never_named_nor_asked() -> None:
    async def story(net: Net) -> None:
        server, client, other = net.node("10.0.0.1"), net.node("10.0.0.2"), net.node("10.0.0.3")
        client.become(client=True)
        for _ in range(3):
            await client.rpc.call(contact_of(server), Method.PING, {}, prove=True)
        await other.rpc.call(contact_of(server), Method.PING, {}, prove=True)
        await asyncio.sleep(5)
        assert [contact.address for contact in server.table] == [address_of(other)]
        reply = await other.rpc.call(contact_of(server), Method.FIND_NODE, {2: client.node_id})
        assert client.node_id not in [contact.node_id for contact in reply.contacts]
        assert client.rpc.counters.requests == 0

    tell(story)


# ---- rates ---------------------------------------------------------------------------------------


def test_in_the_world_rates_hold_and_at_home_they_do_not() -> None:
    for scope, answered in ((Scope.LAN, 500), (Scope.IPV4, UNPROVED_BURST)):
        served = Served(scope)
        assert sum(len(served.ask(Method.PING)) for _ in range(500)) == answered
        assert served.counters.rate_limited == 500 - answered


def test_proved_excess_is_ignored_for_a_while_and_without_looking_at_it() -> None:
    served = Served(Scope.IPV4)
    token = served.token()
    assert sum(len(served.ask(Method.PING, token=token)) for _ in range(PROVED_BURST + 50)) == PROVED_BURST
    assert (served.counters.rate_limited, served.counters.ignored) == (1, 49)
    assert served.raw(b"not even a datagram") == [], "nothing of it is decoded"
    assert served.ask(Method.PING) == []
    assert len(served.ask(Method.PING, sender=Address(HOSTS[Scope.IPV4], 9))) == 1, "its neighbour is heard"
    served.now = IGNORE_SECONDS
    assert len(served.ask(Method.PING, token=served.token())) == 1


def test_a_flood_in_somebodys_name_leaves_its_owner_heard() -> None:
    served = Served(Scope.IPV4)
    token = served.token()
    for _ in range(2000):
        served.ask(Method.PING, token=bytes(8))  # forged
    assert served.counters.ignored == 0
    assert len(served.ask(Method.PING, token=token)) == 1


def test_messages_of_newer_versions_draw_on_the_same_rate() -> None:
    served = Served(Scope.IPV4)
    raw = NETWORK + b"\0" + bytes(20) + msgpack.packb({0: 9, 7: bytes(400)})
    assert sum(len(served.raw(raw)) for _ in range(500)) == UNPROVED_BURST


def test_what_is_malformed_draws_nothing_at_all() -> None:
    served = Served(Scope.IPV4)
    for raw in (b"", b"\xc1", msgpack.packb([]), msgpack.packb({0: 1})):
        with pytest.raises(MalformedError):
            served.raw(NETWORK + b"\0" + bytes(20) + raw)


def test_only_what_was_understood_and_proved_nominates() -> None:
    served = Served()
    for token, nominates in ((b"", False), (bytes(8), False), (served.token(), True)):
        data = encode_request(NETWORK, bytes(20), RequestMessage(Method.PING, ID, {}, False, token))
        _, message = served.responder.answer(data, served.sender, 0.0)
        assert (message is not None) == nominates


def test_a_failure_of_a_handler_goes_out_as_it_is() -> None:
    served = Served()
    served.responder.handle(40, lambda _request: Failure(Code.BUSY, 33))
    (reply,) = served.ask(40)
    assert (reply.code, reply.retry_after) == (Code.BUSY, 33)
    assert pack_address(served.sender) == bytes((10, 0, 0, 2, 17, 118))
