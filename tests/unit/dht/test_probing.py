"""What a round of probes says: reachable, not, or nothing."""

from __future__ import annotations

import pytest

from dhtshare.dht.messages import Method
from dhtshare.dht.reach import REPORT_SECONDS, Probing, Reach
from dhtshare.dht.wire import TYPE_REQUEST, datagram_type, decode_request, message_id
from dhtshare.network import Address, Scope
from tests.unit.dht.dht_fakes import bound
from tests.unit.dht.virtual import NETWORK, Net, address_of, know, response, tell


@pytest.mark.parametrize(
    ("strangers", "others", "sent", "dialled", "reachable", "dialable"),
    [
        (0, 0, {}, {}, None, None),  # nobody reported
        (1, 0, {"a": True}, {}, True, None),
        (1, 0, {"a": True}, {"a": False}, True, False),  # UDP gets in, TCP does not
        (1, 0, {}, {}, True, None),  # the report came late or never
        (0, 0, {"a": True}, {}, False, None),
        (0, 0, {"a": True}, {"a": True}, False, True),  # TCP is forwarded, UDP is not
        (0, 0, {"a": False}, {"a": False}, None, False),  # there was nobody to send
        (0, 0, {"a": False}, {"a": True}, True, True),  # … but the dial got in
        (0, 1, {"a": True}, {"a": False}, None, False),  # a hole in the NAT
        (0, 1, {"a": True}, {"a": True}, True, True),
        (0, 0, {"a": True, "b": False}, {}, False, None),
        (0, 0, {"a": False}, {"a": True, "b": False}, None, False),  # a tie is no majority
        (0, 0, {"a": False}, {"a": True, "b": False, "c": True}, True, True),
    ],
)
def test_verdicts(
    strangers: int,
    others: int,
    sent: dict[str, bool],
    dialled: dict[str, bool],
    reachable: bool | None,
    dialable: bool | None,
) -> None:
    probing = Probing(strangers=strangers, others=others, sent=sent, dialled=dialled)
    assert probing.reachable is reachable
    assert probing.dialable is dialable


def test_all_reported() -> None:
    probing = Probing(asked={b"n": "a", b"m": "b"})
    assert not probing.all_reported
    probing.sent = {"a": True, "b": False}
    assert probing.all_reported
    probing.asked[b"o"] = "b"  # one more at the same host, which counts once
    assert probing.all_reported


@pytest.mark.parametrize(
    ("dialled", "silent", "undialable"),
    [
        ({}, 0, None),  # nobody was asked to dial
        ({"a": False}, 0, True),
        ({"a": False, "b": False, "c": False}, 0, True),
        ({"a": False, "b": False}, 1, None),  # one may still say that it got in
        ({"a": False, "b": False, "c": True}, 0, False),  # two liars of three silence nobody
        ({"a": True}, 2, False),
    ],
)
def test_it_takes_all_who_tried_to_say_that_nobody_can_dial_us(
    dialled: dict[str, bool], silent: int, undialable: bool | None
) -> None:
    asked = {bytes([number]): "abcde"[number] for number in range(len(dialled) + silent)}
    probing = Probing(asked=asked, sent=dict.fromkeys(dialled, True), dialled=dialled)
    assert probing.undialable is undialable


@pytest.mark.parametrize("answers_lost", [0, 1, 2])
def test_who_reports_was_asked_though_its_answer_to_that_was_lost(answers_lost: int) -> None:
    """The round waited its 12 s for a report that it had, or told nothing."""

    async def story(net: Net) -> None:
        node = net.node("81.2.3.4")
        losing: list[str] = []  # whose answers to PROBE are lost

        async def prober(host: str) -> None:
            contact, stranger = bound(host), net.stranger(host)
            token = await stranger.token_of(address_of(node))

            def answer(data: bytes, sender: Address) -> None:
                if datagram_type(data, NETWORK) != TYPE_REQUEST:
                    return
                request = decode_request(data)
                if request.method == Method.PROBE:
                    if host not in losing and len(losing) < answers_lost:
                        losing.append(host)
                    report = {2: request.body[4], 4: True, 5: False}
                    stranger.ask(sender, Method.PROBED, report, node_id=contact.node_id, token=token)
                if request.method == Method.PING or host not in losing:
                    stranger.send(response(message_id(data), contact.node_id, token=b"tokentok"), sender)

            know(node, contact)
            stranger.answer = answer

        for number in range(4):  # of whom two are asked
            await prober(f"8{number + 2}.2.3.4")
        reach, began = Reach(node, 5000), net.loop.time()
        assert await reach.find_out() is True
        assert net.loop.time() - began < REPORT_SECONDS / 2
        assert len(losing) == answers_lost

    tell(story, scope=Scope.IPV4)
