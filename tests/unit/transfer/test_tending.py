"""Who stalls, is dead or gives nothing, in virtual time."""

from __future__ import annotations

import random
from typing import cast

import pytest

from dhtshare.transfer.connection import Connection
from dhtshare.transfer.learning import Learning
from dhtshare.transfer.messages import Message, Ping
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.source import DEAD_SECONDS, LEAST_STALL_SECONDS, SwarmPeer
from dhtshare.transfer.tending import PING_SECONDS, USELESS_SECONDS, Tending
from dhtshare.transfer.window import Window
from tests.unit.transfer.job_fakes import FakeConnection, fake_peer

MIB = 1 << 20


class Spoken(FakeConnection):
    """Keeps what is said, and why it was closed."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.said: list[Message] = []
        self.errors: list[Exception] = []

    def send(self, message: Message) -> None:
        self.said.append(message)

    def close(self, error: Exception) -> None:
        self.errors.append(error)


class Asked:
    """Whom descriptors would be asked of."""

    def __init__(self) -> None:
        self.peers: list[SwarmPeer] = []

    def ask(self, peer: SwarmPeer) -> None:
        self.peers.append(peer)


class Bench:
    def __init__(self, count: int) -> None:
        self.connections = [Spoken(port) for port in range(1, count + 1)]
        self.peers = {cast("Connection", one): fake_peer(one, Window(MIB)) for one in self.connections}
        self.picker = Picker(10, (1 << 10) - 1, random.Random(1))
        for peer in self.peers.values():
            self.picker.peer_has(peer, 0, complete=True)
        self.asked = Asked()
        self.tending = Tending(self.peers, self.picker, cast("Learning", self.asked), 0.0)

    @property
    def first(self) -> SwarmPeer:
        return next(iter(self.peers.values()))


def test_who_stalls_is_left_to_others_and_who_is_dead_goes() -> None:
    on = Bench(2)
    on.picker.requested(on.first, 0, 1.0)
    on.first.asked(MIB, 0.0)
    on.tending.round(LEAST_STALL_SECONDS, crowded=False)
    assert not on.first.snubbed
    on.tending.round(LEAST_STALL_SECONDS + 0.1, crowded=False)
    assert on.first.snubbed
    assert not any(one.errors for one in on.connections)
    on.tending.round(DEAD_SECONDS + 0.1, crowded=False)
    assert [len(one.errors) for one in on.connections] == [1, 0]
    assert "stalls" in str(on.connections[0].errors[0])


def test_all_are_asked_for_descriptors_each_time() -> None:
    on = Bench(3)
    on.tending.round(0.25, crowded=False)
    assert on.asked.peers == list(on.peers.values())


@pytest.mark.parametrize("crowded", [True, False])
def test_who_gives_nothing_makes_room_where_others_wait(crowded: bool) -> None:
    on = Bench(3)
    for number, peer in enumerate(on.peers.values()):
        peer.useful_at = [5.0, 1.0, 3.0][number]
    on.tending.round(1.0 + USELESS_SECONDS, crowded=crowded)
    assert not any(one.errors for one in on.connections)
    on.tending.round(1.1 + USELESS_SECONDS, crowded=crowded)
    assert [len(one.errors) for one in on.connections] == [0, int(crowded), 0]


def test_nobody_at_work_needs_nothing() -> None:
    Bench(0).tending.round(2 * PING_SECONDS, crowded=True)


def test_all_hear_of_us_once_a_minute() -> None:
    on = Bench(2)
    for second in range(3 * int(PING_SECONDS)):
        on.tending.round(float(second), crowded=False)
    assert [one.said for one in on.connections] == [[Ping()] * 2] * 2
