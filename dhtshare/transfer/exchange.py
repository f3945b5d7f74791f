"""All that a node does over TCP: who is connected, what they are given, and where to ask.

Owns the connections, the threads and the tasks of transfers. Decides nothing itself: the doorway lets peers in, the
dialler goes out, the greeter says who they are, the seeder serves, swarms fetch.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from dhtshare import __version__
from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.identity import SigningKey
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.asking import DescriptorHunt, FoundDescriptor, PeerHas, ask_have
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import Dialler, PeerAddress
from dhtshare.transfer.dials import Attempts
from dhtshare.transfer.doorway import Doorway
from dhtshare.transfer.greeting import Greeter, Manners
from dhtshare.transfer.messages import Ask, Hello, Request
from dhtshare.transfer.parties import Shared
from dhtshare.transfer.ports import Shelf
from dhtshare.transfer.ratelimit import Limits
from dhtshare.transfer.seeder import GIVEN_SECONDS, HAVE_SECONDS, Seeder
from dhtshare.transfer.workers import Workers

__all__ = ["Exchange", "ExchangeStats", "FoundDescriptor", "PeerAddress", "PeerHas", "PeerInfo"]

IDLE_SECONDS = 120.0
GREETING_SECONDS = 10.0
SENDER_THREADS = 4
"""More than cores: a read from a slow disk blocks one of them."""

VERIFIER_THREADS = max(3, min(8, (os.cpu_count() or 2) + 1))
"""One more than cores: two that write to the same file wait for each other, and one waits for the peer."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One connection as it is now. Bytes, and bytes a second."""

    address: Address
    incoming: bool
    encrypted: bool
    agent: str
    peer_id: bytes | None
    uploaded: int
    downloaded: int
    upload_rate: float
    download_rate: float
    choked: bool
    choking: bool


@dataclass(frozen=True, slots=True)
class ExchangeStats:
    """All connections together since the start. Bytes, and bytes a second."""

    connections: int
    uploaded: int
    downloaded: int
    upload_rate: float
    download_rate: float


class Adopter(Protocol):
    """A fetch that may use connections which its peers opened."""

    def asked(self, connection: Connection, tag: bytes) -> None:
        """The peer on it asked for the content that is being fetched; with a tag it fetches that itself."""


