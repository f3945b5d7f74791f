"""What a round of probes says: reachable, not, or nothing."""

from __future__ import annotations

import pytest

from dhtshare.dht.reach import Probing


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
    asked = {bytes([number]): str(number) for number in range(len(dialled) + silent)}
    probing = Probing(asked=asked, sent=dict.fromkeys(dialled, True), dialled=dialled)
    assert probing.undialable is undialable
