"""From `host:port` as people write it to addresses of the scopes we live in. Asks DNS, never a node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

from dhtshare.network import Address, Scope, ScopeRules, parse_ip

RESOLVE_SECONDS = 5.0
MAX_ADDRESSES_PER_NAME = 8

Resolver = Callable[[str], Awaitable[list[str]]]


async def system_resolver(name: str) -> list[str]:
    """IP literals of a DNS name, by the system's resolver. Raises OSError (gaierror) for a name it does not know."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses_of(
    hosts: Iterable[tuple[str, int]], rules: ScopeRules, resolver: Resolver = system_resolver
) -> dict[Scope, list[Address]]:
    """Addresses by scope. Literals cost nothing; names are resolved at once, those that fail are left out."""
    wanted = list(dict.fromkeys(hosts))
    literals = await asyncio.gather(*(_literals(host, resolver) for host, _ in wanted))
    found: dict[Scope, list[Address]] = {}
    for (_, port), hosts_of_name in zip(wanted, literals, strict=True):
        for literal in hosts_of_name:
            ip = parse_ip(literal)
            scope = rules.scope_of(literal)
            if ip is not None and scope is not None:
                found.setdefault(scope, []).append(Address(str(ip), port))
    return {scope: list(dict.fromkeys(addresses)) for scope, addresses in found.items()}


async def _literals(host: str, resolver: Resolver) -> list[str]:
    if parse_ip(host) is not None:
        return [host]
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            return (await resolver(host))[:MAX_ADDRESSES_PER_NAME]
    except (OSError, UnicodeError):  # TimeoutError is an OSError; a label over 63 bytes is a UnicodeError
        return []
