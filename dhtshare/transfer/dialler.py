"""Opens connections to peers, one per address, and uses those that are open already."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from dhtshare.errors import NetworkError
from dhtshare.network import LOWEST_GLOBAL_PORT, Address, Scope, ScopeRules, is_loopback
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dials import Attempts
from dhtshare.transfer.greeting import Greeter
from dhtshare.transfer.parties import EncryptionNeededError
from dhtshare.transfer.sockets import tune
from dhtshare.transfer.tls import client_context
from dhtshare.transfer.tls_transport import begin_tls

CONNECT_SECONDS = 5.0
HANDSHAKE_SECONDS = 10.0
BAN_SECONDS = 3600.0

PEER_ID_BYTES = 32


class PeerAddress(NamedTuple):
    """Where a peer may be. A `peer_id` of 32 bytes must be proved by it; one of 8 (from a record) is only noted."""

    address: Address
    peer_id: bytes | None = None

    @property
    def must_be(self) -> bytes | None:
        """The id that the peer has to prove, if any."""
        return self.peer_id if self.peer_id is not None and len(self.peer_id) == PEER_ID_BYTES else None


class Dialler:
    """Connections that we opened. `make` makes a connection object, `now` is the loop's clock."""

    def __init__(
        self,
        rules: ScopeRules,
        greeter: Greeter,
        make: Callable[[Address, bool, bytes | None], Connection],
        now: Callable[[], float],
        refused: Callable[[BaseException], bool],
    ) -> None:
        """`refused` is told why no socket could be had: it knows whether the system lacks something."""
        self._rules = rules
        self._greeter = greeter
        self._make = make
        self._now = now
        self._refused = refused
        self._open: dict[Address, Connection] = {}
        self._dialling: dict[Address, asyncio.Lock] = {}
        self._banned: dict[Address, float] = {}
        self._wants_tls: set[Address] = set()
        self._context: ssl.SSLContext | None = None

    def ban(self, address: Address) -> None:
        """Do not dial this for BAN_SECONDS: false data came from it. By ip and port, never by IP alone."""
        self._banned[address] = self._now() + BAN_SECONDS

    def is_banned(self, address: Address) -> bool:
        """Whether it is banned now."""
        until = self._banned.get(address)
        if until is not None and until <= self._now():
            del self._banned[address]
            return False
        return until is not None

    def may_dial(self, address: Address) -> bool:
        """Whether it is an address of a scope, with a port that may be dialled there, and not banned."""
        scope = self._rules.scope_of(address.host)
        return (
            scope is not None
            and (scope is Scope.LAN or address.port >= LOWEST_GLOBAL_PORT)
            and not self.is_banned(address)
        )

    async def connect(self, peer: PeerAddress, attempts: Attempts | None = None) -> Connection:
        """An open connection, made now or before. HELLO is sent, not yet answered: ask at once.

        `attempts`: the errand's, counted where a socket is opened.

        Raises NetworkError when nobody answers in CONNECT_SECONDS or it may not be dialled, IntegrityError when an
        open connection leads to another peer than the one that is named.
        """
        address = peer.address
        if not self.may_dial(address):
            raise NetworkError(f"{address} is not dialled: banned, or no address for peers.")
        lock = self._dialling.setdefault(address, asyncio.Lock())
        try:
            async with lock:
                known = self._open.get(address)
                if known is not None and known.is_open and self._fits(known, peer):
                    return known
                return await self._dial(peer, attempts)
        finally:
            if not lock.locked():
                self._dialling.pop(address, None)

    def closed(self, connection: Connection) -> None:
        """A connection that we opened ended."""
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]
        if isinstance(connection.error, EncryptionNeededError):
            self._wants_tls.add(connection.address)

    def _fits(self, connection: Connection, peer: PeerAddress) -> bool:
        return peer.must_be is None or peer.must_be in (connection.expected_id, connection.peer_id)

    async def _dial(self, peer: PeerAddress, attempts: Attempts | None) -> Connection:
        plain = self._greeter.may_be_plain(peer.address.host) and peer.address not in self._wants_tls
        connection = await self._open_one(peer, attempts, encrypted=not plain)
        if plain and not is_loopback(peer.address.host):
            # We prefer plain; only the answer tells whether the other side does.
            await asyncio.wait_for(connection.greeting.wait(), HANDSHAKE_SECONDS)
            if isinstance(connection.error, EncryptionNeededError):
                connection = await self._open_one(peer, attempts, encrypted=True)
        return connection

    async def _open_one(self, peer: PeerAddress, attempts: Attempts | None, *, encrypted: bool) -> Connection:
        address = peer.address
        if attempts is not None and not attempts.begin(address):
            raise NetworkError(f"{address} is not dialled: it, or its network, was often enough.")
        loop = asyncio.get_running_loop()
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            self._refused(error)
            raise NetworkError(f"{address} is not dialled: {error.strerror}.") from error
        try:
            tune(sock, loopback=is_loopback(address.host))
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(sock, tuple(address))

            def make() -> Connection:
                return self._make(address, encrypted, peer.must_be)

            if encrypted:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    connection = await begin_tls(sock, self._tls(), make, server_side=False)
            else:
                _, connection = await loop.create_connection(make, sock=sock)
        except BaseException as error:
            sock.close()
            self._refused(error)
            if isinstance(error, TimeoutError):
                raise NetworkError(f"{address} did not answer within {CONNECT_SECONDS:g} s.") from error
            if isinstance(error, OSError):  # ssl.SSLError is one
                raise NetworkError(f"{address} cannot be reached: {error.strerror or error}.") from error
            raise
        if not connection.is_open:
            raise connection.error or NetworkError(f"{address} closed the connection.")
        self._open[address] = connection
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = client_context()
        return self._context
