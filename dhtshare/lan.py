"""Nodes on one local network find each other by multicast DNS (RFC 6762, DNS-SD RFC 6763).

Announces '_dhtshare._udp' with the network id, and hands every address found to the DHT as a hint: a
hint is pinged like any other and believed in nothing. Says neither what is shared nor who shares it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from dhtshare.network import Address, Scope, ScopeRules, is_loopback, make_address

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE = "_dhtshare._udp.local."
RESOLVE_MS = 3000
MAX_RESOLVING = 32  # a flood of service names must not become a flood of tasks
_NETWORK = b"net"

_log = logging.getLogger(__name__)


class LanDiscovery:
    """One announced service and one browser, from `start` to `stop`."""

    def __init__(self, network: bytes, port: int, rules: ScopeRules, found: Callable[[Address], None]) -> None:
        self._network = network
        self._port = port
        self._rules = rules
        self._found = found
        self._name = f"{secrets.token_hex(8)}.{SERVICE}"
        self._resolving: set[asyncio.Task[None]] = set()
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def start(self, addresses: list[str], *, announce: bool = True) -> bool:
        """Listen on these literal addresses of ours, and announce them. False where the machine allows no multicast.

        A command that only passes by does not announce itself.
        """
        from zeroconf import ServiceInfo
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        local = [host for host in addresses if self._rules.scope_of(host) is Scope.LAN and not is_loopback(host)]
        if not local:
            return False
        try:
            self._zeroconf = AsyncZeroconf(interfaces=local)
            self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, [SERVICE], handlers=[self._changed])
            if announce:
                info = ServiceInfo(
                    SERVICE,
                    self._name,
                    port=self._port,
                    parsed_addresses=local,
                    properties={_NETWORK: self._network.hex().encode()},
                    server=f"{self._name.partition('.')[0]}.local.",
                )
                await (await self._zeroconf.async_register_service(info, cooperating_responders=True))
        except OSError as error:
            _log.info("no multicast DNS here: %s", error)
            await self.stop()
            return False
        return True

    async def stop(self) -> None:
        """Say goodbye and close."""
        for task in self._resolving:
            task.cancel()
        await asyncio.gather(*self._resolving, return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None
        if self._zeroconf is not None:
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()
            self._zeroconf = None

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        from zeroconf import ServiceStateChange

        if state_change is ServiceStateChange.Removed or name == self._name or len(self._resolving) >= MAX_RESOLVING:
            return
        task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, service_type, name))
        self._resolving.add(task)
        task.add_done_callback(self._resolving.discard)

    async def _resolve(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(service_type, name)
        if not await info.async_request(zeroconf, RESOLVE_MS):
            return
        for address in hints(info, self._network, self._rules):
            self._found(address)

    async def __aenter__(self) -> LanDiscovery:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def hints(info: AsyncServiceInfo, network: bytes, rules: ScopeRules) -> list[Address]:
    """The usable addresses of a service found: of our network, in the LAN scope, not loopback."""
    if info.properties.get(_NETWORK) != network.hex().encode() or not info.port:
        return []
    return [
        make_address(host, info.port)
        for host in info.parsed_addresses()
        if rules.scope_of(host) is Scope.LAN and not is_loopback(host)
    ]
