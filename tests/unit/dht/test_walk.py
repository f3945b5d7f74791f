"""The walk: what a lookup's driver makes of answers, refusals, lies and silence, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from dhtshare.dht.compact import pack_contacts
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import TARGET_KEY, Answer, Code, Failure, Method, Reply, Request
from dhtshare.dht.scope import ScopeDht
from dhtshare.dht.walk import Step, WalkResult
from dhtshare.dht.wire import message_id
from dhtshare.errors import MalformedError
from dhtshare.network import Address
from tests.unit.dht.virtual import Net, contact_of, know, response, tell

TARGET = bytes(20)
GET = 0x7F00


def chain(net: Net, count: int) -> list[ScopeDht]:
    """Nodes at distances that halve, each of which knows the next two only. The first is ours, the farthest."""
    nodes = [
        net.node(f"10.0.0.{number + 1}", node_id=(1 << 150 - 4 * number).to_bytes(20, "big")) for number in range(count)
    ]
    for number, node in enumerate(nodes):
        know(node, *nodes[number + 1 : number + 3])
    return nodes


def star(net: Net, count: int) -> tuple[ScopeDht, list[ScopeDht]]:
    """A node that knows `count` others, 20 in each bucket, closest to the target first, who know nobody."""
    ours = net.node("10.0.1.1", node_id=bytes(20))
    others = [
        net.node(f"10.0.0.{number + 1}", node_id=(1 << 100 + number // 20 | number).to_bytes(20, "big"))
        for number in range(count)
    ]
    know(ours, *others)
    return ours, others


def test_it_walks_to_the_closest_by_what_each_on_the_way_knows() -> None:
    async def story(net: Net) -> None:
        ours, *others = chain(net, 7)
        result = await ours.walk(TARGET)
        assert result.closest == [contact_of(node) for node in reversed(others)]
        assert (result.asked, result.answered, result.failed, result.lied) == (6, 6, 0, 0)
        assert result.complete
        assert 3 <= result.hops <= 5
        assert 0 < result.seconds < 0.4

    tell(story)


def test_alone_it_is_over_at_once() -> None:
    async def story(net: Net) -> None:
        result = await net.node("10.0.0.1").walk(TARGET)
        assert result == WalkResult(TARGET, complete=True)

    tell(story)


def test_the_trace_tells_who_was_asked_what_came_of_it_and_when() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 4)
        answering, refusing, silent, lying = others
        refusing.rpc.handle(GET, lambda request: Failure(Code.BUSY), with_contacts=True)
        for node in (answering, lying):
            node.rpc.handle(GET, lambda request: {}, with_contacts=True)
        net.datagrams.silence(contact_of(silent).address)
        believed = contact_of(lying)
        lying.rpc.moved(b"\x77" * 20, lying.table)  # answers under another id than the one we know
        steps: list[Step] = []
        result = await ours.walk(TARGET, method=GET, trace=steps.append)
        outcomes = {step.contact: step.outcome for step in steps}
        assert outcomes == {
            contact_of(answering): "answered",
            contact_of(refusing): "refused",
            contact_of(silent): "timed out",
            believed: "lied",
        }
        assert [step.outcome for step in steps if step.contact == contact_of(silent)] == ["late", "timed out"]
        times = [step.seconds for step in steps]
        assert times == sorted(times)
        assert all(step.hops == 1 for step in steps)
        assert all(0 < step.took <= step.seconds for step in steps)
        assert {step.path for step in steps} == {0, 1}
        assert (result.answered, result.failed, result.lied) == (1, 1, 1)
        assert result.closest == [contact_of(answering)]

    tell(story)


def test_a_malformed_answer_costs_the_responder_its_place_and_not_the_walk() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 5)
        steps: list[Step] = []

        def read(contact: Contact, reply: Reply) -> None:
            if contact == contact_of(others[0]):
                raise MalformedError("that is no find")

        result = await ours.walk(TARGET, on_reply=read, trace=steps.append)
        assert result.closest == [contact_of(node) for node in others[1:]]
        assert result.lied == 1
        assert [step.outcome for step in steps].count("malformed") == 1

    tell(story)


def test_what_a_malformed_answer_names_is_not_followed() -> None:
    async def story(net: Net) -> None:
        ours, liar, accomplice = (net.node(f"10.0.0.{number}") for number in (1, 2, 3))
        know(ours, liar)
        know(liar, accomplice)

        def read(contact: Contact, reply: Reply) -> None:
            raise MalformedError("that is no find")

        result = await ours.walk(TARGET, on_reply=read)
        assert (result.asked, result.closest) == (1, [])
        assert accomplice.rpc.counters.requests == 0

    tell(story)


def test_finds_come_while_the_walk_is_under_way() -> None:
    async def story(net: Net) -> None:
        ours, *others = chain(net, 8)
        heard: list[tuple[float, Contact]] = []
        began = net.loop.time()
        result = await ours.walk(TARGET, on_reply=lambda contact, _: heard.append((net.loop.time() - began, contact)))
        assert len(heard) == len(others)
        assert heard[0][0] < result.seconds / 2

    tell(story)


def test_every_one_is_asked_for_the_method_under_the_target_with_the_body() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 3)
        asked: list[Request] = []

        def get(request: Request) -> Answer:
            asked.append(request)
            return {5: b"found"}

        for node in others:
            node.rpc.handle(GET, get, with_contacts=True)
        bodies: list[object] = []
        await ours.walk(TARGET, method=GET, body={7: b"filter"}, on_reply=lambda _, reply: bodies.append(reply.body[5]))
        assert [request.body for request in asked] == [{7: b"filter", TARGET_KEY: TARGET}] * 3
        assert bodies == [b"found"] * 3

    tell(story)


def test_a_cancelled_walk_leaves_no_call_and_no_timer_behind() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 5)
        for node in others:
            net.datagrams.silence(contact_of(node).address)
        task = asyncio.ensure_future(ours.walk(TARGET))
        await asyncio.sleep(0.01)
        sent = ours.rpc.counters.datagrams_out
        assert sent > 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)
        assert ours.rpc.counters.datagrams_out == sent
        assert ours.rpc.counters.timeouts == 0
        assert len(ours.table) == 5  # nobody is blamed for a question that was taken back

    tell(story)


def test_a_walk_cancelled_while_it_looks_behind_the_dead_leaves_nothing_either() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 20)
        for node in others[:3]:
            net.datagrams.silence(contact_of(node).address)
        task = asyncio.ensure_future(ours.walk(TARGET))
        while all(node.rpc.counters.requests < 2 for node in others):  # once on the way, once for who stands behind
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        calls = ours.rpc.counters.calls, ours.rpc.counters.retransmissions
        await asyncio.sleep(10)
        assert (ours.rpc.counters.calls, ours.rpc.counters.retransmissions) == calls

    tell(story)


@pytest.mark.parametrize("seed", range(6))
def test_a_walk_ends_whoever_is_dead(seed: int) -> None:
    """A late contact that the first closest did not need may be needed once some of them turn out to be dead."""

    async def story(net: Net) -> None:
        nodes = [net.node(f"10.0.{number // 200}.{number % 200 + 1}") for number in range(120)]
        for node in nodes:
            for other in net.rng.sample(nodes, 60):
                node.table.answered(contact_of(other), 0.0)
        dead = net.rng.sample(nodes[1:], 40)
        for node in dead:
            net.datagrams.silence(contact_of(node).address)
        for target in (net.rng.randbytes(20) for _ in range(6)):
            async with asyncio.timeout(60):
                result = await nodes[0].walk(target, found=lambda: False)
            assert not {contact_of(node) for node in dead} & set(result.closest)
        await asyncio.sleep(10)

    tell(story, seed=seed)


def test_an_answer_after_the_contact_was_late_still_counts() -> None:
    async def story(net: Net) -> None:
        ours = net.node("10.0.1.1", node_id=b"\xff" * 20)
        slow = net.stranger("10.0.0.1")
        node_id = (1).to_bytes(20, "big")
        know(ours, Contact(node_id, slow.address))
        wait = ours.rpc.peers.timeout(slow.address)
        slow.answer = lambda data, sender: (
            net.loop.call_later(wait * 1.2, slow.send, response(message_id(data), node_id), sender) and None
        )
        steps: list[Step] = []
        result = await ours.walk(TARGET, trace=steps.append)
        assert [step.outcome for step in steps] == ["late", "answered"]
        assert [contact.address for contact in result.closest] == [slow.address]

    tell(story)


def test_where_nothing_is_found_more_paths_are_tried_and_where_something_is_none() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 60)
        first = await ours.walk(TARGET, found=lambda: True)
        assert first.asked == 20
        patient = await ours.walk(TARGET, found=lambda: False)
        assert patient.asked > first.asked
        assert patient.closest == first.closest == [contact_of(node) for node in others[:20]]

    tell(story)


def test_a_walk_for_the_first_find_ends_with_it_and_leaves_nothing_behind() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 60)
        held: list[Contact] = []

        def take(contact: Contact, reply: Reply) -> None:
            if contact == contact_of(others[1]):
                held.append(contact)

        result = await ours.walk(TARGET, on_reply=take, found=lambda: bool(held), stop_when_found=True)
        assert held
        assert result.asked <= 4
        assert not result.complete, "the k closest were not all asked, so it tells nothing of the network's size"
        await asyncio.sleep(0)
        assert not ours.rpc._calls
        nothing = await ours.walk(TARGET, found=lambda: False, stop_when_found=True)
        assert nothing.asked == (await ours.walk(TARGET, found=lambda: False)).asked

    tell(story)


def test_a_walk_for_everybody_around_goes_on_to_the_last_of_them_and_no_farther() -> None:
    async def story(net: Net) -> None:
        ours = net.node("10.0.1.1", node_id=bytes(20))
        near = [
            net.node(f"10.0.0.{number + 1}", node_id=(1 << 100 | number * 4).to_bytes(20, "big"))
            for number in range(30)
        ]
        far = net.node("10.0.2.1", node_id=b"\x80" + bytes(19))
        know(ours, near[0], near[1])
        for number, node in enumerate(near):
            know(node, *near[number + 1 : number + 3], far)
        assert len((await ours.walk(TARGET, k=4, paths=1)).closest) == 4
        result = await ours.walk(TARGET, k=4, paths=1, around=(1 << 101) - 1)
        assert result.closest == [contact_of(node) for node in near]
        assert (result.asked, result.complete) == (30, True)

    tell(story)


def test_a_region_too_dense_for_the_network_is_said_to_be_suspicious_and_walked_twice_as_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 60)
        monkeypatch.setattr(ours, "suspicious", lambda target, closest: True)
        result = await ours.walk(TARGET)
        assert result.suspicious
        assert result.closest == [contact_of(node) for node in others[:40]]

    tell(story)


def test_who_stands_behind_dead_ones_is_found_by_asking_those_nearest_to_there() -> None:
    """All tables name the same 20, six of them dead; the six that take their places are known to the farthest alone."""

    async def story(net: Net) -> None:
        ours, others = star(net, 20)
        behind = [
            net.node(f"10.0.2.{number + 1}", node_id=(1 << 120 | number).to_bytes(20, "big")) for number in range(6)
        ]
        dead = others[:6]
        for node in dead:
            net.datagrams.silence(contact_of(node).address)
        for node in others[6:]:
            know(node, *others[:6])
        know(others[-1], *behind)
        result = await ours.walk(TARGET)
        assert result.closest == [contact_of(node) for node in [*others[6:], *behind]]

    tell(story)


def test_seeds_are_walked_from_where_the_table_knows_nobody() -> None:
    async def story(net: Net) -> None:
        ours, others = star(net, 3)
        stranger = net.node("10.0.3.3")
        know(stranger, *others)
        assert await newcomer_finds(net, stranger) == {contact_of(stranger), *map(contact_of, others)}
        assert ours.rpc.counters.requests == 0

    async def newcomer_finds(net: Net, seed: ScopeDht) -> set[Contact]:
        newcomer = net.node("10.0.4.4")
        result = await newcomer.walk(TARGET, seeds=[contact_of(seed)])
        return set(result.closest)

    tell(story)


def test_a_walk_counts_as_a_refresh_of_the_bucket_that_it_went_into() -> None:
    async def story(net: Net) -> None:
        ours, _ = star(net, 3)
        await asyncio.sleep(1000)
        index = ours.table.stale(ours.rpc.now(), 900)[0]
        await ours.walk(ours.table.random_target(index, ours.rng))
        assert index not in ours.table.stale(ours.rpc.now(), 900)

    tell(story)


def test_where_nothing_can_be_sent_the_walk_ends() -> None:
    async def story(net: Net) -> None:
        ours, _ = star(net, 3)
        ours.rpc.transport = None
        result = await ours.walk(TARGET)
        assert (result.closest, result.failed) == ([], 3)

    tell(story)


def test_a_contact_of_another_scope_is_not_walked_to() -> None:
    async def story(net: Net) -> None:
        ours, _ = star(net, 2)
        stranger = net.stranger("10.0.0.99")
        named4 = pack_contacts(
            [Contact(b"\x01" * 20, Address("8.8.8.8", 4470)), Contact(b"\x02" * 20, Address("10.0.0.98", 4470))]
        )[0]
        node_id = (9).to_bytes(20, "big")
        stranger.replies_with(lambda identifier: response(identifier, node_id, contacts4=named4))
        know(ours, Contact(node_id, stranger.address))
        steps: list[Step] = []
        await ours.walk(TARGET, method=Method.FIND_NODE, trace=steps.append)
        asked = {step.contact.address.host for step in steps}
        assert "8.8.8.8" not in asked
        assert "10.0.0.98" in asked

    tell(story)
