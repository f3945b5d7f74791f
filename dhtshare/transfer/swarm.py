"""One fetch: finds peers to work with, lets the pipeline work, and knows when it is over.

Peers are dialled as they become known, asked what they hold and put to work at once; who stalls, lies or dies is
replaced. What is asked of whom is the picker's and the windows' affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from dhtshare.content.layout import Layout
from dhtshare.errors import (
    DhtshareError,
    IntegrityError,
    MalformedError,
    NetworkError,
    NotFoundError,
    RemoteProtocolError,
)
from dhtshare.network import Address
from dhtshare.transfer.asking import PeerHas, ask_have
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import CONNECTIONS, Attempts, Candidate, Dials
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.members import MemberDescriptors
from dhtshare.transfer.messages import Ping
from dhtshare.transfer.picker import Picker, bits_of
from dhtshare.transfer.pipeline import RUN_BYTES, Pipeline
from dhtshare.transfer.ports import Sink
from dhtshare.transfer.report import OnEvent, Report, Source, SwarmResult
from dhtshare.transfer.source import SwarmPeer
from dhtshare.transfer.window import Window

__all__ = ["Source", "Swarm", "SwarmOptions", "SwarmResult"]

TICK_SECONDS = 0.25
ASK_SECONDS = 10.0
PING_SECONDS = 60.0
MAX_EARLY_NEWS = 64
USELESS_SECONDS = 20.0
"""Without a chunk from it, a peer's place is open to others."""


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """`timeout`: seconds without progress before the fetch gives up. `sequential`: chunks in order, for playing."""

    sequential: bool = False
    timeout: float = 60.0
    connections: int = CONNECTIONS


