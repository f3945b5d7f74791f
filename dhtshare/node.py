"""The composition root: builds the parts of a node, starts and stops them in order, owns every task.

Decides nothing itself: what is fetched, ranked or announced is decided in the rooms it connects.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dhtshare import __version__
from dhtshare.bootstrap_file import read_bootstrap_file, shipped_bootstrap_nodes
from dhtshare.config import NodeConfig
from dhtshare.content.link import Link, PeerHint
from dhtshare.dht.dht import Dht
from dhtshare.dht.records.records import Records
from dhtshare.durable import write_atomic
from dhtshare.errors import DiskError, NetworkError, UsageError
from dhtshare.faults import disk_error
from dhtshare.finding import Finder
from dhtshare.identity import Identity
from dhtshare.library.catalogue import Catalogue
from dhtshare.library.home import Home
from dhtshare.library.records import Item
from dhtshare.library.shelf import Shelf
from dhtshare.listening import listen, local_addresses
from dhtshare.lookout import Lookout
from dhtshare.memory import keep_slim
from dhtshare.network import DEFAULT_NETWORK, Address, ScopeRules, network_id, split_host_port
from dhtshare.providers import Lead
from dhtshare.seeding import Seeding
from dhtshare.sleeping import seconds_slept
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.ratelimit import Limits

log = logging.getLogger(__name__)

BOOTSTRAP_SECONDS = 8.0  # `ready` is said then whether or not anybody answered (≤ 10 s, design.md section 8)
LAN_SECONDS = 2.5  # how long a command of its own listens for neighbours before it says that nobody is there
CONTACT_CHECK_SECONDS = 0.02
FIRST_STATE_SECONDS = 10.0  # a node that is killed early must not have met everybody in vain
STATE_SECONDS = 300.0


class Node:
    """One node of one home. `start` joins the network, `open` only opens the library; `stop` ends either."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.version = __version__
        self.network = network_id(config.network)
        self.rules = ScopeRules(config.public_networks())
        self.home = Home(config.home)
        self.limits = Limits(config.max_upload, config.max_download)
        self.started_at = 0.0
        self.online = False
        self.fetches = 0
        self.lookout = Lookout()
        self._stack = AsyncExitStack()

    # ---- life ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the library alone. Raises DiskError."""
        self.started_at = time.monotonic()
        async with AsyncExitStack() as stack:
            self._open_library(stack)
            self._stack = stack.pop_all()

    async def start(self) -> None:
        """Open the library, listen, join. On failure nothing stays open.

        Raises AlreadyRunningError, UsageError (port in use), DiskError; a network that does not answer is
        no error: the node goes on trying.
        """
        self.started_at = time.monotonic()
        share = self.config.share
        if share is not None and not await asyncio.to_thread(share.is_dir):
            raise UsageError(f"There is no folder {share} to share. Check --share.")
        async with AsyncExitStack() as stack:
            self._open_library(stack)
            await self._go_online(stack)
            self._stack = stack.pop_all()

    async def stop(self) -> None:
        """Leave the network and close everything, in the order opposite to the start."""
        await self._stack.aclose()

    def _open_library(self, stack: AsyncExitStack) -> None:
        self.home.prepare()
        if not self.config.client:
            stack.callback(self.home.lock().release)
        self.identity = Identity.load_or_create(self.home.path)
        self.catalogue = Catalogue.open(self.home.catalogue)
        stack.callback(self.catalogue.close)
        self.shelf = Shelf(self.catalogue, on_change=self._noticed, refused=self.lookout.refused)
        stack.callback(self.shelf.close)

    async def _go_online(self, stack: AsyncExitStack) -> None:
        config, rng = self.config, random.SystemRandom()
        self._loop = asyncio.get_running_loop()
        stack.enter_context(self.lookout.on_loop())
        self.listening = listen(config.host, config.port)
        stack.callback(self.listening.close)
        self.exchange = Exchange(
            network=self.network,
            key=self.identity.peer,
            rules=self.rules,
            shelf=self.shelf,
            limits=self.limits,
            encryption=config.encryption,
            rng=rng,
            agent=f"dhtshare/{self.version}",
            refused=self.lookout.refused,
        )
        await self.exchange.start([] if config.client else self.listening.tcp)
        stack.push_async_callback(self.exchange.stop)
        self.dht = Dht(
            self.network,
            self.rules,
            rng,
            time.time,
            reachable=config.reachable,
            announce_host=config.announce_host,
            client=config.client,
            saved=self._saved(self.home.dht_state),
            charge=self._charge,
        )
        interfaces = local_addresses() if self.listening.everywhere else []
        await self.dht.start(self.listening.udp, self.announced_port, interfaces)
        stack.push_async_callback(self.dht.stop)
        self.records = Records(
            self.dht, rng, time.time, saved=self._saved(self.home.records_state), slept=seconds_slept
        )
        self.finder = Finder(self._leads, self.exchange, self.rules, self.own_addresses)
        self.seeding = Seeding(self, rng)
        self.online = True
        await stack.enter_async_context(self._living())
        await self._join()

    async def _join(self) -> None:
        """Bootstrap for at most BOOTSTRAP_SECONDS; the DHT goes on trying by itself."""
        hosts = [split_host_port(text) for text in self.config.bootstrap]
        if self.config.bootstrap_file is not None:
            hosts += read_bootstrap_file(self.config.bootstrap_file)
        elif not hosts and self.config.network == DEFAULT_NETWORK:
            hosts = shipped_bootstrap_nodes()
        await self.dht.bootstrap_within(BOOTSTRAP_SECONDS, hosts)

    # ---- the tasks of a life --------------------------------------------------------------------

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        """Everything that goes on by itself while the node lives, in one group."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.lookout.keep_up(work), name=name) for name, work in self._works()]
            try:
                yield
            finally:
                self.online = False
                await self._leave()
                for task in tasks:
                    task.cancel()

    def _works(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        yield "memory reserve", self.lookout.restock
        yield "memory", partial(keep_slim, lambda: self.exchange.stats().connections)
        yield "dht", self.dht.run
        yield "records", self.records.run
        if self.config.lan:
            yield "lan", self._discover
        if not self.config.client:
            yield "seeding", self.seeding.run
            yield "state", self._save_state_regularly
            yield "held", partial(self.records.keep_saved, self._write_records)
            if self.config.share is not None:
                yield "share", partial(self.seeding.watch, self.config.share)

    async def _leave(self) -> None:
        if not self.config.client:
            await self.seeding.leave()
            await self._keep_state(self.home.dht_state, self.dht.state())
            await self.records.save(self._write_records)

    async def _discover(self) -> None:
        """Meet the neighbours by multicast DNS."""
        from dhtshare.lan import LanDiscovery

        hosts = local_addresses() if self.listening.everywhere else self.listening.hosts
        async with LanDiscovery(self.network, self.listening.port, self.rules, self.dht.add_contact_hint) as lan:
            if await lan.start(hosts, announce=not self.config.client):
                await asyncio.Event().wait()

    async def _save_state_regularly(self) -> None:
        pause = FIRST_STATE_SECONDS
        while True:
            await asyncio.sleep(pause)
            await self._keep_state(self.home.dht_state, self.dht.state())
            pause = STATE_SECONDS

    async def _keep_state(self, path: Path, state: bytes) -> None:
        await asyncio.to_thread(self._write, path, state)

    def _write_records(self, raw: bytes | bytearray) -> None:
        self._write(self.home.records_state, raw)

    def _write(self, path: Path, raw: bytes | bytearray) -> None:
        """What a node can do without: a disk that refuses it now is no reason to end."""
        try:
            write_atomic(path, raw)
        except DiskError as error:
            log.warning("%s The node goes on without.", error)

    def _saved(self, path: Path) -> bytes:
        """Nothing where there is none: contacts are found again by other ways, and records are pulled.

        What is there and cannot be read now must not be replaced: DiskError. A command of its own writes none of it,
        and does without.
        """
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            unread = disk_error("read", path, error)
            if self.config.client:
                log.warning("%s The command goes on without.", unread)
                return b""
            raise DiskError(f"{unread} To start without what is in it, move it out of the home.") from error

    def _charge(self, sent: int, received: int) -> None:
        """The DHT's datagrams count against the caps, too; they cannot wait, so the transfers do."""
        now = self._loop.time()
        self.limits.upload.charge(sent, now)
        self.limits.download.charge(received, now)

    async def _leads(self, content_hash: bytes) -> AsyncIterator[Lead]:
        """The providers that the DHT names, as addresses worth dialling."""
        async for provider in self.records.providers(content_hash):
            yield Lead(provider.address, provider.peer, told_by=provider.told_by)

    def _noticed(self, item: Item) -> None:
        """From a worker thread: a file that was to be served is not what was published any more."""
        self._loop.call_soon_threadsafe(self.seeding.notice, item)

    # ---- what it is -----------------------------------------------------------------------------

    @property
    def announced_port(self) -> int:
        """The TCP port told to others."""
        return self.config.announce_port or self.listening.port

    @property
    def contacts(self) -> int:
        """Servers known in all scopes."""
        return self.dht.contacts

    @property
    def address(self) -> Address:
        """Where it listens, fit for --bootstrap."""
        if not self.listening.everywhere:
            return Address(self.listening.hosts[0], self.listening.port)
        return Address(local_addresses()[0], self.listening.port)

    def own_addresses(self) -> list[Address]:
        """Every address under which others may be told of us."""
        hosts = local_addresses() if self.listening.everywhere else self.listening.hosts
        outside = [scope.external.host for scope in self.dht.scopes.values() if scope.external.host is not None]
        return [
            Address(host, port) for host in (*hosts, *outside) for port in {self.listening.port, self.announced_port}
        ]

    def identity_fields(self) -> dict[str, Any]:
        """Who it is, as `ready` and `status` tell."""
        scope = self.rules.scope_of(self.address.host)
        ids = {kind.value: dht.node_id.hex() for kind, dht in self.dht.scopes.items()}
        return {
            "node_id": ids.get(scope.value) if scope is not None else None,
            "address": str(self.address),
            "ids": ids,
            "peer_id": self.identity.peer_id.hex(),
        }

    def ready_event(self) -> dict[str, Any]:
        """The first line of `dhtshare node`."""
        return {"event": "ready", **self.identity_fields(), "contacts": self.contacts}

    async def require_contacts(self, *, has_hints: bool) -> None:
        """For a command of its own: NetworkError (5) where it reached nobody, neighbours given a moment to show."""
        if not self.config.client or has_hints:
            return
        deadline = self._loop.time() + (LAN_SECONDS if self.config.lan else 0.0)
        while not self.contacts:
            if self._loop.time() >= deadline:
                raise NetworkError(
                    "No node answered. Name one with --bootstrap HOST:PORT, or start one here with: dhtshare node"
                )
            await asyncio.sleep(CONTACT_CHECK_SECONDS)

    async def library_changed(self, items: Iterable[Item]) -> None:
        """Items were found changed, missing, or there again: while online their records follow."""
        if self.online:
            await self.seeding.refresh(items)

    def records_held(self) -> dict[str, int]:
        """Records held for others, by kind."""
        return self.records.counts()

    def link(self, content_hash: bytes, name: str | None, size: int | None, *, with_peer: bool = True) -> str:
        """The string to hand to another person; our own address as a hint where we serve the content."""
        peers = (PeerHint(self.address.host, self.announced_port),) if with_peer and self.online else ()
        return Link(content_hash, name, size, self.config.network, peers).format()

    def own_network(self, content_hash: bytes) -> bytes | None:
        """The network under which we ourselves confirm to hold a content, None where we do not."""
        if self.shelf.offer(content_hash) is None:
            return None
        return self.finder.tag(self.address)
