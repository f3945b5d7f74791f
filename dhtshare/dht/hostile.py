"""Attackers of a simulated network: liars, and nodes placed around one key. For `lab` and tests."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from dhtshare.dht.contact import Contact, Row, distance
from dhtshare.dht.nodeid import bound_prefix
from dhtshare.dht.routing import K, Table
from dhtshare.network import Scope, ScopeRules

_TAIL_BYTES = 8  # of an aimed id stay random: closer than honest nodes ever come, and no two alike


class LyingTable(Table):
    """The table of a liar: whatever it is asked for, it names its accomplices closest to the target."""

    def __init__(self, node_id: bytes, scope: Scope, accomplices: Sequence[Contact]) -> None:
        super().__init__(node_id, scope)
        self._accomplices = accomplices

    def nearest(self, target: bytes, count: int = K, *, loopback: bool = True) -> list[Contact]:
        return sorted(self._accomplices, key=lambda contact: contact.distance_to(target))[:count]

    def group(self, target: bytes, count: int = K) -> tuple[int, list[Row]] | None:
        return None


def aimed_id(host: str, key: bytes, rng: random.Random) -> bytes:
    """The id closest to the key that `host` may have, its tail random: all that binding ids to addresses leaves."""

    def place(r: int) -> bytes:
        prefix = bound_prefix(host, r)
        tail = rng.randbytes(_TAIL_BYTES - 1)
        return prefix[:2] + bytes((prefix[2] | key[2] & 7,)) + key[3:-_TAIL_BYTES] + tail + bytes((r,))

    return min((place(r) for r in range(8)), key=lambda node_id: distance(node_id, key))


def aimed_places(key: bytes, count: int, networks: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Hosts and ids of `count` nodes at a key, from so many random /24s, the best that each /24 has to offer."""
    rules = ScopeRules()
    shares = [count // networks + (number < count % networks) for number in range(networks)]
    for share in shares:
        network = ""
        while rules.scope_of(f"{network}.1") is not Scope.IPV4:
            network = ".".join(str(rng.randrange(1, 255)) for _ in range(3))
        places = [(host, aimed_id(host, key, rng)) for host in (f"{network}.{last}" for last in range(1, 255))]
        places.sort(key=lambda place: distance(place[1], key))
        yield from places[:share]
