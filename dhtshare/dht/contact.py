"""A contact: where a node of the DHT is said to live. Pure value; whether it is true is the table's business."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from dhtshare.network import REMEMBERED, Address, Scope, network_tag

ID_BYTES = 20
ID_BITS = 160
UNKNOWN_ID = b""


class Contact(NamedTuple):
    """A node id and the address it answers at. `UNKNOWN_ID` stands for a node known by address only."""

    node_id: bytes
    address: Address

    def distance_to(self, target: bytes) -> int:
        """XOR distance, an integer below 2**160 (Maymounkov and Mazières 2002, section 2.1)."""
        return distance(self.node_id, target)


class Row(NamedTuple):
    """What a table has to know of a contact at once: its id as a number, itself, its network (/24 or /48)."""

    number: int
    contact: Contact
    network: bytes


@lru_cache(maxsize=REMEMBERED)
def row_of(contact: Contact) -> Row:
    """The row of a contact. Tables share those of equal contacts: in a simulation a hundred know each."""
    host = contact.address.host
    tag = network_tag(host, Scope.IPV6 if ":" in host else Scope.IPV4)
    return Row(int.from_bytes(contact.node_id, "big"), contact, tag)


def distance(one: bytes, other: bytes) -> int:
    """XOR distance of two 160-bit ids."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
