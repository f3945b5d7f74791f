"""How many nodes of one owner may count. Pure.

Addresses are what an attacker of a global scope has to pay for: one IP counts once, one /24 (IPv6 /48)
a few times. In the LAN scope one machine may run many nodes, so nothing is limited there.
"""

from __future__ import annotations

from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope, network_tag

PER_IP = 1
PER_NETWORK = 2  # in a bucket (see `seats`), and among the closest of a lookup


class Diversity:
    """Counts addresses by IP and by network against two limits."""

    __slots__ = ("_counts", "_limited", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._limited = scope is not Scope.LAN
        self._counts: dict[str | bytes, int] = {}  # hosts are text, networks are bytes

    def admit(self, address: Address) -> bool:
        """Count the address if it fits; whether it did."""
        if not self._limited:
            return True
        counts = self._counts
        if address.host in counts:
            return False
        tag = network_tag(address.host, self._scope)
        others = counts.get(tag, 0)
        if others >= PER_NETWORK:
            return False
        counts[address.host] = PER_IP
        counts[tag] = others + 1
        return True


def port_allowed(port: int) -> bool:
    """Whether a node of a global scope may live at that port: never where well-known services do."""
    return port >= LOWEST_GLOBAL_PORT
