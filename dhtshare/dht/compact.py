"""Addresses and contacts as bytes: IP, then port, big-endian; a contact puts its 20-byte id in front.

IPv4 contacts are 26 bytes and IPv6 contacts 38, each family in a string of its own (as in BEP 5 and
BEP 32). Pure; decoding never raises, a pair that no node can live at becomes None.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache

from dhtshare.dht.contact import ID_BYTES, Contact
from dhtshare.network import REMEMBERED, Address, parse_ip

ADDRESS4_BYTES = 6
ADDRESS6_BYTES = 18
CONTACT4_BYTES = ID_BYTES + ADDRESS4_BYTES
CONTACT6_BYTES = ID_BYTES + ADDRESS6_BYTES


@lru_cache(maxsize=REMEMBERED)
def pack_address(address: Address) -> bytes:
    """6 or 18 bytes. The host must be an IP literal, as every `Address` from the wire is."""
    ip = parse_ip(address.host)
    if ip is None:
        raise ValueError(f"'{address.host}' is not an IP literal")
    return ip.packed + address.port.to_bytes(2, "big")


@lru_cache(maxsize=REMEMBERED)
def unpack_address(raw: bytes) -> Address | None:
    """The address, or None for a wrong length or port 0. IPv4-mapped IPv6 is unwrapped."""
    port = int.from_bytes(raw[-2:], "big")
    if port == 0:
        return None
    if len(raw) == ADDRESS4_BYTES:
        return Address(f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}", port)
    if len(raw) == ADDRESS6_BYTES:
        ip = ipaddress.IPv6Address(raw[:16])
        return Address(str(ip.ipv4_mapped or ip), port)
    return None


def pack_contact(contact: Contact) -> bytes:
    """26 or 38 bytes."""
    return contact.node_id + pack_address(contact.address)


@lru_cache(maxsize=REMEMBERED)
def _unpack_contact(raw: bytes) -> Contact | None:
    address = unpack_address(raw[ID_BYTES:])
    return None if address is None else Contact(raw[:ID_BYTES], address)


def pack_contacts(contacts: Iterable[Contact]) -> tuple[bytes, bytes]:
    """The IPv4 and the IPv6 contacts, each as one byte string, order kept within a family."""
    packed = [pack_contact(contact) for contact in contacts]
    return (
        b"".join(raw for raw in packed if len(raw) == CONTACT4_BYTES),
        b"".join(raw for raw in packed if len(raw) == CONTACT6_BYTES),
    )


def unpack_contacts(ipv4: bytes, ipv6: bytes) -> Iterator[Contact]:
    """Contacts of two packed strings; a bad entry drops the entry, a torn tail is ignored."""
    for raw, width in ((ipv4, CONTACT4_BYTES), (ipv6, CONTACT6_BYTES)):
        for start in range(0, len(raw) - width + 1, width):
            contact = _unpack_contact(raw[start : start + width])
            if contact is not None:
                yield contact
