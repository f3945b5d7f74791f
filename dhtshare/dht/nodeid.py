"""Node ids of the global scopes, bound to the IP address so that a place in the DHT costs an address. Pure.

As in BEP 42: the first 21 bits are a hash of the masked IP and of r, the low 3 bits of the last byte;
the rest is random. A machine has 8 possible places, a /24 some hundreds, and nobody has a free choice.
No key is part of it: grinding keys would be free, and a stable part would make people traceable.
"""

from __future__ import annotations

import random
from functools import lru_cache

from blake3 import blake3

from dhtshare.dht.contact import ID_BYTES
from dhtshare.network import REMEMBERED, Scope, parse_ip

BOUND_BITS = 21
_PREFIX = b"dhtshare/1 node id "
_MASK4 = bytes((0x03, 0x0F, 0x3F, 0xFF))
_MASK6 = bytes((0x01, 0x03, 0x07, 0x0F, 0x1F, 0x3F, 0x7F, 0xFF))
_LAST_BOUND_BYTE = 0xF8  # 21 bits: two bytes and the high 5 bits of the third


@lru_cache(maxsize=REMEMBERED)
def bound_prefix(host: str, r: int) -> bytes:
    """The first 3 bytes of the ids that `host` may have with this r (0 to 7); their low 3 bits are free, here 0."""
    ip = parse_ip(host)
    if ip is None:
        raise ValueError(f"'{host}' is not an IP literal")
    mask = _MASK4 if ip.version == 4 else _MASK6
    masked = bytes(byte & keep for byte, keep in zip(ip.packed, mask, strict=False))
    digest = blake3(_PREFIX + masked + bytes((r,))).digest(length=3)
    return digest[:2] + bytes((digest[2] & _LAST_BOUND_BYTE,))


def random_id(rng: random.Random) -> bytes:
    """An id of the LAN scope."""
    return rng.randbytes(ID_BYTES)


def bound_id(host: str, rng: random.Random) -> bytes:
    """A fresh id that `host` may have in a global scope."""
    raw = bytearray(rng.randbytes(ID_BYTES))
    prefix = bound_prefix(host, raw[-1] & 7)
    raw[:2] = prefix[:2]
    raw[2] = prefix[2] | (raw[2] & ~_LAST_BOUND_BYTE & 0xFF)
    return bytes(raw)


def is_bound(node_id: bytes, host: str) -> bool:
    """Whether that IP address may have this id."""
    prefix = bound_prefix(host, node_id[-1] & 7)
    return node_id[:2] == prefix[:2] and node_id[2] & _LAST_BOUND_BYTE == prefix[2]


def may_have(node_id: bytes, host: str, scope: Scope) -> bool:
    """Whether a node at `host` may have this id in this scope: any in the LAN, a bound one elsewhere."""
    return len(node_id) == ID_BYTES and (scope is Scope.LAN or is_bound(node_id, host))
