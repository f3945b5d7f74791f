"""How many nodes of one owner may count. Pure.

Addresses are what an attacker of a global scope has to pay for: one IP counts once, one /24 (IPv6 /48)
a few times. In the LAN scope one machine may run many nodes, so nothing is limited there.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from dhtshare.network import Address, Scope, network_tag

PER_IP = 1
PER_NETWORK = 2  # in a bucket, and among the closest of a lookup
PER_NETWORK_IN_TABLE = 10
LOWEST_GLOBAL_PORT = 1024


class Diversity:
    """Counts addresses by IP and by network against two limits."""

    __slots__ = ("_hosts", "_limited", "_networks", "_per_network", "_scope")

    def __init__(self, scope: Scope, per_network: int = PER_NETWORK) -> None:
        self._scope = scope
        self._limited = scope is not Scope.LAN
        self._per_network = per_network
        self._hosts: Counter[str] = Counter()
        self._networks: Counter[bytes] = Counter()

    def fits(self, address: Address) -> bool:
        """Whether one more node of that address would count."""
        return not self._limited or (
            self._hosts[address.host] < PER_IP
            and self._networks[network_tag(address.host, self._scope)] < self._per_network
        )

    def add(self, address: Address) -> None:
        if self._limited:
            self._hosts[address.host] += 1
            self._networks[network_tag(address.host, self._scope)] += 1

    def remove(self, address: Address) -> None:
        """Take back one `add` of that address."""
        if self._limited:
            _decrement(self._hosts, address.host)
            _decrement(self._networks, network_tag(address.host, self._scope))


def _decrement(counter: Counter[Any], key: object) -> None:
    if counter[key] > 1:
        counter[key] -= 1
    else:
        del counter[key]


def port_allowed(address: Address, scope: Scope) -> bool:
    """Whether a node of a global scope may live at that port: never where well-known services do."""
    return scope is Scope.LAN or address.port >= LOWEST_GLOBAL_PORT
