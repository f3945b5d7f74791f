"""A contact: where a node of the DHT is said to live. Pure value; whether it is true is the table's business."""

from __future__ import annotations

from typing import NamedTuple

from dhtshare.network import Address

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


def distance(one: bytes, other: bytes) -> int:
    """XOR distance of two 160-bit ids."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
