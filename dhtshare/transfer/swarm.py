"""One fetch: puts the peers that are met to work, lets the pipeline work, and knows when it is over.

Who lies is banned. Whom to dial is the meetings' affair, what to ask of whom the picker's and the windows', who stalls
or is dead the tending's, how it ends the verdict's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from dhtshare.content.layout import Layout
from dhtshare.errors import DhtshareError, IntegrityError, RemoteProtocolError
from dhtshare.network import Address
from dhtshare.transfer.asking import PeerHas
from dhtshare.transfer.availability import lacking
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dials import CONNECTIONS, Attempts, Candidate
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.learning import Learning
from dhtshare.transfer.meeting import Meetings
from dhtshare.transfer.members import MemberDescriptors
from dhtshare.transfer.missing import Missing
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.pipeline import RUN_BYTES, Pipeline
from dhtshare.transfer.ports import Sink
from dhtshare.transfer.report import OnEvent, Report, Source, SwarmResult
from dhtshare.transfer.runs import Runs, bits_of, bits_of_runs
from dhtshare.transfer.source import SwarmPeer
from dhtshare.transfer.tending import Tending
from dhtshare.transfer.verdict import Verdict
from dhtshare.transfer.window import Window

__all__ = ["Source", "Swarm", "SwarmOptions", "SwarmResult"]

TICK_SECONDS = 0.25


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
        missing: Missing | None = None,
    ) -> None:
        """`attempts`: those of the errand that this fetch is a part of. `missing`: the wanted chunks that the sink does
        not have; without it they are found out here, which of a large collection takes a second.
        """
        self.layout = layout
        self.content_hash = layout.content_hash
        self._exchange = exchange
        options = options or SwarmOptions()
        self._timeout = options.timeout
        self._loop = asyncio.get_running_loop()
        have = sink.have
        if missing is None:
            chunks = range(layout.chunk_count) if wanted is None else wanted
            missing = Missing.of(layout, (chunk for chunk in chunks if chunk not in have))
        self._picker = Picker(
            layout.chunk_count, bits_of(missing.chunks), exchange.rng, have=have.to_int(), sequential=options.sequential
        )
        self._picker.same(missing.repeats)
        layout.remember_slots()
        self._learning = Learning(
            MemberDescriptors(layout, missing.of_file, self._picker),
            self.content_hash,
            self._spawn,
            learned=self._learned,
            ban=self._ban,
            fail=self._end,
        )
        self._peers: dict[Connection, SwarmPeer] = {}
        self._tending = Tending(self._peers, self._picker, self._learning, self._loop.time())
        self._pipeline = Pipeline(
            layout, sink, self._picker, exchange.buffers, exchange.verifiers, self, self._peers.values
        )
        self._meetings = Meetings(
            exchange, layout, self, self._spawn, connections=options.connections, attempts=attempts
        )
        self._verdict = Verdict(options.timeout)
        self._report = Report(layout, self._picker, missing, on_event, self._loop.time())
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] = self._loop.create_future()

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
        return self._meetings.add(Candidate(address, peer_id, source, content or self.content_hash, base, told_by))

    async def run(self) -> SwarmResult:
        """Until every wanted chunk is stored.

        Raises NotFoundError (no peer within the timeout), NetworkError (peers, but no progress for so long),
        IntegrityError (false data and nobody left), DiskError. On any end, a cancellation too, nothing is left
        under way and nothing writes to the sink any more.
        """
        self._report.started()
        if not self._picker.done:
            self._exchange.join(self.content_hash, self)
            self._spawn(self._tick(), "swarm tick")
            try:
                self._meetings.begin()
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
        self._meetings.end()
        self._peers.clear()
        await self._pipeline.stop()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._loop.time()
            self._tending.round(now, crowded=self._meetings.crowded)
            self._meetings.tidy()
            self._pipeline.fill_all()
            self._meetings.dial()
            self._tell()
            self._report.availability(now, len(self._peers))
            came_at = max((peer.heard_at for peer in self._peers.values()), default=-math.inf)
            if now - max(self._report.progress_at, came_at) > self._timeout:
                self._give_up()

    # What the meetings say.

    def dialled(self, address: Address) -> None:
        """A dial begins."""
        self._report.peer(address, "dialled")

    def refused(self, address: Address, error: DhtshareError) -> None:
        """A dial led to nobody who helps."""
        self._verdict.liars += isinstance(error, IntegrityError)
        self._report.peer(address, "refused", reason=str(error))
        self._look_for_end()

    def welcome(self, connection: Connection, candidate: Candidate, has: PeerHas) -> None:
        """A peer is to be put to work."""
        whole = candidate.content == self.content_hash
        self._verdict.answered += 1
        if has.name and whole:
            self._report.names[has.name] += 1
        usual = max(self.layout.slot(0).length if self.layout.chunk_count else 0, RUN_BYTES)
        listens = self._meetings.listens(connection)
        peer = SwarmPeer(connection, candidate.content, candidate.base, Window(usual), candidate.origin, listens)
        self._peers[connection] = peer
        chunks = has.have.to_int() if has.have is not None else (1 << has.chunks) - 1 if has.complete else 0
        self._picker.peer_has(peer, chunks << candidate.base, complete=has.complete and whole)
        try:
            for runs, given in self._meetings.take_early(connection):
                self._note_news(peer, runs, given=given)
        except RemoteProtocolError as error:
            connection.close(error)
        self._report.connected(peer.address, has.held, candidate.origin, incoming=peer.incoming)
        self._learning.ask(peer)
        self._pipeline.fill(peer)

    def retire(self, connection: Connection) -> None:
        """Another connection leads to the same peer."""
        peer = self._peers.get(connection)
        if peer is not None:
            peer.retired = True

    def left(self, connection: Connection) -> None:
        """A second connection to a peer is not used any more."""
        peer = self._peers.pop(connection, None)
        if peer is not None:
            self._picker.peer_gone(peer)

    def _learned(self) -> None:
        """Descriptors came: there is more to ask for, and that is progress, too."""
        self._report.progress_at = self._loop.time()
        self._pipeline.fill_all()

    # What connections say.

    def asked(self, connection: Connection, tag: bytes) -> None:
        """A peer asked for our content: it may have some of it."""
        self._meetings.asked(connection, tag)

    def has_more(self, connection: Connection, content: bytes, runs: Runs) -> None:
        """A peer verified more chunks."""
        self._news(connection, content, runs, given=False)

    def given(self, connection: Connection, content: bytes, runs: Runs) -> None:
        """A seed gives these chunks to others."""
        self._news(connection, content, runs, given=True)

    def _news(self, connection: Connection, content: bytes, runs: Runs, *, given: bool) -> None:
        peer = self._peers.get(connection)
        if peer is None:
            self._meetings.early_news(connection, runs, given=given)
        elif content == peer.content:
            self._note_news(peer, runs, given=given)
            self._pipeline.fill(peer)

    def choking(self, connection: Connection) -> None:
        """A peer choked or unchoked us."""
        peer = self._peers.get(connection)
        if peer is not None:
            self._pipeline.fill(peer)

    def closed(self, connection: Connection) -> None:
        """A connection ended."""
        peer = self._peers.pop(connection, None)
        self._meetings.closed(connection)
        if peer is not None:
            self._picker.peer_gone(peer)
            self._report.peer(peer.address, "lost")
        if not self._done.done():
            self._pipeline.fill_all()
            self._meetings.dial()
            self._look_for_end()

    def _note_news(self, peer: SwarmPeer, runs: Runs, *, given: bool) -> None:
        chunks = bits_of_runs(runs, self.layout.chunk_count - peer.base) << peer.base
        if given:
            self._picker.given(chunks)
        else:
            self._picker.peer_has(peer, chunks)

    # What the pipeline says.

    def stored(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        """A chunk is on the disk."""
        peer.useful_at = self._loop.time()
        self._report.chunk_stored(peer.address, chunk, length, self._loop.time())
        self._exchange.verified(self.content_hash, chunk)

    def copied(self, chunk: int) -> None:
        """A chunk is on the disk that is the same bytes as one that came."""
        self._report.chunk_copied(chunk, self._loop.time())
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

    def _ban(self, peer: SwarmPeer) -> None:
        self._verdict.liars += 1
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
        if self._verdict.hopeless(len(self._peers), idle=self._meetings.idle):
            self._give_up()

    def _give_up(self) -> None:
        missing = lacking(self.layout, self._picker.availability().nobody)
        self._end(self._verdict.reason(self._meetings.known, len(self._peers), missing))

    def _tell(self) -> None:
        now = self._loop.time()
        if not self._report.is_due(now):
            return
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
