"""How many nodes of one owner count."""

from __future__ import annotations

import random

import pytest

from dhtshare.dht.diversity import Diversity, port_allowed
from dhtshare.network import Address, Scope


def a(host: str, port: int = 4470) -> Address:
    return Address(host, port)


def test_one_machine_counts_once_at_whatever_port() -> None:
    diversity = Diversity(Scope.IPV4)
    assert diversity.admit(a("4.4.4.4"))
    assert not diversity.admit(a("4.4.4.4", 5000))


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        (Scope.IPV4, ["4.4.4.1", "4.4.4.2", "4.4.4.255"], "4.4.5.1"),
        (Scope.IPV6, ["2a00:1:2::1", "2a00:1:2:ffff::1", "2a00:1:2:3::1"], "2a00:1:3::1"),
    ],
)
def test_one_network_counts_twice(scope: Scope, same: list[str], other: str) -> None:
    diversity = Diversity(scope)
    assert [diversity.admit(a(host)) for host in same] == [True, True, False]
    assert diversity.admit(a(other))


def test_in_the_lan_everything_fits() -> None:
    diversity = Diversity(Scope.LAN)
    assert all(diversity.admit(a("10.0.0.1", port)) for port in range(2000, 2100))


@pytest.mark.parametrize("seed", range(20))
def test_admit_agrees_with_a_plain_list(seed: int) -> None:
    rng = random.Random(seed)
    diversity = Diversity(Scope.IPV4)
    counted: list[Address] = []
    for _ in range(100):
        address = a(f"4.{rng.randrange(3)}.{rng.randrange(9)}.{rng.randrange(1, 6)}", rng.randrange(2000, 2003))
        network = address.host.rpartition(".")[0]
        expected = (
            address.host not in [other.host for other in counted]
            and sum(other.host.rpartition(".")[0] == network for other in counted) < 2
        )
        assert diversity.admit(address) == expected
        if expected:
            counted.append(address)


@pytest.mark.parametrize(("port", "allowed"), [(0, False), (53, False), (1023, False), (1024, True), (65_535, True)])
def test_no_node_lives_where_well_known_services_do(port: int, allowed: bool) -> None:
    assert port_allowed(port) is allowed
