"""Which answers about providers become leads: none that leads a searcher where the answerer may not point."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dhtshare.dht.contact import Contact
from dhtshare.dht.records.find_providers import find_providers
from dhtshare.dht.records.finds import providers_body
from dhtshare.dht.records.holding import Holding
from dhtshare.dht.records.provider import ProviderClaim, answer
from dhtshare.network import Address, Scope, ScopeRules
from tests.unit.records.records_fakes import NETWORK, content, store

PEER = b"peerpeer"


async def named_by(scope: Scope, named: dict[str, list[tuple[str, int]]]) -> list[tuple[str, str]]:
    """Who names whom, when each of these answerers says so."""

    async def walk(key: bytes, *, on_reply: Callable[[Contact, Any], None], **_: Any) -> None:
        for answerer, addresses in named.items():
            body = providers_body([answer(host, ProviderClaim(port, PEER)) for host, port in addresses])
            on_reply(Contact(b"i" * 20, Address(answerer, 4470)), SimpleNamespace(parts=[body, body]))

    dht = SimpleNamespace(scope=scope, contacts=1, walk=walk, rpc=SimpleNamespace(now=lambda: 0.0))
    rules = ScopeRules([ipaddress.ip_network("10.0.0.0/8")])
    holding = cast(Holding, SimpleNamespace(dht=dht, store=store(scope), rules=rules))
    return [(one.told_by, str(one.address)) async for one in find_providers([holding], NETWORK, content(1))]


async def test_one_address_is_told_once_by_each_network_that_names_it() -> None:
    one = ("10.9.9.9", 4470)
    told = await named_by(Scope.IPV4, {"10.0.0.1": [one], "10.0.0.2": [one], "10.0.1.1": [one]})
    assert told == [("0a0000", "10.9.9.9:4470"), ("0a0001", "10.9.9.9:4470")]
    one = ("192.168.1.9", 4470)
    told = await named_by(Scope.LAN, {"192.168.1.1": [one], "192.168.1.2": [one]})
    assert [by for by, _ in told] == ["192.168.1.1:4470", "192.168.1.2:4470"]


async def leads(scope: Scope, answerer: str, *named: tuple[str, int], public: str = "10.0.0.0/8") -> set[str]:
    """What a searcher would dial after `answerer` named these addresses."""

    async def walk(key: bytes, *, on_reply: Callable[[Contact, Any], None], **_: Any) -> None:
        body = providers_body([answer(host, ProviderClaim(port, PEER)) for host, port in named])
        on_reply(Contact(b"i" * 20, Address(answerer, 4470)), SimpleNamespace(parts=[body]))

    dht = SimpleNamespace(scope=scope, contacts=1, walk=walk, rpc=SimpleNamespace(now=lambda: 0.0))
    rules = ScopeRules([ipaddress.ip_network(public)])
    holding = cast(Holding, SimpleNamespace(dht=dht, store=store(scope), rules=rules))
    return {str(provider.address) async for provider in find_providers([holding], NETWORK, content(1))}


async def test_a_neighbour_leads_nobody_to_his_own_machine() -> None:
    assert await leads(Scope.LAN, "192.168.1.9", ("127.0.0.1", 631), ("192.168.1.7", 80)) == {"192.168.1.7:80"}


async def test_a_node_of_this_machine_may_name_another_of_it() -> None:
    assert await leads(Scope.LAN, "127.0.0.1", ("127.0.0.1", 4471)) == {"127.0.0.1:4471"}


@pytest.mark.parametrize(
    "named", ["192.168.1.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "fe80::1", "::1"]
)
async def test_no_address_of_another_scope(named: str) -> None:
    assert await leads(Scope.IPV4, "10.0.0.1", (named, 4470), ("10.0.0.2", 4470)) == {"10.0.0.2:4470"}


async def test_no_port_below_1024_in_a_global_scope() -> None:
    ports = (1, 22, 25, 53, 80, 443, 1023)
    assert await leads(Scope.IPV4, "10.0.0.1", *((f"10.0.1.{port % 250}", port) for port in ports)) == set()
    assert await leads(Scope.IPV4, "10.0.0.1", ("10.0.1.1", 1024)) == {"10.0.1.1:1024"}
