"""From an address to a peer at work: dialled, asked what it holds, introduced to the fetch once.

Also those who dialled us, and the second connection to a peer that we are connected to already. Decides nothing
about chunks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

from dhtshare.content.layout import Layout
from dhtshare.errors import DhtshareError, IntegrityError, NetworkError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer.asking import PeerHas, ask_have
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import Attempts, Candidate, Dials
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.messages import TAG_BYTES
from dhtshare.transfer.parties import Follower
from dhtshare.transfer.runs import Runs
from dhtshare.transfer.twins import Twins

ASK_SECONDS = 10.0
MAX_EARLY_NEWS = 64
GUEST = "guest"

Spawn = Callable[[Coroutine[None, None, None], str], None]


class Host(Follower, Protocol):
    """The fetch that peers are met for."""

    def welcome(self, connection: Connection, candidate: Candidate, has: PeerHas) -> None:
        """A peer that answered is to be put to work."""

    def retire(self, connection: Connection) -> None:
        """Another connection leads to the same peer: ask nothing more on this one."""

    def left(self, connection: Connection) -> None:
        """Nothing is under way on it any more: it is not one of ours."""

    def dialled(self, address: Address) -> None:
        """A dial begins."""

    def refused(self, address: Address, error: DhtshareError) -> None:
        """A dial led to nobody who helps."""


class Meetings:
    """Everybody whom one fetch meets. `spawn` takes ownership of a task."""

    def __init__(
        self,
        exchange: Exchange,
        layout: Layout,
        host: Host,
        spawn: Spawn,
        *,
        connections: int,
        attempts: Attempts | None = None,
    ) -> None:
        """`attempts`: those of the errand that the fetch is a part of."""
        self._exchange = exchange
        self._layout = layout
        self._host = host
        self._spawn = spawn
        self._most = connections
        self._loop = asyncio.get_running_loop()
        self._dials = Dials(exchange.rules, connections=connections, attempts=attempts)
        self._twins: Twins[Connection] = Twins(exchange.rng.randbytes(TAG_BYTES))
        self._met: dict[Connection, Candidate] = {}
        self._early: dict[Connection, list[tuple[Runs, bool]]] = {}
        """News of peers that have not answered yet what they hold."""
        self._aside: dict[Connection, Candidate] = {}
        """By the connection that is kept: whose other connection was let go of."""
        self._leaving: set[Connection] = set()
        self._open = False

    @property
    def known(self) -> int:
        """Addresses ever heard of."""
        return self._dials.known

    @property
    def idle(self) -> bool:
        """Whether nobody is being dialled or left to dial."""
        return self._dials.idle

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for one of the places."""
        return self._dials.crowded

    def begin(self) -> None:
        """Dial from now on."""
        self._open = True
        self.dial()

    def end(self) -> None:
        """Meet nobody any more, and follow nobody; the connections are the exchange's."""
        self._open = False
        for connection in self._met:
            connection.followers.remove(self._host)
        self._met.clear()

    def add(self, candidate: Candidate) -> bool:
        """Somebody may hold it. False where the address is known or may not be dialled."""
        if not self._exchange.may_dial(candidate.address) or not self._dials.add(candidate):
            return False
        self.dial()
        return True

    def dial(self) -> None:
        """Dial as many as may be dialled now."""
        while self._open and (candidate := self._dials.next(self._loop.time())) is not None:
            self._host.dialled(candidate.address)
            self._spawn(self._meet(candidate), f"meet {candidate.address}")

    def asked(self, connection: Connection, tag: bytes) -> None:
        """A peer asked for our content: who fetches it has some of it, or will."""
        double = self._twins.told(connection, tag, opened_here=not connection.incoming)
        if double is not None and double in self._met:
            self._let_go(double, self._met[double])
        unknown = connection not in self._met and self._host not in connection.followers
        if self._open and connection.incoming and unknown and double is not connection and len(self._met) < self._most:
            self._spawn(self._meet_guest(connection), f"meet {connection.address}")

    def early_news(self, connection: Connection, runs: Runs, *, given: bool) -> None:
        """A peer tells of new chunks, or of some that it gives away, before what it holds was looked at."""
        if connection in self._early and len(self._early[connection]) < MAX_EARLY_NEWS:
            self._early[connection].append((runs, given))

    def take_early(self, connection: Connection) -> list[tuple[Runs, bool]]:
        """What `early_news` was told of this peer: chunks, and whether they are given away."""
        return self._early.pop(connection, [])

    def listens(self, connection: Connection) -> Address | None:
        """Where the peer of this connection can be dialled, if another connection to it was dialled there."""
        aside = self._aside.get(connection)
        return None if aside is None else aside.address

    def closed(self, connection: Connection) -> None:
        """A connection ended: its address is dialled once more, unless another connection leads to the same peer."""
        self._early.pop(connection, None)
        self._leaving.discard(connection)
        put_aside = connection not in self._met or self._twins.twin(connection) is not None
        self._twins.gone(connection)
        candidate, now = self._met.pop(connection, None), self._loop.time()
        if candidate is not None and candidate.origin != GUEST and not put_aside:
            self._dials.lost(candidate, now, banned=not self._exchange.may_dial(candidate.address))
        aside = self._aside.pop(connection, None)
        if aside is not None:
            self._dials.again(aside, now)

    async def _meet(self, candidate: Candidate) -> None:
        """Dial a candidate, ask what it holds, and put it to work."""
        try:
            peer = PeerAddress(candidate.address, candidate.peer_id)
            connection = await self._exchange.connect(peer, self._dials.attempts)
            has = await self._ask(connection, candidate.content)
            self._check_count(candidate, connection, has)
        except DhtshareError as error:
            self._dials.failed(candidate, self._loop.time(), hopeless=isinstance(error, IntegrityError))
            self._host.refused(candidate.address, error)
            self.dial()
            return
        self._dials.succeeded()
        if connection in self._met or not connection.is_open:
            self._dials.lost(candidate, self._loop.time(), banned=connection.is_open)
        elif self._twins.twin(connection) is not None:
            self._let_go(connection, candidate)
        else:
            self._introduce(connection, candidate, has)

    async def _meet_guest(self, connection: Connection) -> None:
        content = self._layout.content_hash
        try:
            has = await self._ask(connection, content)
        except DhtshareError:
            return  # it holds nothing, or went; nobody promised that it would
        fits = has.chunks == self._layout.chunk_count and self._twins.twin(connection) is None
        if fits and connection.is_open and connection not in self._met:
            self._introduce(connection, Candidate(connection.address, None, GUEST, content, 0), has)

    def _introduce(self, connection: Connection, candidate: Candidate, has: PeerHas) -> None:
        self._met[connection] = candidate
        self._host.welcome(connection, candidate, has)

    def _let_go(self, connection: Connection, candidate: Candidate) -> None:
        """Another connection leads to the same peer. Who opened this one closes it when nothing is under way."""
        kept = self._twins.twin(connection)
        if kept is not None and candidate.origin != GUEST:
            self._dials.put_aside()
            self._aside[kept] = candidate
        self._met[connection] = candidate
        self._leaving.add(connection)
        self._host.retire(connection)

    def tidy(self) -> None:
        """Leave the second connections to peers on which nothing is under way."""
        for connection in [connection for connection in self._leaving if not connection.busy]:
            self._leaving.remove(connection)
            self._early.pop(connection, None)
            self._met.pop(connection, None)
            self._twins.gone(connection)
            if self._host in connection.followers:
                connection.followers.remove(self._host)
            self._host.left(connection)
            if not connection.incoming and not connection.followers:
                connection.close(NetworkError(f"{connection.address} is connected already."))

    async def _ask(self, connection: Connection, content: bytes) -> PeerHas:
        """What the peer holds; from now on it tells what it gets, which may come before this is looked at."""
        if self._host in connection.followers:
            return await ask_have(connection, content, timeout=ASK_SECONDS)
        connection.followers.append(self._host)
        self._early[connection] = []
        try:
            return await ask_have(connection, content, follow=True, tag=self._twins.own, timeout=ASK_SECONDS)
        except BaseException:
            self._early.pop(connection, None)
            if self._host in connection.followers:
                connection.followers.remove(self._host)
            raise

    def _check_count(self, candidate: Candidate, connection: Connection, has: PeerHas) -> None:
        most = self._layout.chunk_count - candidate.base
        if has.chunks > most or (candidate.content == self._layout.content_hash and has.chunks != most):
            error = RemoteProtocolError(f"{candidate.address} counts the chunks of this content in another way.")
            connection.close(error)
            raise error
