"""Calls: retransmission under the same id, late answers, parts, refusals, tokens, and whose answer counts."""

from __future__ import annotations

import asyncio

import pytest

from dhtshare.dht.answers import WrongId
from dhtshare.dht.calls import PARTS_GAP_SECONDS, PARTS_SECONDS, SENDINGS, Call, Listener
from dhtshare.dht.compact import pack_contacts
from dhtshare.dht.contact import UNKNOWN_ID, Contact
from dhtshare.dht.messages import TARGET_KEY, Body, Code, Failure, Method, NoAnswer, Refused, Reply
from dhtshare.dht.routing import EVICT_AFTER_FAILURES
from dhtshare.dht.rpc import MAX_ANSWERS_UNDER_WAY
from dhtshare.dht.rtt import START_SECONDS
from dhtshare.dht.tokens import SAFE_AGE_SECONDS
from dhtshare.dht.wire import MAX_PARTS, UNPROVED_REQUEST_BYTES, ResponseMessage, message_id
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope
from tests.unit.dht.dht_fakes import in_bucket
from tests.unit.dht.virtual import WALL, Net, address_of, contact_of, know, response, tell

ID = b"i" * 20
TARGET = b"t" * 20


class Ear:
    """A listener that keeps what it heard."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.failures: list[NetworkError] = []
        self.late = 0

    @property
    def listener(self) -> Listener:
        return Listener(self.replies.append, self.failures.append, self._late)

    def _late(self) -> None:
        self.late += 1

    @property
    def outcomes(self) -> int:
        return len(self.replies) + len(self.failures)


def part(number: int, parts: int, **fields: object) -> ResponseMessage:
    return ResponseMessage(ID, {2: number}, part=number, parts=parts, **fields)  # type: ignore[arg-type]


def a_call() -> Call:
    ear = Ear()
    return Call(bytes(20), Contact(ID, Address("10.0.0.2", 1)), b"datagram", ear.listener, 0.2)


# ---- the state of one call -----------------------------------------------------------------------


def test_parts_in_any_order_make_one_answer_and_the_first_has_the_fields() -> None:
    call = a_call()
    assert not call.started_answering
    assert not call.take(part(2, 3))
    assert call.started_answering
    assert not call.take(part(0, 3, contacts4=b"c" * 26))
    assert not call.take(part(0, 3)), "twice the same"
    assert call.take(part(1, 3))
    message, bodies, complete = call.answer
    assert message.part == 0
    assert bodies == ({2: 0}, {2: 1}, {2: 2})
    assert complete


def test_what_came_of_a_torn_answer_is_told_as_such() -> None:
    call = a_call()
    call.take(part(1, 3))
    _, bodies, complete = call.answer
    assert bodies == ({2: 1},)
    assert not complete


def test_a_part_that_does_not_fit_the_others_is_left_out() -> None:
    call = a_call()
    call.take(part(0, 3))
    assert not call.take(part(1, 2)), "of another count"
    assert not call.take(part(1, 3)._replace(node_id=b"x" * 20)), "of another node"
    assert not call.take(part(1, 3))
    assert call.take(part(2, 3))


def test_there_is_no_answer_before_one_came() -> None:
    with pytest.raises(ValueError, match="nothing was answered"):
        _ = a_call().answer


# ---- over the network ----------------------------------------------------------------------------


def test_an_answer_to_the_first_sending_counts_even_after_the_last() -> None:
    async def story(net: Net) -> None:
        node, slow = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        ear = Ear()
        node.rpc.start(Contact(UNKNOWN_ID, slow.address), Method.PING, {}, ear.listener)
        await asyncio.sleep(2 * START_SECONDS + 0.1)
        assert len(slow.heard) == 3
        assert len(set(slow.heard)) == 1, "the same datagram under the same id"
        assert (ear.late, ear.outcomes) == (1, 0)
        slow.send(response(message_id(slow.heard[0]), ID), address_of(node))
        await asyncio.sleep(0.1)
        assert len(ear.replies) == 1
        assert node.rpc.peers.rtt(slow.address) == 0, "it measures nothing: nobody knows which sending it answers"
        assert node.contacts == 1
        slow.send(response(message_id(slow.heard[0]), ID), address_of(node))
        await asyncio.sleep(10)
        assert ear.outcomes == 1
        assert node.rpc.counters.unknown_reply == 1

    tell(story)


def test_silence_is_one_failure_after_three_sendings() -> None:
    async def story(net: Net) -> None:
        node, silent = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        ear, began = Ear(), net.loop.time()
        node.rpc.start(Contact(ID, silent.address), Method.PING, {}, ear.listener)
        while not ear.outcomes:
            await asyncio.sleep(0.01)
        assert net.loop.time() - began == pytest.approx(START_SECONDS * SENDINGS, abs=0.02)
        assert len(silent.heard) == SENDINGS
        assert isinstance(ear.failures[0], NoAnswer)
        assert "10.0.0.2:4470 did not answer" in str(ear.failures[0])
        await asyncio.sleep(60)
        assert (ear.outcomes, len(silent.heard)) == (1, SENDINGS)

    tell(story)


def test_several_failures_evict_and_say_so() -> None:
    async def story(net: Net) -> None:
        node, silent = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        contact, lost = Contact(ID, silent.address), []
        know(node, contact)
        node.rpc.on_lost = lost.append
        for count in range(1, EVICT_AFTER_FAILURES + 1):
            with pytest.raises(NoAnswer):
                await node.ping(contact)
            assert (node.contacts, len(lost)) == ((1, 0) if count < EVICT_AFTER_FAILURES else (0, 1))

    tell(story)


def test_parts_that_never_come_are_waited_for_a_moment() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")

        def half(data: bytes, sender: Address) -> None:
            for number in (0, 2):
                stranger.send(response(message_id(data), ID, {2: number}, part=number, parts=3), sender)

        stranger.answer = half
        began = net.loop.time()
        reply = await node.ping(Contact(UNKNOWN_ID, stranger.address))
        assert (reply.parts, reply.complete) == (({2: 0}, {2: 2}), False)
        assert PARTS_GAP_SECONDS <= net.loop.time() - began < PARTS_GAP_SECONDS + 0.1
        assert node.contacts == 1, "it did answer"

    tell(story)


@pytest.mark.parametrize("parts", [2, MAX_PARTS])
def test_an_answer_that_comes_drop_by_drop_is_not_waited_for_without_end(parts: int) -> None:
    async def story(net: Net) -> None:
        node, hostile = net.node("10.0.0.1"), net.stranger("10.0.0.2")

        def drip(data: bytes, sender: Address) -> None:
            for number in range(200):  # the last part never comes
                datagram = response(message_id(data), ID, {2: number}, part=number % (parts - 1), parts=parts)
                net.loop.call_later(0.8 * PARTS_GAP_SECONDS * number, hostile.send, datagram, sender)

        hostile.answer = drip
        began = net.loop.time()
        reply = await node.rpc.call(Contact(UNKNOWN_ID, hostile.address), Method.PING, {})
        assert net.loop.time() - began < PARTS_SECONDS + 0.5
        assert not reply.complete

    tell(story)


def test_who_drips_an_answer_is_late_after_the_usual_time_and_its_answer_counts_all_the_same() -> None:
    async def story(net: Net) -> None:
        node, slow = net.node("10.0.0.1"), net.stranger("10.0.0.2")

        def drip(data: bytes, sender: Address) -> None:
            for number in range(MAX_PARTS):
                datagram = response(message_id(data), ID, {2: number}, part=number, parts=MAX_PARTS)
                net.loop.call_later(0.3 * number, slow.send, datagram, sender)

        slow.answer = drip
        ear = Ear()
        node.rpc.start(Contact(UNKNOWN_ID, slow.address), Method.PING, {}, ear.listener)
        await asyncio.sleep(START_SECONDS - 0.01)
        assert (ear.late, ear.outcomes) == (0, 0)
        await asyncio.sleep(PARTS_GAP_SECONDS)
        assert (ear.late, ear.outcomes) == (1, 0)
        await asyncio.sleep(PARTS_SECONDS)
        assert ear.late == 1
        assert [reply.complete for reply in ear.replies] == [True]

    tell(story)


def test_many_parts_come_through_one_after_the_other() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")

        def slowly(data: bytes, sender: Address) -> None:
            for number in range(MAX_PARTS):
                datagram = response(message_id(data), ID, {2: number}, part=number, parts=MAX_PARTS)
                net.loop.call_later(0.3 * number, stranger.send, datagram, sender)

        stranger.answer = slowly
        reply = await node.ping(Contact(UNKNOWN_ID, stranger.address))
        assert reply.complete, "each part gives the next one its time"
        assert [body[2] for body in reply.parts] == list(range(MAX_PARTS))

    tell(story)


@pytest.mark.parametrize("code", [*Code, 99])
def test_a_refusal_is_an_answer_that_says_no(code: int) -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        stranger.replies_with(lambda identifier: response(identifier, ID, code=code, retry_after=9, token=b"tokentok"))
        with pytest.raises(Refused) as refused:
            await node.ping(Contact(UNKNOWN_ID, stranger.address))
        assert (refused.value.code, refused.value.retry_after) == (code, 9)
        assert node.contacts == 1
        assert node.rpc.counters.refusals >= 1
        assert node.rpc.peers.token(stranger.address, net.loop.time()) == b"tokentok"

    tell(story)


def test_another_id_than_the_asked_one_is_no_answer_and_costs_the_place() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        know(node, Contact(b"o" * 20, stranger.address))
        stranger.replies_with(lambda identifier: response(identifier, ID))
        with pytest.raises(WrongId) as wrong:
            await node.ping(Contact(b"o" * 20, stranger.address))
        assert wrong.value.contact == Contact(ID, stranger.address)
        assert node.contacts == 0
        assert (await node.ping(Contact(UNKNOWN_ID, stranger.address))).node_id == ID
        assert node.contacts == 1

    tell(story)


def test_an_id_that_its_address_may_not_have_is_none_in_the_world() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("81.2.3.4"), net.stranger("82.2.3.4")
        stranger.replies_with(lambda identifier: response(identifier, ID))
        with pytest.raises(WrongId):
            await node.ping(Contact(ID, stranger.address))
        reply = await node.ping(Contact(UNKNOWN_ID, stranger.address))
        assert reply.node_id == ID, "a configured bootstrap node is heard, under whatever id"
        assert node.contacts == 0, "and has no place"

    tell(story, scope=Scope.IPV4)


def test_our_own_address_answering_is_not_a_contact() -> None:
    async def story(net: Net) -> None:
        node = net.node("10.0.0.1")
        reply = await node.ping(Contact(UNKNOWN_ID, address_of(node)))
        assert reply.node_id == node.node_id
        assert node.contacts == 0

    tell(story)


def test_contacts_of_an_answer_are_filtered_by_scope_and_by_who_tells() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        named = {
            "10.0.0.3": in_bucket(150, 3, host="10.0.0.3"),
            "127.0.0.1": in_bucket(150, 4, host="127.0.0.1"),
            "81.2.3.4": in_bucket(150, 5, host="81.2.3.4"),
            "224.0.0.1": in_bucket(150, 6, host="224.0.0.1"),
        }
        four, _ = pack_contacts([*named.values(), contact_of(node)])
        stranger.replies_with(lambda identifier: response(identifier, ID, contacts4=four))
        reply = await node.rpc.call(Contact(UNKNOWN_ID, stranger.address), Method.FIND_NODE, {TARGET_KEY: TARGET})
        assert reply.contacts == (named["10.0.0.3"],), "its own loopback is nothing to us, and we are no news"

    tell(story)


# ---- proving -------------------------------------------------------------------------------------


def test_proof_is_fetched_once_by_a_ping_and_kept() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        seen: list[bool] = []

        def handler(request: object) -> Body:
            seen.append(request.proved)  # type: ignore[attr-defined]
            return {}

        peer.rpc.handle(40, handler, needs_proof=True)
        for _ in range(3):
            await node.rpc.call(contact_of(peer), 40, {}, prove=True)
        assert seen == [True] * 3
        assert node.rpc.counters.calls == 4

    tell(story)


def test_without_proof_the_refusal_brings_the_token_and_the_call_goes_on() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        peer.rpc.handle(40, lambda _request: {2: b"done"}, needs_proof=True)
        reply = await node.rpc.call(contact_of(peer), 40, {})
        assert reply.body == {2: b"done"}
        assert node.rpc.counters.refusals == 1
        assert peer.rpc.counters.unproved == 1

    tell(story)


def test_a_peer_that_restarted_forgets_our_token_and_gives_a_new_one() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        await node.ping(contact_of(peer))
        peer.close()
        again = net.node("10.0.0.2", node_id=peer.node_id)
        again.rpc.handle(40, lambda _request: {2: b"done"}, needs_proof=True)
        again.rpc._responder._mint._current = b"another secret than before......"
        reply = await node.rpc.call(Contact(peer.node_id, Address("10.0.0.2", 4470)), 40, {}, prove=True)
        assert reply.body == {2: b"done"}

    tell(story)


def test_a_refusal_of_proof_without_a_token_ends_it() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        stranger.replies_with(lambda identifier: response(identifier, ID, code=Code.UNPROVED))
        with pytest.raises(Refused):
            await node.rpc.call(Contact(UNKNOWN_ID, stranger.address), 40, {})
        assert len(stranger.heard) == 2, "asked twice, and not for ever"

    tell(story)


def test_requests_carry_a_token_while_it_is_good_and_are_padded_else() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        stranger.replies_with(lambda identifier: response(identifier, ID, token=b"tokentok"))
        place = Contact(UNKNOWN_ID, stranger.address)
        await node.ping(place)
        await node.ping(place)
        await asyncio.sleep(SAFE_AGE_SECONDS)
        await node.ping(place)
        first, second, third = stranger.requests
        assert [message.token for message in (first, second, third)] == [b"", b"tokentok", b""]
        assert [len(data) >= UNPROVED_REQUEST_BYTES for data in stranger.heard] == [True, False, True]
        assert second.dialled == stranger.address
        assert second.node_id == node.node_id

    tell(story)


# ---- bounds --------------------------------------------------------------------------------------


def test_calls_under_way_are_bounded() -> None:
    async def story(net: Net) -> None:
        node, ear = net.node("10.0.0.1"), Ear()
        nobody = Contact(UNKNOWN_ID, Address("10.9.9.9", 9))
        for _ in range(MAX_ANSWERS_UNDER_WAY + 5):
            node.rpc.start(nobody, Method.PING, {}, ear.listener)
        assert len(ear.failures) == 5
        await asyncio.sleep(60)
        assert len(ear.failures) == MAX_ANSWERS_UNDER_WAY + 5
        assert node.rpc._calls == {}

    tell(story)


def test_a_listener_may_call_and_cancel_from_inside() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        second = Ear()
        calls: list[Call | None] = []

        def replied(_reply: Reply) -> None:
            calls.append(node.rpc.start(contact_of(peer), Method.PING, {}, second.listener))
            abandoned = node.rpc.start(contact_of(peer), Method.PING, {}, Ear().listener)
            assert abandoned is not None
            node.rpc.cancel(abandoned)
            node.rpc.cancel(abandoned)

        node.rpc.start(contact_of(peer), Method.PING, {}, Listener(replied, lambda error: None, lambda: None))
        await asyncio.sleep(1)
        assert len(second.replies) == 1
        assert node.rpc._calls == {}

    tell(story)


def test_the_client_bit_goes_with_each_request() -> None:
    async def story(net: Net) -> None:
        node, stranger = net.node("10.0.0.1"), net.stranger("10.0.0.2")
        stranger.replies_with(lambda identifier: response(identifier, ID))
        for client in (True, False):
            node.become(client=client)
            await node.ping(Contact(UNKNOWN_ID, stranger.address))
        assert [message.client for message in stranger.requests] == [True, False]

    tell(story)


def test_what_a_reply_says_of_us_is_handed_on() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("81.2.3.4"), net.node("82.2.3.4")
        heard: list[tuple[Contact, Reply]] = []
        node.rpc.on_reply = lambda contact, reply: heard.append((contact, reply))
        before = node.rpc.last_reply
        await node.ping(contact_of(peer))
        ((contact, reply),) = heard
        assert contact == contact_of(peer)
        assert reply.seen == address_of(node)
        assert reply.wall == WALL
        assert 0 < reply.rtt < 0.1
        assert node.rpc.last_reply > before

    tell(story, scope=Scope.IPV4)


def test_busy_comes_with_a_time() -> None:
    async def story(net: Net) -> None:
        node, peer = net.node("10.0.0.1"), net.node("10.0.0.2")
        peer.rpc.handle(40, lambda _request: Failure(Code.BUSY, 17))
        with pytest.raises(Refused, match="busy") as refused:
            await node.rpc.call(contact_of(peer), 40, {})
        assert refused.value.retry_after == 17

    tell(story)