class Exchange:
    """The TCP side of one node."""

    def __init__(
        self,
        *,
        network: bytes,
        key: SigningKey,
        rules: ScopeRules,
        shelf: Shelf,
        limits: Limits,
        encryption: str = "auto",
        rng: random.Random,
        agent: str = f"dhtshare/{__version__}",
        refused: Callable[[BaseException], bool] = lambda _: False,
    ) -> None:
        """`key` is the peer key, `network` the 4-byte id, `encryption` 'auto' or 'never'.

        `refused` is told of errors that may be the system's lack of something, on the loop.
        """
        self.limits = limits
        self.rules = rules
        self.rng = rng
        self.buffers = Buffers()
        self.verifiers = Workers("verify", VERIFIER_THREADS, refused)
        self._senders = Workers("send", SENDER_THREADS, refused)
        self._seeder = Seeder(shelf, rng)
        self._greeter = Greeter(Manners(network, key, rules, encryption, agent), rng)
        self._shared = Shared(limits, self._senders, self.verifiers, self._keep, refused)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._swarms: dict[bytes, Adopter] = {}
        self._gone_uploaded = self._gone_downloaded = 0
        self._dialler = Dialler(rules, self._greeter, self._make_outgoing, self._now, refused)
        self._doorway = Doorway(rules, key, self._make_incoming, self._keep, refused)
        self._telling: asyncio.TimerHandle | None = None
        self._stopped = False

    async def start(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Serve on these listening sockets (non-blocking; they stay their owner's). None: on our own dials alone."""
        for sock in sockets:
            self._doorway.open(sock)
        self._keep(asyncio.get_running_loop().create_task(self._sweep(), name="sweep connections"))

    async def stop(self) -> None:
        """Close every connection and end every task and thread. Nothing works afterwards."""
        self._stopped = True
        if self._telling is not None:
            self._telling.cancel()
        connections = list(self._connections)
        for connection in connections:
            connection.close(NetworkError("This node stops."))
        for connection in connections:
            await connection.wait_closed()
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.difference_update(tasks)
        self._senders.stop()
        self.verifiers.stop()

    async def connect(self, peer: PeerAddress, attempts: Attempts | None = None) -> Connection:
        """An open connection to the peer, within the errand's attempts. Raises NetworkError, IntegrityError."""
        if self._stopped:
            raise NetworkError("This node stops.")
        return await self._dialler.connect(peer, attempts)

    async def ask_have(
        self, peer: PeerAddress, content_hash: bytes, *, timeout: float = 5.0, attempts: Attempts | None = None
    ) -> PeerHas:
        """What the peer holds of a content.

        Raises NotFoundError (nothing), NetworkError (no answer, or nonsense), IntegrityError (another peer).
        """
        try:
            async with asyncio.timeout(timeout):
                connection = await self.connect(peer, attempts)
                return await ask_have(connection, content_hash, timeout=timeout)
        except TimeoutError as error:
            raise NetworkError(f"{peer.address} did not answer within {timeout:g} s.") from error
        except RemoteProtocolError as error:
            raise NetworkError(f"{peer.address} does not speak our protocol: {error}") from error

    async def fetch_descriptor(
        self,
        content_hash: bytes,
        peers: AsyncIterable[PeerAddress] | Iterable[PeerAddress],
        *,
        timeout: float = 60.0,
        attempts: Attempts | None = None,
        want_whole: bool = False,
    ) -> FoundDescriptor:
        """The descriptor of this hash, from the first of these peers that sends the right one.

        With `want_whole`, a file of one chunk comes itself, and its descriptor is made from its bytes.

        Raises NotFoundError (nobody to ask, or nobody holds it), NetworkError (nobody answered in `timeout`
        seconds), IntegrityError (only false answers).
        """
        connect = partial(self.connect, attempts=attempts or Attempts(self.rules))
        return await DescriptorHunt(connect, self.ban, content_hash, want_whole).run(peers, timeout)

    def may_dial(self, address: Address) -> bool:
        """Whether this address is one for peers, and not banned."""
        return self._dialler.may_dial(address)

    def ban(self, connection: Connection) -> None:
        """False data came over this connection: close it, and do not dial its address for a while."""
        if not connection.incoming:
            self._dialler.ban(connection.address)
        connection.close(NetworkError(f"{connection.address} sent false data."))

    def join(self, content_hash: bytes, swarm: Adopter) -> None:
        """Offer this fetch the connections of peers that ask for its content."""
        self._swarms[content_hash] = swarm

    def leave(self, content_hash: bytes, swarm: Adopter) -> None:
        """The fetch has ended."""
        if self._swarms.get(content_hash) is swarm:
            del self._swarms[content_hash]

    def verified(self, content_hash: bytes, chunk: int) -> None:
        """A chunk can be served now: followers hear of it soon, many at a time."""
        self._seeder.verified(content_hash, chunk)
        self._tell_soon(HAVE_SECONDS)

    def peers(self) -> list[PeerInfo]:
        """Everybody who is connected now."""
        now = self._now()
        return [
            PeerInfo(
                connection.address,
                connection.incoming,
                connection.encrypted,
                connection.agent,
                connection.peer_id,
                connection.sent.total,
                connection.received.total,
                connection.sent.rate(now),
                connection.received.rate(now),
                connection.choked,
                connection.choking,
            )
            for connection in self._connections
            if connection.greeted
        ]

    def stats(self) -> ExchangeStats:
        """The sums."""
        now = self._now()
        return ExchangeStats(
            len(self._connections),
            self._gone_uploaded + sum(connection.sent.total for connection in self._connections),
            self._gone_downloaded + sum(connection.received.total for connection in self._connections),
            sum(connection.sent.rate(now) for connection in self._connections),
            sum(connection.received.rate(now) for connection in self._connections),
        )

    # The handler of connections.

    def greeted(self, connection: Connection, hello: Hello | None) -> None:
        """A connection is up, or its peer said HELLO."""
        if hello is None:
            self._connections.add(connection)
        self._greeter.greet(connection, hello)

    def requested(self, connection: Connection, request: Request) -> None:
        """A peer asks."""
        self._seeder.requested(connection, request, self._now())
        if isinstance(request, Ask) and request.content in self._swarms:
            self._swarms[request.content].asked(connection, request.tag)
        self._tell_soon(GIVEN_SECONDS)

    def cancelled(self, connection: Connection, request: int) -> None:
        """A peer withdraws a request."""
        self._seeder.cancelled(connection, request)

    def closed(self, connection: Connection) -> None:
        """A connection ended."""
        self._connections.discard(connection)
        self._gone_uploaded += connection.sent.total
        self._gone_downloaded += connection.received.total
        self._greeter.farewell(connection)
        self._seeder.gone(connection)
        if not connection.incoming:
            self._dialler.closed(connection)

    # Inside.

    def _make_outgoing(self, address: Address, encrypted: bool, expected_id: bytes | None) -> Connection:
        return Connection(self, self._shared, address, incoming=False, encrypted=encrypted, expected_id=expected_id)

    def _make_incoming(self, address: Address, encrypted: bool) -> Connection:
        return Connection(self, self._shared, address, incoming=True, encrypted=encrypted)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _tell_soon(self, seconds: float) -> None:
        if self._telling is None and self._seeder.has_news:
            self._telling = asyncio.get_running_loop().call_later(seconds, self._tell)

    def _tell(self) -> None:
        self._telling = None
        self._seeder.tell()

    async def _sweep(self) -> None:
        """Drop who does not greet, says half a frame or does nothing, and give upload slots anew."""
        while True:
            await asyncio.sleep(1.0)
            now = self._now()
            for connection in list(self._connections):
                if not connection.greeted and now - connection.opened_at > GREETING_SECONDS:
                    connection.close(NetworkError(f"{connection.address} does not say HELLO."))
                elif connection.stands_still(now):
                    connection.close(NetworkError(f"{connection.address} began a frame and does not go on."))
                elif now - connection.moved_at > IDLE_SECONDS:
                    connection.close(NetworkError(f"{connection.address} was idle."))
            self._seeder.round(now)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
