"""A million nodes as one sorted list: who is closest to what, and what each node's table would answer."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator

from dhtshare.dht.contact import ID_BITS, ID_BYTES, Contact
from dhtshare.dht.nodeid import bound_id
from dhtshare.dht.routing import K
from dhtshare.network import Address, Scope, ScopeRules

_HOST_BITS = 32
_PORT = 4470


class Crowd:
    """`size` nodes of the IPv4 scope at random addresses, under ids bound to them. Same seed, same nodes.

    A node is one number, id and IPv4 address in one, so that a million of them take about 70 MB.
    """

    def __init__(self, size: int, seed: int) -> None:
        rng = random.Random(seed)
        rules = ScopeRules()
        hosts: set[int] = set()
        while len(hosts) < size:
            number = rng.getrandbits(_HOST_BITS)
            if rules.scope_of(_host(number)) is Scope.IPV4:
                hosts.add(number)
        self._nodes = sorted(int.from_bytes(bound_id(_host(host), rng), "big") << _HOST_BITS | host for host in hosts)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._nodes)

    def contact(self, place: int) -> Contact:
        """The node at that place of the list, which is sorted by id."""
        number = self._nodes[place]
        node_id = (number >> _HOST_BITS).to_bytes(ID_BYTES, "big")
        return Contact(node_id, Address(_host(number & (1 << _HOST_BITS) - 1), _PORT))

    def nearest(self, target: bytes, count: int = K) -> list[Contact]:
        """The true closest of all, closest first."""
        found: list[int] = []
        for index in range(ID_BITS + 1):
            found += self._bucket(int.from_bytes(target, "big"), index)
            if len(found) >= count:
                break
        return self._closest(found, target, count)

    def table_nearest(self, node_id: bytes, target: bytes, count: int = K) -> list[Contact]:
        """The closest to the target in that node's table, closest first.

        Each of its buckets holds all nodes that belong there, or `K` random ones: always the same, for a
        node's table is drawn from its id. Buckets are drawn in the order of their distance to the target.
        """
        own = int.from_bytes(node_id, "big")
        shared = (own ^ int.from_bytes(target, "big")).bit_length()
        found = list(self._drawn(own, shared)) if shared else []  # not itself
        if len(found) < count:
            for index in range(shared - 1, 0, -1):
                found += self._drawn(own, index)
        for index in range(shared + 1, ID_BITS + 1):
            if len(found) >= count:
                break
            found += self._drawn(own, index)
        return self._closest(found, target, count)

    def _bucket(self, own: int, index: int) -> range:
        """Places of the nodes at a distance of `index` bits from an id; index 0 is the id itself."""
        span = 1 << (index - 1) if index else 1
        low = ((own ^ span) & ~(span - 1)) if index else own
        return range(bisect_left(self._nodes, low << _HOST_BITS), bisect_left(self._nodes, (low + span) << _HOST_BITS))

    def _drawn(self, own: int, index: int) -> Iterator[int]:
        places = self._bucket(own, index)
        if len(places) <= K:
            return iter(places)
        return iter(random.Random(own ^ self._seed << ID_BITS ^ index).sample(places, K))

    def _closest(self, places: list[int], target: bytes, count: int) -> list[Contact]:
        number = int.from_bytes(target, "big")
        places.sort(key=lambda place: self._nodes[place] >> _HOST_BITS ^ number)
        return [self.contact(place) for place in places[:count]]


def _host(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
