"""Which seats of a table are taken, and whether there is one for somebody new. Pure.

In the global scopes a table holds one node of an IP, a few of a network (/24, /48) in one bucket, and some more of it
in all. In the LAN scope one machine may run many nodes: there it holds one of an address, and nothing else is limited.

Only a newcomer asks, and there are few of them: so the hundred nodes of a table are looked through each time, for an
index by address would weigh as much as all the buckets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dhtshare.dht.adapter import Bucket, TableNode
from dhtshare.dht.contact import Contact, row_of
from dhtshare.dht.diversity import PER_NETWORK
from dhtshare.network import Address, Scope

PER_NETWORK_IN_TABLE = 10


def seated(buckets: Mapping[int, Bucket]) -> Iterable[TableNode]:
    """All nodes and replacements."""
    for bucket in buckets.values():
        yield from bucket.nodes.values()
        yield from bucket.replacement_nodes.values()


def at(buckets: Mapping[int, Bucket], address: Address) -> TableNode | None:
    """Who answers at this address."""
    for node in seated(buckets):
        if node.row.contact.address == address:
            return node
    return None


def free(buckets: Mapping[int, Bucket], contact: Contact, index: int, scope: Scope) -> bool:
    """Whether there is a seat for a contact, in the bucket of that index, as far as its owner is concerned."""
    if scope is Scope.LAN:
        return at(buckets, contact.address) is None
    host, network = contact.address.host, row_of(contact).network
    others = [node for node in seated(buckets) if node.row.network == network]
    if any(node.row.contact.address.host == host for node in others):
        return False
    beside = [] if index not in buckets else [node for node in others if buckets[index].anywhere(node.id) is node]
    return len(others) < PER_NETWORK_IN_TABLE and len(beside) < PER_NETWORK
