"""What the entries of a bootstrap list may do to a newcomer, and how long joining takes by one good one of ten."""

from __future__ import annotations

import asyncio
import random
from types import MethodType
from typing import NamedTuple

from dhtshare.dht.contact import Contact
from dhtshare.dht.hostile import LyingTable
from dhtshare.dht.nodeid import bound_id
from dhtshare.network import Address, Scope
from tests.sim.internet import PORT, Host, Internet, addresses, place, seconds_until

JOIN_SECONDS = 30.0  # threats.md, bootstrap poisoning
WELL_KNOWN = 20  # good contacts, of 30
HOSTILE = ("dead", "names the dead", "names the dead nearest", "knows nobody", "garbage", "another id")
KINDS = (*HOSTILE, "each another")


def turn_hostile(internet: Internet, node: Host, kind: str) -> None:
    """What a bootstrap entry may do to a newcomer."""
    rng = random.Random(node.address.host)

    def nobody() -> Contact:
        host = internet.free_host()
        return Contact(bound_id(host, rng), Address(host, PORT))

    if kind == "dead":
        internet.datagrams.silence(node.address)
    elif kind == "names the dead":
        lie(node, LyingTable(node.scope.node_id, Scope.IPV4, [nobody() for _ in range(60)]))
    elif kind == "names the dead nearest":
        table = LyingTable(node.scope.node_id, Scope.IPV4, ())

        def nearest(_table: LyingTable, target: bytes, count: int = 20, *, loopback: bool = True) -> list[Contact]:
            found = [nobody() for _ in range(count * 20)]  # fresh ones for each question, as near as addresses allow
            return sorted(found, key=lambda contact: contact.distance_to(target))[:count]

        table.nearest = MethodType(nearest, table)  # type: ignore[method-assign]
        lie(node, table)
    elif kind == "knows nobody":
        lie(node, LyingTable(node.scope.node_id, Scope.IPV4, ()))
    elif kind == "garbage":
        rubbish = rng.randbytes(200)
        node.scope.rpc.datagram_received = lambda data, addr: node.line.sendto(data[:25] + rubbish, Address(*addr))  # type: ignore[method-assign]
    elif kind == "another id":
        node.scope.move(rng.randbytes(20))
    else:
        raise AssertionError(kind)


def lie(node: Host, table: LyingTable) -> None:
    node.scope.rpc.moved(node.scope.node_id, table)


class Joined(NamedTuple):
    """Virtual seconds until the newcomer had joined, and until it knew 20 good nodes."""

    joined: float
    well_known: float


async def join_by_one_of_ten(internet: Internet, kind: str, honest_at: int) -> Joined:
    """Nine bad entries and a good one, at that place of the list, in a network of 30 good nodes."""
    servers = await internet.grow(30, resting=True)
    entries = []
    for number in range(9):
        host = internet.free_host()
        bad = internet.add(host, reachable="yes", announce_host=host)
        turn_hostile(internet, bad, HOSTILE[number % len(HOSTILE)] if kind == "each another" else kind)
        entries.append(place(bad))
    entries.insert(honest_at, place(servers[4]))
    newcomer = internet.add()
    good = addresses(servers)
    joining = asyncio.create_task(newcomer.dht.bootstrap(entries))
    joined = await seconds_until(internet, lambda: newcomer.scope.joined, 10 * JOIN_SECONDS)
    more = await seconds_until(
        internet, lambda: len(good & {c.address for c in newcomer.scope.table}) >= WELL_KNOWN, 10 * JOIN_SECONDS
    )
    await joining
    return Joined(joined, joined + more)
