"""Which network and which scope: the 4-byte network id, addresses, and what counts as local.

Pure: never resolves a name and never opens a socket.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from blake3 import blake3

from dhtshare.errors import UsageError

PROTOCOL_VERSION = 1
DEFAULT_NETWORK = "dhtshare"
NETWORK_ID_BYTES = 4
MAX_NETWORK_NAME_BYTES = 64
REMEMBERED = 16_384
"""Addresses that a cache keeps the forms of: what a flood of forged sources leaves behind is some megabytes each."""
LOWEST_GLOBAL_PORT = 1024
"""In the global scopes nobody is led to a port below: those are a system's own services."""

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_id(name: str) -> bytes:
    """4 bytes of BLAKE3 over protocol version and network name; opens every datagram and handshake."""
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise UsageError("A network name is text; this one has bytes that are none.") from None
    if not 0 < len(raw) <= MAX_NETWORK_NAME_BYTES:
        raise UsageError(f"A network name has 1 to {MAX_NETWORK_NAME_BYTES} bytes; '{name}' has {len(raw)}.")
    return blake3(b"dhtshare/%d network " % PROTOCOL_VERSION + raw).digest(length=NETWORK_ID_BYTES)


class Scope(enum.StrEnum):
    """One of the up to three separate DHTs of a node; the address decides which."""

    LAN = "lan"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Address(NamedTuple):
    """An IP literal in canonical form and a port. Two equal addresses are equal tuples."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=REMEMBERED)
def parse_ip(host: str) -> IPAddress | None:
    """The IP of a literal, IPv4-mapped IPv6 unwrapped and scope ids refused; None for anything else."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return None
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
    return ip


def make_address(host: str, port: int) -> Address:
    """A canonical address. Raises UsageError when host is no IP literal or port is outside 1–65535."""
    ip = parse_ip(host)
    if ip is None:
        raise UsageError(f"'{host}' is not an IP address.")
    if not 0 < port < 65536:
        raise UsageError(f"Port {port} is outside 1–65535.")
    return Address(str(ip), port)


def split_host_port(text: str) -> tuple[str, int]:
    """Host (literal or DNS name, without brackets) and port of 'host:port' or '[v6]:port'."""
    host, separator, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if (
        not separator
        or not host
        or (":" in host and not bracketed)
        or not port.isascii()
        or not port.isdigit()
        or len(port) > 5
        or not 0 < int(port) < 65536
        or any(c.isspace() for c in host)
    ):
        raise UsageError(f"'{text}' is not an address; write host:port, or [address]:port for IPv6.")
    return host, int(port)


class ScopeRules:
    """Which scope an address belongs to. `treat_as_public` moves networks to a global scope for tests."""

    def __init__(self, treat_as_public: Iterable[IPNetwork] = ()) -> None:
        self._treat_as_public = tuple(treat_as_public)
        self._cache: dict[str, Scope | None] = {}

    def scope_of(self, host: str) -> Scope | None:
        """The scope, or None where no node can live: not a literal, multicast, unspecified, broadcast."""
        try:
            return self._cache[host]
        except KeyError:
            if len(self._cache) >= REMEMBERED:
                self._cache.clear()
            scope = self._cache[host] = self._decide(host)
            return scope

    def _decide(self, host: str) -> Scope | None:
        ip = parse_ip(host)
        if ip is None or ip.is_multicast or ip.is_unspecified or ip == _BROADCAST:
            return None
        everywhere = Scope.IPV4 if ip.version == 4 else Scope.IPV6
        if any(ip.version == net.version and ip in net for net in self._treat_as_public):
            return everywhere
        return everywhere if ip.is_global else Scope.LAN

    def may_name(self, host: str, asker: str) -> bool:
        """Whether a reply to `asker` may name `host`: the same scope only, loopback only to loopback."""
        scope = self.scope_of(host)
        return scope is not None and scope is self.scope_of(asker) and (is_loopback(asker) or not is_loopback(host))


_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@lru_cache(maxsize=REMEMBERED)
def is_loopback(host: str) -> bool:
    """Whether a literal is a loopback address."""
    ip = parse_ip(host)
    return ip is not None and ip.is_loopback


@lru_cache(maxsize=REMEMBERED)
def network_tag(host: str, scope: Scope) -> bytes:
    """What counts as one network when opinions are weighed: /24, /48, or in the LAN scope the address."""
    ip = parse_ip(host)
    if ip is None:
        return b""
    if scope is Scope.LAN:
        return ip.packed
    return ip.packed[:3] if ip.version == 4 else ip.packed[:6]
