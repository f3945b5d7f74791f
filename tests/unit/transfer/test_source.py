"""Whether a peer that gives nothing is to blame for it, where our own download cap keeps us from reading."""

from __future__ import annotations

from dhtshare.transfer.floor import FLOOR_SECONDS
from dhtshare.transfer.source import CHATTER_BYTES, DEAD_SECONDS, SwarmPeer
from dhtshare.transfer.window import Window
from tests.unit.transfer.job_fakes import FakeConnection, fake_peer

MIB = 1 << 20


class Capped:
    """A peer that was asked for a chunk; looked at twice a second."""

    def __init__(self) -> None:
        self.connection = FakeConnection()
        self.peer: SwarmPeer = fake_peer(self.connection, Window(MIB))
        self.peer.asked(MIB, 0.0)
        self.now = 0.0

    def reads(self, payload: int, besides: int = 0) -> None:
        self.connection.payload_bytes += payload
        self.connection.received.add(payload + besides, self.now)
        if payload:
            self.connection.payload_at = self.now

    def dies_within(self, seconds: float) -> bool:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            if self.peer.is_dead(self.now):
                return True
        return False


def test_who_sends_as_much_as_we_take_is_no_trickle_however_little_that_is() -> None:
    capped = Capped()
    capped.connection.held_back = True
    for _ in range(10):
        capped.reads(4096)
        assert not capped.dies_within(60.0)


def test_who_says_nothing_is_dead_once_we_read_again() -> None:
    capped = Capped()
    capped.connection.held_back = True
    assert not capped.dies_within(60.0)
    capped.connection.held_back = False
    assert not capped.dies_within(DEAD_SECONDS)
    assert capped.dies_within(1.0)


def test_a_trickle_is_one_as_long_as_the_cap_keeps_us_from_nothing() -> None:
    capped = Capped()
    for _ in range(3):
        capped.reads(1)
        if capped.dies_within(DEAD_SECONDS - 1):
            break
    else:
        raise AssertionError
    assert capped.now <= FLOOR_SECONDS + 1


def test_chatter_that_uses_up_the_cap_excuses_nobody() -> None:
    capped = Capped()
    capped.connection.held_back = True
    for _ in range(100):
        capped.reads(0, besides=CHATTER_BYTES // 4)
        if capped.dies_within(1.0):
            break
    else:
        raise AssertionError
    assert capped.now <= 4 + DEAD_SECONDS + 1
