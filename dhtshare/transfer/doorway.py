"""Lets peers in: accepts on the listening sockets, tells TLS from plain by the first byte, keeps order among guests."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from dhtshare.identity import SigningKey
from dhtshare.network import Address, Scope, ScopeRules, is_loopback, parse_ip
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.guests import Guests
from dhtshare.transfer.messages import TLS_FIRST_BYTE
from dhtshare.transfer.sockets import tune
from dhtshare.transfer.tls import server_context
from dhtshare.transfer.tls_transport import begin_tls

HANDSHAKE_SECONDS = 10.0
RETRY_SECONDS = 0.5
"""Between attempts to accept while the process has no file descriptor left."""


class Visit:
    """One incoming connection from its acceptance on. `leave` ends it, at any stage."""

    def __init__(self, host: str, now: float) -> None:
        self.host = host
        self.leave: Callable[[], object] = lambda: None
        self.connection: Connection | None = None
        self.handed_over = False
        """The socket belongs to a transport: it alone closes it, or the next one with its number is torn away."""
        self._came = now

    @property
    def idle_since(self) -> float:
        """When it last asked for something, or came."""
        return self._came if self.connection is None else self.connection.asked_at

    @property
    def busy(self) -> bool:
        """Whether a transfer is under way with it, or may not have been read to its end."""
        return self.connection is not None and (self.connection.busy or self.connection.lingers)


class Doorway:
    """Accepts. `make` makes a connection object for an address; `keep` takes ownership of a task.

    `refused` is told of what went wrong with a guest: it knows whether the system lacks something.
    """

    def __init__(
        self,
        rules: ScopeRules,
        key: SigningKey,
        make: Callable[[Address, bool], Connection],
        keep: Callable[[asyncio.Task[None]], None],
        refused: Callable[[BaseException], bool],
    ) -> None:
        self._rules = rules
        self._key = key
        self._make = make
        self._keep = keep
        self._refused = refused
        self._guests: Guests[Visit] = Guests()
        self._context: ssl.SSLContext | None = None

    @property
    def guests(self) -> int:
        """How many are inside."""
        return len(self._guests)

    def open(self, listener: socket.socket) -> None:
        """Accept on this bound, listening socket until its task is cancelled. The socket stays its owner's."""
        loop = asyncio.get_running_loop()
        self._keep(loop.create_task(self._accept(listener), name="accept peers"))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._let_in(*await loop.sock_accept(listener))
            except (OSError, MemoryError) as error:  # something is used up, or the peer went before we took it
                self._refused(error)
                await asyncio.sleep(RETRY_SECONDS)

    def _let_in(self, sock: socket.socket, name: tuple[Any, ...]) -> None:
        loop = asyncio.get_running_loop()
        ip = parse_ip(str(name[0]).partition("%")[0])
        host = str(ip) if ip is not None else str(name[0])
        crowded = self._rules.scope_of(host) is not Scope.LAN
        welcome, leaving = self._guests.make_room(host, crowded=crowded)
        if leaving is not None:
            self._guests.left(leaving)
            leaving.leave()
        if not welcome:
            sock.close()
            return
        # Inside from now on, not from when its task first runs: connections come in bursts.
        visit = Visit(host, loop.time())
        self._guests.came(visit)
        task = loop.create_task(self._admit(visit, sock, Address(host, name[1])), name=f"admit {host}")
        visit.leave = task.cancel
        task.add_done_callback(partial(self._left, visit, sock))
        self._keep(task)

    def _left(self, visit: Visit, sock: socket.socket, _task: asyncio.Task[None]) -> None:
        """However it ended, also where it never began."""
        self._guests.left(visit)
        if not visit.handed_over:
            sock.close()

    async def _admit(self, visit: Visit, sock: socket.socket, address: Address) -> None:
        loop = asyncio.get_running_loop()
        try:
            tune(sock, loopback=is_loopback(address.host))
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                encrypted = await _first_byte(loop, sock) == TLS_FIRST_BYTE
                if encrypted:
                    connection = await begin_tls(sock, self._tls(), lambda: self._make(address, True), server_side=True)
                    visit.handed_over = True
                else:
                    visit.handed_over = True
                    _, connection = await loop.connect_accepted_socket(lambda: self._make(address, False), sock)
                visit.connection = connection
                visit.leave = connection.close
                await connection.greeting.wait()
            await connection.wait_closed()
        except (OSError, MemoryError) as error:  # TimeoutError is an OSError
            self._refused(error)
            if visit.connection is not None:
                visit.connection.close()

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = server_context(self._key)
        return self._context


async def _first_byte(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> int:
    """The first byte without taking it. Raises ConnectionError when the peer goes before."""
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)
    with suppress(BlockingIOError):
        if first := sock.recv(1, socket.MSG_PEEK):
            return first[0]
    raise ConnectionError
