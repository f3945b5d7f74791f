"""What multicast DNS may tell us: hints of our network and of the LAN scope, nothing else; and where there is none."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo

from dhtshare.lan import SERVICE, LanDiscovery, hints
from dhtshare.network import Address, ScopeRules, network_id

NETWORK = network_id("home")


def service(**changes: Any) -> AsyncServiceInfo:
    fields: dict[str, Any] = {
        "port": 4470,
        "parsed_addresses": ["192.168.1.7"],
        "properties": {b"net": NETWORK.hex().encode()},
        **changes,
    }
    info: AsyncServiceInfo = AsyncServiceInfo(SERVICE, f"abc.{SERVICE}", **fields)
    assert isinstance(info, ServiceInfo)
    return info


def test_a_neighbour_of_our_network_is_a_hint() -> None:
    assert hints(service(), NETWORK, ScopeRules()) == [Address("192.168.1.7", 4470)]


def test_all_its_addresses_of_the_lan_are() -> None:
    addresses = ["192.168.1.7", "10.0.0.7", "fd00::7"]
    found = hints(service(parsed_addresses=addresses), NETWORK, ScopeRules())
    assert {address.host for address in found} == set(addresses)


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {b"net": network_id("another").hex().encode()}},
        {"properties": {}},
        {"properties": {b"net": b""}},
        {"properties": {b"net": None}},
        {"port": 0},
        {"parsed_addresses": []},
        {"parsed_addresses": ["8.8.8.8"]},  # nobody on the LAN leads us to strangers
        {"parsed_addresses": ["2a00::1"]},
        {"parsed_addresses": ["127.0.0.1"]},  # nor to ourselves
        {"parsed_addresses": ["::1"]},
        {"parsed_addresses": ["224.0.0.251"]},
        {"parsed_addresses": ["0.0.0.0"]},
        {"parsed_addresses": ["255.255.255.255"]},
    ],
)
def test_what_is_none(changes: dict[str, Any]) -> None:
    assert hints(service(**changes), NETWORK, ScopeRules()) == []


def test_an_address_that_is_treated_as_public_is_not_of_the_lan() -> None:
    rules = ScopeRules([ipaddress.ip_network("192.168.0.0/16")])
    assert hints(service(), NETWORK, rules) == []


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1"], ["::1"], ["8.8.8.8"]])
async def test_without_an_address_of_the_lan_nothing_is_opened(addresses: list[str]) -> None:
    async with LanDiscovery(NETWORK, 4470, ScopeRules(), lambda _address: None) as lan:
        assert not await lan.start(addresses)
        assert lan._zeroconf is None


async def test_stopping_twice_is_harmless() -> None:
    lan = LanDiscovery(NETWORK, 4470, ScopeRules(), lambda _address: None)
    await lan.stop()
    await lan.stop()
