"""Whom a fetch may dial: nobody can aim it at a victim."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from dhtshare.errors import NetworkError
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.dialler import Dialler, PeerAddress
from dhtshare.transfer.dials import (
    ATTEMPTS_PER_ADDRESS,
    ATTEMPTS_PER_IP,
    CONNECTIONS,
    DIALS_IN_FLIGHT,
    IPS_PER_NETWORK,
    Attempts,
    Candidate,
    Dials,
)


def candidate(host: str, port: int = 4470, told_by: str = "") -> Candidate:
    return Candidate(Address(host, port), None, "dht", b"c" * 32, 0, told_by)


def dials() -> Dials:
    return Dials(ScopeRules())


def test_a_known_address_is_taken_once() -> None:
    one = dials()
    assert one.add(candidate("10.0.0.1"))
    assert not one.add(candidate("10.0.0.1"))
    assert one.known == 1


def test_no_system_port_and_no_address_where_nobody_lives() -> None:
    one = dials()
    assert not one.add(candidate("8.8.8.8", 25))
    assert not one.add(candidate("224.0.0.1"))
    assert one.add(candidate("10.0.0.1", 25))  # at home one may


def dial_all(one: Dials, *, seconds: float = 0.0) -> list[Address]:
    """Everybody whom a fetch would dial while each dial fails at once."""
    begun, now = [], 0.0
    while not one.idle and now <= seconds:
        while (chosen := one.next(now)) is not None:
            if one.attempts.begin(chosen.address):
                begun.append(chosen.address)
            one.failed(chosen, now)
        now += 100.0
    return begun


def test_few_ips_of_one_network() -> None:
    one = dials()
    for number in range(10):
        one.add(candidate(f"8.8.8.{number}"))
    assert len({address.host for address in dial_all(one, seconds=1e6)}) == IPS_PER_NETWORK


def test_few_attempts_per_ip() -> None:
    one = dials()
    for port in range(2000, 2020):
        one.add(candidate("8.8.8.8", port))
    assert len(dial_all(one, seconds=1e6)) == ATTEMPTS_PER_IP


def test_few_attempts_per_address() -> None:
    one = dials()
    one.add(candidate("8.8.8.8"))
    assert len(dial_all(one, seconds=1e6)) == ATTEMPTS_PER_ADDRESS
    assert one.idle


def test_the_steps_of_one_errand_are_counted_together() -> None:
    attempts = Attempts(ScopeRules())
    for port in range(2000, 2000 + ATTEMPTS_PER_IP - 1):
        assert attempts.begin(Address("8.8.8.8", port))
    one = Dials(ScopeRules(), attempts=attempts)
    for port in range(3000, 3010):
        one.add(candidate("8.8.8.8", port))
    assert len(dial_all(one, seconds=1e6)) == 1
    assert not one.add(candidate("8.8.8.8", 4000))


def test_at_home_a_peer_is_tried_again_and_again() -> None:
    one = dials()
    one.add(candidate("10.0.0.1"))
    assert len(dial_all(one, seconds=2000.0)) == 21


@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "no.literal"])
def test_nobody_lives_there(host: str) -> None:
    assert not Attempts(ScopeRules()).begin(Address(host, 4470))


def test_a_network_of_ipv6_is_a_48() -> None:
    attempts = Attempts(ScopeRules())
    assert (
        sum(attempts.begin(Address(f"2a00:1450:4001:{number:x}::1", 4470)) for number in range(10)) == IPS_PER_NETWORK
    )


def test_a_thousand_false_ones_of_one_teller_do_not_stand_before_a_true_one() -> None:
    one = dials()
    for number in range(1000):
        one.add(candidate(f"10.1.{number // 250}.{number % 250}", told_by="liar"))
    one.add(candidate("10.0.0.1", told_by="honest"))
    first = [one.next(0.0) for _ in range(2)]
    assert Address("10.0.0.1", 4470) in {chosen.address for chosen in first if chosen is not None}


def test_one_that_a_liar_names_last_comes_when_its_other_teller_has_its_turn() -> None:
    one = dials()
    for number in range(200):
        one.add(candidate(f"10.1.0.{number}", told_by="liar"))
    assert one.add(candidate("10.0.0.1", told_by="liar"))
    assert not one.add(candidate("10.0.0.1", told_by="honest")), "known already, all the same dealt"
    first = [one.next(0.0) for _ in range(2)]
    assert Address("10.0.0.1", 4470) in {chosen.address for chosen in first if chosen is not None}
    assert len(dial_all(one)) + 2 == 201, "and once only"


def test_somebody_waits_for_a_place() -> None:
    one = Dials(ScopeRules(), connections=2)
    for number in range(3):
        one.add(candidate(f"10.0.0.{number + 1}"))
    chosen = [one.next(0.0), one.next(0.0)]
    assert one.next(0.0) is None
    assert one.crowded
    one.succeeded()
    one.succeeded()
    assert chosen[0] is not None
    one.lost(chosen[0], 0.0, banned=True)
    assert not one.crowded


def test_dials_and_connections_are_bounded() -> None:
    one = dials()
    for number in range(200):
        one.add(candidate(f"10.0.0.{number + 1}"))
    begun = 0
    while one.next(0.0) is not None:
        begun += 1
    assert begun == DIALS_IN_FLIGHT
    while one.connected < CONNECTIONS:
        one.succeeded()
        one.next(0.0)
    assert one.connected + one.in_flight <= CONNECTIONS + DIALS_IN_FLIGHT
    assert one.next(0.0) is None


def test_who_lied_is_never_dialled_again() -> None:
    one = dials()
    one.add(candidate("10.0.0.1"))
    chosen = one.next(0.0)
    assert chosen is not None
    one.succeeded()
    one.lost(chosen, 0.0, banned=True)
    assert one.next(1e6) is None
    assert one.idle


def test_who_lied_is_not_dialled_for_an_hour() -> None:
    """By ip and port: another port of that machine may be somebody else's."""
    now = 1000.0
    unused = cast(Any, None)
    dialler = Dialler(ScopeRules(), unused, unused, lambda: now, unused)
    liar, neighbour = Address("8.8.8.8", 4470), Address("8.8.8.8", 4471)
    dialler.ban(liar)
    assert dialler.may_dial(neighbour)
    now = 1000.0 + 3599.0
    assert not dialler.may_dial(liar)
    with pytest.raises(NetworkError, match="banned"):
        asyncio.run(dialler.connect(PeerAddress(liar)))
    now = 1000.0 + 3600.0
    assert dialler.may_dial(liar)
