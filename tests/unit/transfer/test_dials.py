"""Whom a fetch may dial: nobody can aim it at a victim."""

from __future__ import annotations

from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.dials import (
    ATTEMPTS_PER_ADDRESS,
    ATTEMPTS_PER_IP,
    CONNECTIONS,
    DIALS_IN_FLIGHT,
    IPS_PER_NETWORK,
    Candidate,
    Dials,
)


def candidate(host: str, port: int = 4470) -> Candidate:
    return Candidate(Address(host, port), None, "dht", b"c" * 32, 0)


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


def test_few_ips_of_one_network() -> None:
    one = dials()
    taken = [one.add(candidate(f"8.8.8.{number}")) for number in range(10)]
    assert sum(taken) == IPS_PER_NETWORK


def test_few_attempts_per_ip() -> None:
    one = dials()
    for port in range(2000, 2020):
        one.add(candidate("8.8.8.8", port))
    begun = 0
    while (chosen := one.next(0.0)) is not None:
        begun += 1
        one.failed(chosen, 0.0)
    assert begun == ATTEMPTS_PER_IP


def test_few_attempts_per_address() -> None:
    one = dials()
    one.add(candidate("8.8.8.8"))
    attempts, now = 0, 0.0
    while not one.idle:
        chosen = one.next(now)
        if chosen is not None:
            attempts += 1
            one.failed(chosen, now)
        now += 1000.0
    assert attempts == ATTEMPTS_PER_ADDRESS


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
