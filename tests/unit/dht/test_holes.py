"""Whose datagrams prove nothing, because we wrote there ourselves."""

from __future__ import annotations

from dhtshare.dht.holes import HOLE_SECONDS, Holes


def test_a_host_we_wrote_to_may_be_let_in_for_five_minutes() -> None:
    holes = Holes()
    assert not holes.may_let_in("8.8.8.8", 100.0)
    holes.wrote("8.8.8.8", 100.0)
    assert holes.may_let_in("8.8.8.8", 100.0 + HOLE_SECONDS - 1)
    assert not holes.may_let_in("8.8.8.8", 100.0 + HOLE_SECONDS)
    assert not holes.may_let_in("9.9.9.9", 100.0)


def test_every_request_keeps_the_hole_open() -> None:
    holes = Holes()
    for now in (0.0, 200.0, 400.0):
        holes.wrote("8.8.8.8", now)
    assert holes.may_let_in("8.8.8.8", 600.0)


def test_what_was_forgotten_for_room_is_nobody_s_proof() -> None:
    """Who wrote to more hosts than it remembers takes no stranger for one until the forgotten ones are stale."""
    holes = Holes(limit=2)
    for now, host in enumerate(("1.1.1.1", "2.2.2.2", "3.3.3.3")):
        holes.wrote(host, float(now))
    assert holes.may_let_in("1.1.1.1", 10.0)
    assert holes.may_let_in("9.9.9.9", 10.0), "for all we know we wrote there"
    assert not holes.may_let_in("9.9.9.9", HOLE_SECONDS)
    assert holes.may_let_in("3.3.3.3", HOLE_SECONDS)