class Swarm:
    """Fetches the wanted chunks of one content that the sink does not have."""

    def __init__(
        self,
        exchange: Exchange,
        layout: Layout,
        sink: Sink,
        *,
        wanted: Iterable[int] | None = None,
        options: SwarmOptions | None = None,
        on_event: OnEvent = lambda _: None,
        attempts: Attempts | None = None,
    ) -> None:
        """`attempts`: those of the errand that this fetch is a part of."""
        self.layout = layout
        self.content_hash = layout.content_hash
        self._exchange = exchange
        self._options = options or SwarmOptions()
        self._loop = asyncio.get_running_loop()
        have = sink.have
        missing = [index for index in (range(layout.chunk_count) if wanted is None else wanted) if index not in have]
        self._picker = Picker(
            layout.chunk_count,
            bits_of(missing),
            exchange.rng,
            have=have.to_int(),
            sequential=self._options.sequential,
        )
        self._members = MemberDescriptors(layout, missing, self._picker)
        self._dials = Dials(exchange.rules, connections=self._options.connections, attempts=attempts)
        self._peers: dict[Connection, SwarmPeer] = {}
        self._candidates: dict[Connection, Candidate] = {}
        self._pipeline = Pipeline(
            layout, sink, self._picker, exchange.buffers, exchange.verifiers, self, self._peers.values
        )
        self._report = Report(
            layout, self._picker, sum(layout.slot(index).length for index in missing), on_event, self._loop.time()
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._answered = self._liars = 0
        self._running = False
        self._early: dict[Connection, list[tuple[int, ...]]] = {}
        """News of peers that have not answered yet what they hold."""
        self._pinged_at = self._loop.time()

    # Whom to ask.

    def add_peer(
        self,
        address: Address,
        *,
        peer_id: bytes | None = None,
        source: str = "dht",
        content: bytes | None = None,
        base: int = 0,
        told_by: str = "",
    ) -> bool:
        """Somebody may hold it; any time. False where it is known or may not be dialled.

        `content` and `base`: it holds a file of ours under its own hash, whose chunk 0 is our chunk `base`. `told_by`:
        who says so; those named by different ones are dialled in turn.
        """
        candidate = Candidate(address, peer_id, source, content or self.content_hash, base, told_by)
        if not self._exchange.may_dial(address) or not self._dials.add(candidate):
            return False
        self._dial()
        return True

    def adopt(self, connection: Connection) -> None:
        """A peer that dialled us asked for our content: it may have some of it."""
        if not self._done.done() and connection not in self._peers and len(self._peers) < self._options.connections:
            self._spawn(self._meet_guest(connection), f"meet {connection.address}")

    def _dial(self) -> None:
        while (
            self._running and not self._done.done() and (candidate := self._dials.next(self._loop.time())) is not None
        ):
            self._report.peer(candidate.address, "dialled")
            self._spawn(self._meet(candidate), f"meet {candidate.address}")

    async def _meet(self, candidate: Candidate) -> None:
        """Dial a candidate, ask what it holds, and put it to work."""
        connection: Connection | None = None
        try:
            connection = await self._exchange.connect(
                PeerAddress(candidate.address, candidate.peer_id), self._dials.attempts
            )
            has = await self._ask(connection, candidate.content)
            self._check_count(candidate, has)
        except DhtshareError as error:
            impostor = isinstance(error, IntegrityError)
            self._liars += impostor
            self._dials.failed(candidate, self._loop.time(), hopeless=impostor)
            self._report.peer(candidate.address, "refused", reason=str(error))
            self._look_for_end()
            self._dial()
            return
        self._dials.succeeded()
        if connection in self._peers or not connection.is_open:
            self._dials.lost(candidate, self._loop.time(), banned=connection.is_open)
            return
        self._candidates[connection] = candidate
        self._welcome(connection, candidate.content, candidate.base, candidate.origin, has)

    async def _meet_guest(self, connection: Connection) -> None:
        try:
            has = await self._ask(connection, self.content_hash)
        except DhtshareError:
            return  # it holds nothing, or went; nobody promised that it would
        if has.chunks == self.layout.chunk_count and connection.is_open and connection not in self._peers:
            self._welcome(connection, self.content_hash, 0, "guest", has)

    async def _ask(self, connection: Connection, content: bytes) -> PeerHas:
        """What the peer holds; from now on it tells what it gets, which may come before this is looked at."""
        if self in connection.followers:
            return await ask_have(connection, content, timeout=ASK_SECONDS)
        connection.followers.append(self)
        self._early[connection] = []
        try:
            return await ask_have(connection, content, follow=True, timeout=ASK_SECONDS)
        except BaseException:
            self._forget(connection)
            raise

    def _forget(self, connection: Connection) -> None:
        self._early.pop(connection, None)
        if self in connection.followers:
            connection.followers.remove(self)

    def _check_count(self, candidate: Candidate, has: PeerHas) -> None:
        most = self.layout.chunk_count - candidate.base
        if has.chunks > most or (candidate.content == self.content_hash and has.chunks != most):
            raise RemoteProtocolError(f"{candidate.address} counts the chunks of this content in another way.")

    def _welcome(self, connection: Connection, content: bytes, base: int, origin: str, has: PeerHas) -> None:
        whole = content == self.content_hash
        self._answered += 1
        if has.name and whole:
            self._report.names[has.name] += 1
        usual = max(self.layout.slot(0).length if self.layout.chunk_count else 0, RUN_BYTES)
        peer = SwarmPeer(connection, content, base, Window(usual), origin)
        self._peers[connection] = peer
        chunks = has.have.to_int() if has.have is not None else (1 << has.chunks) - 1 if has.complete else 0
        self._picker.peer_has(peer, chunks << base, complete=has.complete and whole)
        try:
            for runs in self._early.pop(connection, []):
                self._note_news(peer, runs)
        except RemoteProtocolError as error:
            connection.close(error)
        self._report.connected(peer.address, has.held, origin)
        self._learn_from(peer)
        self._pipeline.fill(peer)

    def _learn_from(self, peer: SwarmPeer) -> None:
        if self._members.needed and peer.content == self.content_hash and not peer.learning:
            peer.learning = True
            self._spawn(self._learn(peer), f"descriptors from {peer.address}")

    async def _learn(self, peer: SwarmPeer) -> None:
        """Member descriptors from this peer, batch after batch; again by and by if it had none."""
        try:
            while peer.connection.is_open and (batch := self._members.next_batch()):
                if not await self._members.learn(peer.connection, self.content_hash, batch):
                    return
                self._report.progress_at = self._loop.time()
                self._pipeline.fill_all()
        except (NotFoundError, NetworkError):
            return  # somebody else may have them; if it was the connection, its end is told
        except IntegrityError:
            self._ban(peer)
        except RemoteProtocolError as error:
            peer.connection.close(error)
        except MalformedError as error:
            self._end(IntegrityError(str(error)))
        finally:
            peer.learning = False

    # What connections say.

    def has_more(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        """A peer verified more chunks."""
        peer = self._peers.get(connection)
        if peer is None:
            if connection in self._early and len(self._early[connection]) < MAX_EARLY_NEWS:
                self._early[connection].append(runs)
        elif content == peer.content:
            self._note_news(peer, runs)
            self._pipeline.fill(peer)

    def _note_news(self, peer: SwarmPeer, runs: tuple[int, ...]) -> None:
        connection = peer.connection
        if len(runs) % 2:
            raise RemoteProtocolError(f"{connection.address} tells of half a run.")
        chunks = 0
        for first, count in zip(runs[::2], runs[1::2], strict=True):
            if peer.base + first + count > self.layout.chunk_count:
                raise RemoteProtocolError(f"{connection.address} tells of chunks that do not exist.")
            chunks |= ((1 << count) - 1) << (peer.base + first)
        self._picker.peer_has(peer, chunks)

    def choking(self, connection: Connection) -> None:
        """A peer choked or unchoked us."""
        peer = self._peers.get(connection)
        if peer is not None:
            self._pipeline.fill(peer)

    def closed(self, connection: Connection) -> None:
        """A connection ended."""
        self._early.pop(connection, None)
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        self._picker.peer_gone(peer)
        candidate = self._candidates.pop(connection, None)
        if candidate is not None:
            self._dials.lost(candidate, self._loop.time(), banned=not self._exchange.may_dial(candidate.address))
        self._report.peer(peer.address, "lost")
        if not self._done.done():
            self._pipeline.fill_all()
            self._dial()
            self._look_for_end()

    # What the pipeline says.

    def stored(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        """A chunk is on the disk."""
        peer.useful_at = self._loop.time()
        self._report.chunk_stored(peer.address, length, self._loop.time())
        self._exchange.verified(self.content_hash, chunk)

    def wasted(self, length: int) -> None:
        """A chunk came twice."""
        self._report.discarded += length

    def false(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        """A peer sent something else."""
        self._report.chunk_false(peer.address, chunk, length)

    def settled(self, peer: SwarmPeer, *, false: bool) -> None:
        """A job is through."""
        if false:
            self._ban(peer)
        if self._picker.done:
            self._end(None)
        else:
            self._tell()
            self._look_for_end()

    def broken(self, error: BaseException) -> None:
        """The disk failed."""
        self._end(error)

    # How it ends.

    async def run(self) -> SwarmResult:
        """Until every wanted chunk is stored.

        Raises NotFoundError (no peer within the timeout), NetworkError (peers, but no progress for so long),
        IntegrityError (false data and nobody left), DiskError. On any end, a cancellation too, nothing is left
        under way and nothing writes to the sink any more.
        """
        self._report.started()
        self._running = True
        if not self._picker.done:
            self._exchange.join(self.content_hash, self)
            self._spawn(self._tick(), "swarm tick")
            try:
                self._dial()
                await asyncio.shield(self._done)
            finally:
                if not self._done.done():
                    self._done.cancel()
                await self._leave()
        now = self._loop.time()
        self._report.progress(now, 0.0, 0, last=True)
        return self._report.result(now)

    async def _leave(self) -> None:
        self._exchange.leave(self.content_hash, self)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._peers:
            connection.followers.remove(self)
        self._peers.clear()
        await self._pipeline.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._loop.time()
            for peer in list(self._peers.values()):
                if peer.is_dead(now):
                    peer.connection.close(NetworkError(f"{peer.address} stalls."))
                elif peer.stalls(now):
                    peer.snubbed = True
                    self._picker.snubbed(peer)
                self._learn_from(peer)
            self._make_room(now)
            if now - self._pinged_at > PING_SECONDS:
                self._pinged_at = now
                for connection in list(self._peers):
                    connection.send(Ping())
            self._pipeline.fill_all()
            self._dial()
            self._tell()
            if now - self._report.progress_at > self._options.timeout:
                self._end(self._verdict())

    def _make_room(self, now: float) -> None:
        """With all places taken and others waiting, the peer that has been of no use for longest gives way."""
        if self._dials.crowded and self._peers:
            peer = min(self._peers.values(), key=lambda peer: peer.useful_at)
            if now - peer.useful_at > USELESS_SECONDS:
                peer.connection.close(NetworkError(f"{peer.address} gives nothing, and others wait."))

    def _ban(self, peer: SwarmPeer) -> None:
        self._liars += 1
        self._report.peer(peer.address, "banned")
        self._exchange.ban(peer.connection)

    def _end(self, error: BaseException | None) -> None:
        if self._done.done():
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)

    def _look_for_end(self) -> None:
        """False data and nobody left: there is nothing to wait for."""
        if self._liars and not self._peers and self._dials.idle:
            self._end(self._verdict())

    def _verdict(self) -> DhtshareError:
        seconds = f"{self._options.timeout:g} s"
        if self._liars and not self._peers:
            return IntegrityError("Those who answered sent false data or were somebody else; nobody is left.")
        if not self._dials.known and not self._answered:
            return NotFoundError(f"Nobody who has this content was found within {seconds}. Try again later.")
        if not self._answered:
            return NetworkError(f"None of {self._dials.known} known providers answered within {seconds}.")
        _, _, nobody = self._picker.availability()
        lacking = f" {nobody} of its chunks are held by none of them." if nobody else ""
        return NetworkError(f"Nothing came from {self._answered} peers for {seconds}.{lacking} Run it again to resume.")

    def _tell(self) -> None:
        now = self._loop.time()
        rate = sum(peer.connection.received.rate(now) for peer in self._peers.values())
        self._report.progress(now, rate, len(self._peers))

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A bug in one of our tasks ends the fetch, loudly."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)
