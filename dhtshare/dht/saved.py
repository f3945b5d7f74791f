"""What a node's places in the DHT are worth keeping over a restart: ids, contacts, addresses. Pure bytes.

One MessagePack map under the growth rule, never pickle: reading a file must not run it. Written whole and
renamed by whoever owns the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dhtshare.dht.compact import pack_contacts, unpack_contacts
from dhtshare.dht.contact import ID_BYTES, Contact
from dhtshare.dht.wire import check_keys, pack, unpack
from dhtshare.errors import MalformedError
from dhtshare.network import Scope, parse_ip

VERSION = 1
MAX_SAVED_CONTACTS = 300  # of one scope
MAX_STATE_BYTES = 1 << 20
_EVEN = frozenset((0, 2, 4))
_SCOPE_EVEN = frozenset((0, 2))


@dataclass(frozen=True, slots=True)
class SavedScope:
    """One scope: our id, our address as the world saw it, whom we knew, the liveliest first."""

    node_id: bytes
    host: str | None
    contacts: tuple[Contact, ...]


def encode_state(network: bytes, scopes: Mapping[Scope, SavedScope]) -> bytes:
    """Bytes for a file."""
    return pack({0: VERSION, 2: network, 4: {scope.value: _encode_scope(saved) for scope, saved in scopes.items()}})


def _encode_scope(saved: SavedScope) -> dict[int, object]:
    ipv4, ipv6 = pack_contacts(saved.contacts[:MAX_SAVED_CONTACTS])
    return {2: saved.node_id, 3: saved.host, 5: ipv4, 7: ipv6}


def decode_state(raw: bytes, network: bytes) -> dict[Scope, SavedScope]:
    """The scopes of a file, none for one of another network. Raises MalformedError for a damaged one."""
    if len(raw) > MAX_STATE_BYTES:
        raise MalformedError("The saved state is too long to be one.")
    fields = unpack(raw)
    if type(fields) is not dict:
        raise MalformedError("The saved state is not a map.")
    check_keys(fields, _EVEN)
    if fields.get(0) != VERSION or type(fields.get(4)) is not dict:
        raise MalformedError("The saved state has another version or no scopes.")
    if fields.get(2) != network:
        return {}
    names = {scope.value: scope for scope in Scope}
    return {names[name]: _decode_scope(value) for name, value in fields[4].items() if name in names}


def _decode_scope(value: object) -> SavedScope:
    if type(value) is not dict:
        raise MalformedError("A scope of the saved state is not a map.")
    check_keys(value, _SCOPE_EVEN)
    node_id, host, ipv4, ipv6 = value.get(2), value.get(3), value.get(5, b""), value.get(7, b"")
    if type(node_id) is not bytes or len(node_id) != ID_BYTES or type(ipv4) is not bytes or type(ipv6) is not bytes:
        raise MalformedError("A scope of the saved state has a wrong id or contacts.")
    if host is not None and (type(host) is not str or parse_ip(host) is None):
        raise MalformedError("A scope of the saved state has a wrong address.")
    contacts = tuple(unpack_contacts(ipv4, ipv6))[:MAX_SAVED_CONTACTS]
    return SavedScope(node_id, host, contacts)
