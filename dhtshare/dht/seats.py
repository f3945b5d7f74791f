"""Which seats of a table are taken, and whether there is one for somebody new. Pure.

In the global scopes a table holds one node of an IP, a few of a network (/24, /48) in one bucket, and some more of it
in all. In the LAN scope one machine may run many nodes: there it holds one of an address, and nothing else is limited.

Only a newcomer asks, and there are few of them: so the hundred nodes of a table are looked through each time, for an
index by address would weigh as much as all the buckets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dhtshare.dht.adapter import Bucket, TableNode
from dhtshare.dht.contact import Contact, row_of
from dhtshare.dht.diversity import PER_NETWORK
from dhtshare.network import Scope

PER_NETWORK_IN_TABLE = 10


def seated(buckets: Mapping[int, Bucket]) -> Iterable[TableNode]:
    """All nodes and replacements."""
    for bucket in buckets.values():
        yield from bucket.nodes.values()
        yield from bucket.replacement_nodes.values()


def of_owner(buckets: Mapping[int, Bucket], contact: Contact, scope: Scope) -> list[TableNode]:
    """Who sits where a contact's owner may have put it: all of its network, in the LAN scope who is at its address."""
    if scope is Scope.LAN:
        return [node for node in seated(buckets) if node.row.contact.address == contact.address]
    network = row_of(contact).network
    return [
        node
        for bucket in buckets.values()
        for node in (*bucket.nodes.values(), *bucket.replacement_nodes.values())
        if node.row.network == network
    ]


def free(others: Sequence[TableNode], contact: Contact, bucket: Bucket | None, scope: Scope) -> bool:
    """Whether there is a seat in that bucket for a contact, beside these others of its owner."""
    host = contact.address.host
    if scope is Scope.LAN or any(node.row.contact.address.host == host for node in others):
        return not others
    beside = [] if bucket is None else [node for node in others if bucket.anywhere(node.id) is node]
    return len(others) < PER_NETWORK_IN_TABLE and len(beside) < PER_NETWORK
