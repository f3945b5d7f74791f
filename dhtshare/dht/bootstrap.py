"""The nodes to ask first: `host:port` as people write it, and the addresses it stands for. Asks DNS, never a node."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

from dhtshare.network import Address, Scope, ScopeRules, parse_ip

RESOLVE_SECONDS = 5.0
MAX_ADDRESSES_PER_NAME = 8

HostPort = tuple[str, int]
Resolver = Callable[[str], Awaitable[list[str]]]


async def system_resolver(name: str) -> list[str]:
    """IP literals of a DNS name, by the system's resolver. Raises OSError (gaierror) for a name it does not know."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Bootstrap:
    """Configured nodes in the order given. A literal is an address at once; a name when DNS says so."""

    def __init__(self, rules: ScopeRules, resolver: Resolver = system_resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._literals: dict[HostPort, list[str]] = {}  # what each host stands for; a name not known yet has none

    def add(self, hosts: Iterable[HostPort]) -> None:
        """Some more nodes; one that is there already is not asked for twice."""
        for host, port in hosts:
            self._literals.setdefault((host, port), [host] if parse_ip(host) is not None else [])

    def addresses(self, scope: Scope) -> list[Address]:
        """What is known so far, in that scope."""
        known = (self._usable(found, port) for (_, port), found in self._literals.items())
        return [address for usable in known for address in usable.get(scope, ())]

    @property
    def unresolved(self) -> list[str]:
        """Names that never meant anything."""
        return [host for (host, _), found in self._literals.items() if not found]

    async def resolve(self, found: Callable[[Scope, list[Address]], Awaitable[None]]) -> None:
        """Ask DNS for every name at once; `found` hears of each as soon as it is known.

        A name that DNS does not know now keeps what it knew before.
        """
        names = [entry for entry in self._literals if parse_ip(entry[0]) is None]
        await asyncio.gather(*(self._resolve(name, port, found) for name, port in names))

    async def _resolve(self, name: str, port: int, found: Callable[[Scope, list[Address]], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                literals = (await self._resolver(name))[:MAX_ADDRESSES_PER_NAME]
        except (OSError, UnicodeError):  # TimeoutError is an OSError; a label over 63 bytes is a UnicodeError
            return
        self._literals[name, port] = literals
        await asyncio.gather(*(found(scope, here) for scope, here in self._usable(literals, port).items()))

    def _usable(self, literals: Iterable[str], port: int) -> dict[Scope, list[Address]]:
        usable: dict[Scope, dict[Address, None]] = {}
        for literal in literals:
            ip, scope = parse_ip(literal), self._rules.scope_of(literal)
            if ip is not None and scope is not None:
                usable.setdefault(scope, {})[Address(str(ip), port)] = None
        return {scope: list(addresses) for scope, addresses in usable.items()}
