"""Provider records: somebody's claim to hold a content, as a holder keeps it and as it is answered. Pure.

Unsigned: the holder writes down the address that it saw, so nobody can put a stranger into a record. A kept
record is 33 bytes, and the records of a key are one byte string of them: a hundred thousand contents cost a
hundred thousand small strings.

    IP, IPv4 mapped (16) | UDP port (2) | TCP port (2) | start of the peer id (8) | flags (1) | deadline (4)

In an answer a provider is IP (4 or 16) | TCP port (2) | start of the peer id (8) | flags (1). Flag 1 says
that the provider has a part of the content; bit 2 is reserved for `via`, a relay to reach the provider by.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from dhtshare.network import Address, Scope, parse_ip

PEER_BYTES = 8
FLAG_PARTIAL = 1
MAX_FLAGS = 0xFF
SOURCE_BYTES = 18
HELD_BYTES = 33
DEADLINE_BYTES = 4

_HELD = struct.Struct(">16sHH8sBI")
_ANSWER_TAIL = struct.Struct(">H8sB")
ANSWER4_BYTES = 4 + _ANSWER_TAIL.size
ANSWER6_BYTES = 16 + _ANSWER_TAIL.size
_MAPPED = b"\0" * 10 + b"\xff\xff"
_MAX_DEADLINE = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class ProviderClaim:
    """What a provider says of itself. `port`: TCP. `peer`: the first 8 bytes of its peer id."""

    port: int
    peer: bytes
    partial: bool = False

    @property
    def flags(self) -> int:
        return FLAG_PARTIAL if self.partial else 0


@dataclass(frozen=True, slots=True)
class Provider:
    """Somebody who may hold the content, to be dialled at `address` (TCP). `peer` only unites its addresses.

    `told_by`: the network (in the LAN scope the address) of the node that says so; empty for what we hold ourselves.
    """

    address: Address
    peer: bytes
    partial: bool
    scope: Scope
    told_by: str = ""


@lru_cache(maxsize=16_384)
def source_of(address: Address) -> bytes:
    """The 18 bytes under which a holder knows a UDP address; a key holds one record of each."""
    ip = parse_ip(address.host)
    if ip is None:
        raise ValueError(f"'{address.host}' is not an IP literal")
    packed = _MAPPED + ip.packed if ip.version == 4 else ip.packed
    return packed + address.port.to_bytes(2, "big")


def tag_of(source: bytes, scope: Scope) -> bytes:
    """The network of a kept record; the same bytes as `network_tag` of its host."""
    packed = source[12:16] if source.startswith(_MAPPED) else source[:16]
    if scope is Scope.LAN:
        return packed
    return packed[:3] if len(packed) == 4 else packed[:6]


def keep(source: bytes, claim: ProviderClaim, deadline: float) -> bytes:
    """One kept record; its deadline, monotonic seconds, is rounded down."""
    return (
        source + _HELD.pack(bytes(16), 0, claim.port, claim.peer, claim.flags, min(int(deadline), _MAX_DEADLINE))[18:]
    )


def with_deadline(record: bytes, deadline: float) -> bytes:
    """A kept record whose last field was cut off, with another deadline."""
    return record + max(0, min(int(deadline), _MAX_DEADLINE)).to_bytes(DEADLINE_BYTES, "big")


def kept(raw: bytes) -> Iterator[bytes]:
    """The kept records of a key."""
    return (raw[start : start + HELD_BYTES] for start in range(0, len(raw), HELD_BYTES))


def deadline_of(record: bytes) -> int:
    """Monotonic seconds."""
    return int.from_bytes(record[-DEADLINE_BYTES:], "big")


def answered(record: bytes) -> tuple[str, bytes]:
    """Host and answer bytes of a kept record."""
    packed = record[12:16] if record.startswith(_MAPPED) else record[:16]
    return _host(packed), packed + record[SOURCE_BYTES:-DEADLINE_BYTES]


def answer(host: str, claim: ProviderClaim) -> bytes:
    """The answer bytes of a provider at this host."""
    ip = parse_ip(host)
    if ip is None:
        raise ValueError(f"'{host}' is not an IP literal")
    return ip.packed + _ANSWER_TAIL.pack(claim.port, claim.peer, claim.flags)


def read_answers(ipv4: bytes, ipv6: bytes, scope: Scope) -> Iterable[Provider]:
    """The providers of two packed strings; those that nobody could dial are left out, a torn tail too."""
    for raw, width in ((ipv4, ANSWER4_BYTES), (ipv6, ANSWER6_BYTES)):
        for start in range(0, len(raw) - width + 1, width):
            head = start + width - _ANSWER_TAIL.size
            port, peer, flags = _ANSWER_TAIL.unpack_from(raw, head)
            if port:
                yield Provider(Address(_host(raw[start:head]), port), peer, bool(flags & FLAG_PARTIAL), scope)


@lru_cache(maxsize=16_384)
def _host(packed: bytes) -> str:
    ip = ipaddress.ip_address(packed)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)
