"""One fetch: many peers, one list of chunks. Driver of the picker, the windows and the dials.

Believes no peer: a chunk counts when it was verified and stored. Memory is bounded by the exchange's buffers.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dhtshare.content.layout import Layout
from dhtshare.errors import (
    DhtshareError,
    IntegrityError,
    NetworkError,
    NotFoundError,
    RemoteProtocolError,
)
from dhtshare.network import Address
from dhtshare.transfer.asking import ask_have
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.dials import Candidate, Dials
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.jobs import Job
from dhtshare.transfer.members import MemberDescriptors
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Get
from dhtshare.transfer.picker import Picker, bits_of
from dhtshare.transfer.ports import Sink
from dhtshare.transfer.source import Source, SwarmPeer
from dhtshare.transfer.window import Window

TICK_SECONDS = 0.25
ASK_SECONDS = 10.0
MAX_RUN_BYTES = 256 << 10  # small chunks asked for at once
EVENTS_PER_SECOND = 4

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class SwarmOptions:
    """`timeout`: seconds without progress before the fetch gives up."""

    sequential: bool = False
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """What it took. Bytes of content; `names`: what peers call it."""

    downloaded: int
    discarded: int
    seconds: float
    sources: tuple[Source, ...]
    names: Counter[str]


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
    ) -> None:
        self.layout = layout
        self.content_hash = layout.content_hash
        self._exchange = exchange
        self._sink = sink
        self._options = options or SwarmOptions()
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        missing = [
            index for index in (wanted if wanted is not None else range(layout.chunk_count)) if index not in sink.have
        ]
        self._total = sum(layout.slot(index).length for index in missing)
        self._picker = Picker(layout.chunk_count, bits_of(missing), exchange.rng, sequential=self._options.sequential)
        self._members = MemberDescriptors(layout, missing, self._picker)
        self._dials = Dials(exchange.rules)
        self._peers: dict[Connection, SwarmPeer] = {}
        self._candidates: dict[Connection, Candidate] = {}
        self._jobs: set[Job] = set()
        self._past: dict[str, Source] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._names: Counter[str] = Counter()
        self._started = self._progress_at = self._told_at = self._loop.time()
        self._downloaded = self._discarded = self._stored = 0
        self._bad = self._impostors = self._answered = 0
        self._usual = 0.0
        self._waiting_for_room = False

    # ---- whom to ask ----------------------------------------------------------------------------

    def add_peer(
        self,
        address: Address,
        *,
        peer_id: bytes | None = None,
        source: str = "dht",
        content: bytes | None = None,
        base: int = 0,
    ) -> bool:
        """Somebody may hold it; any time. False where it is known or may not be dialled."""
        candidate = Candidate(address, peer_id, source, content or self.content_hash, base)
        if not self._exchange.may_dial(address) or not self._dials.add(candidate):
            return False
        self._dial()
        return True

    def _dial(self) -> None:
        while not self._done.done() and (candidate := self._dials.next(self._loop.time())) is not None:
            self._tell_peer(candidate.address, "dialled")
            self._spawn(self._meet(candidate))

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work, name="swarm")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _meet(self, candidate: Candidate) -> None:
        """Dial a candidate, ask what it holds, and put it to work."""
        try:
            connection = await self._exchange.connect(PeerAddress(candidate.address, candidate.peer_id))
            has = await ask_have(connection, candidate.content, follow=True, timeout=ASK_SECONDS)
            expected = self.layout.chunk_count if candidate.content == self.content_hash else None
            if expected is not None and has.chunks != expected:
                raise RemoteProtocolError(f"{candidate.address} counts chunks in another way.")
        except DhtshareError as error:
            self._impostors += isinstance(error, IntegrityError)
            self._dials.failed(candidate, self._loop.time())
            self._tell_peer(candidate.address, "refused", reason=str(error))
            self._look_for_end()
            self._dial()
            return
        self._dials.succeeded()
        if connection in self._peers or not connection.is_open:
            self._dials.lost(candidate, self._loop.time(), banned=connection.is_open)
            return
        self._answered += 1
        if has.name and candidate.content == self.content_hash:
            self._names[has.name] += 1
        usual = self.layout.slot(0).length if self.layout.chunk_count else 1
        peer = SwarmPeer(connection, candidate.content, candidate.base, Window(max(usual, 1 << 16)), candidate.origin)
        peer.moved_at = peer.floor_at = self._loop.time()
        self._peers[connection] = peer
        self._candidates[connection] = candidate
        connection.followers.append(self)
        chunks = bits_of(has.have) if has.have is not None else (1 << has.chunks) - 1
        whole = has.complete and candidate.content == self.content_hash
        self._picker.peer_has(peer, chunks << candidate.base, complete=whole)
        self._tell_peer(peer.address, "connected", chunks=has.held, source=peer.origin)
        if self._members.needed and whole:
            self._spawn(self._learn_members(peer))
        self._fill(peer)

    async def _learn_members(self, peer: SwarmPeer) -> None:
        """Member descriptors from this peer, until none is needed or it fails."""
        try:
            async for _ in self._members.learn(peer.connection, self.content_hash):
                for other in list(self._peers.values()):
                    self._fill(other)
        except IntegrityError as error:
            self._drop(peer, error, banned=True)
        except DhtshareError as error:
            self._drop(peer, error)

    # ---- what to ask ----------------------------------------------------------------------------

    def _fill(self, peer: SwarmPeer) -> None:
        """Ask the peer for as much as its window holds."""
        connection = peer.connection
        while connection.is_open and not connection.choked and not self._done.done():
            room = peer.window.size - peer.in_flight
            if room <= 0 or connection.requests_in_flight >= 128:
                return
            now = self._loop.time()
            job = self._next_job(peer, now, room)
            if job is None:
                return
            self._jobs.add(job)
            peer.in_flight += job.length
            for chunk in job.chunks:
                self._picker.requested(peer, chunk, now + peer.window.expected(peer.in_flight))
            try:
                job.ask(connection, now)
            except NetworkError:
                return  # it is closing; `closed` puts everything back

    def _next_job(self, peer: SwarmPeer, now: float, room: int) -> Job | None:
        run = 1 if not peer.window.proven else 64
        would_take = peer.window.expected(peer.in_flight)
        chunks = self._picker.pick(peer, run, now=now, would_take=would_take)
        if not chunks:
            return None
        length = self.layout.slot(chunks[0]).length
        kept = 1
        for chunk in chunks[1:]:
            more = self.layout.slot(chunk).length
            if length + more > min(MAX_RUN_BYTES, MAX_PAYLOAD_BYTES):
                break
            length += more
            kept += 1
        if not self._exchange.buffers.promise(length):
            if not self._waiting_for_room:
                self._waiting_for_room = True
                self._exchange.buffers.when_free(self._room_again)
            return None
        return Job(self, peer, chunks[:kept], length)

    def _room_again(self) -> None:
        self._waiting_for_room = False
        for peer in list(self._peers.values()):
            self._fill(peer)

    def make_get(self, peer: SwarmPeer, job: Job, offset: int, length: int, request: int) -> Get:
        """The request for a part of a job."""
        first = job.chunks[0] - peer.base
        return Get(request, peer.content, first, length, len(job.chunks), offset)

    # ---- what came ------------------------------------------------------------------------------

    def began(self, job: Job, delay: float, ahead: int) -> None:
        """The first byte of a job's answer is here."""
        job.peer.window.answered(delay, ahead, self._loop.time())

    def came(self, job: Job, count: int) -> None:
        """A part of a job came."""
        job.peer.received(count, self._loop.time())
        self._downloaded += count

    def arrived(self, job: Job) -> None:
        """All bytes of a job are here: verify and store in a thread, and ask for more meanwhile."""
        job.peer.in_flight -= job.length
        if self._done.done():
            self._forget(job)
            return
        self._exchange.verifiers.submit(partial(self._check, job), partial(self._checked, job))
        self._fill(job.peer)

    def _check(self, job: Job) -> list[bool]:
        """In a worker thread: which chunks of the job are right; those are stored."""
        right = []
        at = 0
        for chunk in job.chunks:
            length = self.layout.slot(chunk).length
            data = job.view[at : at + length]
            at += length
            good = chunk not in self._sink.have and self.layout.verify(chunk, data)
            if good:
                self._sink.store(chunk, data)
            right.append(good or chunk in self._sink.have)
        return right

    def _checked(self, job: Job, result: object, error: BaseException | None) -> None:
        peer = job.peer
        self._forget(job)
        if self._done.done():
            return
        if error is not None:
            self._done.set_exception(error)
            return
        assert isinstance(result, list)
        now = self._loop.time()
        for chunk, right in zip(job.chunks, result, strict=True):
            length = self.layout.slot(chunk).length
            if not right:
                self._picker.failed(peer, chunk)
                peer.bad_chunks += 1
                self._bad += 1
                self._discarded += length
                self._on_event({"event": "chunk_bad", "chunk": chunk, "address": str(peer.address)})
            elif self._picker.is_verified(chunk):
                self._discarded += length
            else:
                peer.chunks += 1
                peer.bytes += length
                self._stored += length
                self._progress_at = now
                for other in self._picker.verified(chunk):
                    if other is not peer and isinstance(other, SwarmPeer):
                        self._cancel(other, chunk)
                self._exchange.verified(self.content_hash, chunk)
        if all(result):
            peer.window.verified()
            took = now - job.asked_at
            self._usual = took if not self._usual else 0.8 * self._usual + 0.2 * took
        else:
            self._drop(peer, IntegrityError(f"{peer.address} sent a false chunk."), banned=True)
        self._tell(now)
        if self._picker.done:
            self._finish()
        else:
            self._fill(peer)

    def refused(self, job: Job, *, lacks: bool) -> None:
        """The peer will not send a job: it is choking, was told to cancel, or lacks it."""
        peer = job.peer
        peer.in_flight -= job.length
        for chunk in job.chunks:
            if lacks:
                self._picker.lacks(peer, chunk)
            else:
                self._picker.refused(peer, chunk)
        self._forget(job)
        for other in list(self._peers.values()):
            if other is not peer or not lacks:
                self._fill(other)
        self._look_for_end()

    def lost(self, job: Job) -> None:
        """The connection ended before a job was answered; the picker hears of it by `closed`."""
        job.peer.in_flight -= job.length
        self._forget(job)

    @property
    def buffers(self) -> Buffers:
        """Where jobs take their memory from."""
        return self._exchange.buffers

    def _forget(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs.discard(job)
            job.recycle(self._exchange.buffers)
            self._exchange.buffers.give_back(job.length)

    def _cancel(self, peer: SwarmPeer, chunk: int) -> None:
        for job in self._jobs:
            if job.peer is peer and job.chunks == [chunk]:
                job.cancel()

    # ---- what connections say (Follower) --------------------------------------------------------

    def has_more(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        peer = self._peers.get(connection)
        if peer is None or content != peer.content:
            return
        bits = 0
        for first, count in zip(runs[::2], runs[1::2], strict=False):
            if first + count > self.layout.chunk_count:
                raise RemoteProtocolError(f"{connection.address} tells of chunks that do not exist.")
            bits |= ((1 << count) - 1) << (first + peer.base)
        self._picker.peer_has(peer, bits)
        self._fill(peer)

    def choking(self, connection: Connection) -> None:
        peer = self._peers.get(connection)
        if peer is not None:
            self._fill(peer)

    def closed(self, connection: Connection) -> None:
        peer = self._peers.pop(connection, None)
        if peer is None:
            return
        self._remember(peer)
        self._picker.peer_gone(peer)
        candidate = self._candidates.pop(connection)
        self._dials.lost(candidate, self._loop.time(), banned=peer.bad_chunks > 0)
        self._tell_peer(peer.address, "lost")
        if self._done.done():
            return
        for other in list(self._peers.values()):
            self._fill(other)
        self._dial()
        self._look_for_end()

    def _drop(self, peer: SwarmPeer, error: DhtshareError, *, banned: bool = False) -> None:
        if banned:
            self._tell_peer(peer.address, "banned")
            self._exchange.ban(peer.connection)
        else:
            peer.connection.close(error)

    def _remember(self, peer: SwarmPeer) -> None:
        now = peer.source()
        before = self._past.get(now.address)
        if before is not None:
            now = Source(
                now.address, now.chunks + before.chunks, now.bytes + before.bytes, now.bad_chunks + before.bad_chunks
            )
        self._past[now.address] = now

    # ---- how it ends ----------------------------------------------------------------------------

    async def run(self) -> SwarmResult:
        """Until every wanted chunk is stored.

        Raises NotFoundError (no peer within the timeout), NetworkError (peers, but no progress for so long),
        IntegrityError (false data and nobody left), DiskError. On any end nothing is left under way.
        """
        self._on_event({"event": "started", "hash": self.content_hash.hex(), "size": self._total})
        if self._picker.done:
            return self._result()
        ticking = self._loop.create_task(self._tick(), name="swarm tick")
        try:
            self._dial()
            await asyncio.shield(self._done)
        finally:
            if not self._done.done():
                self._done.cancel()
            ticking.cancel()
            await self._leave(ticking)
        self._tell(self._loop.time(), last=True)
        return self._result()

    async def _leave(self, ticking: asyncio.Task[None]) -> None:
        tasks = [ticking, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection, peer in list(self._peers.items()):
            self._remember(peer)
            connection.followers.remove(self)
        self._peers.clear()
        for job in list(self._jobs):
            job.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._loop.time()
            for peer in list(self._peers.values()):
                if peer.dead(now):
                    self._drop(peer, NetworkError(f"{peer.address} stalls."))
                elif peer.stalled(now, self._usual):
                    peer.snubbed = True
                    self._picker.snubbed(peer)
            for peer in list(self._peers.values()):
                self._fill(peer)
            self._dial()
            self._tell(now)
            if now - self._progress_at > self._options.timeout and not self._done.done():
                self._done.set_exception(self._verdict())

    def _look_for_end(self) -> None:
        """False data and nobody left: there is nothing to wait for."""
        lied = self._bad or self._impostors
        if lied and not self._peers and self._dials.idle and not self._done.done():
            self._done.set_exception(self._verdict())

    def _verdict(self) -> DhtshareError:
        seconds = f"{self._options.timeout:g} s"
        if (self._bad or self._impostors) and not self._peers:
            return IntegrityError("Those who answered sent false data or were somebody else; nobody is left.")
        if not self._dials.known:
            return NotFoundError(f"Nobody who has this content was found within {seconds}. Try again later.")
        if not self._answered:
            return NetworkError(
                f"None of {self._dials.known} known providers answered within {seconds}. Try again later."
            )
        _, _, nobody = self._picker.availability()
        lacking = f" {nobody} of its chunks are held by none of them." if nobody else ""
        return NetworkError(f"Nothing came from {self._answered} peers for {seconds}.{lacking} Run it again to resume.")

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def _result(self) -> SwarmResult:
        sources = tuple(sorted(self._past.values(), key=lambda source: -source.bytes))
        return SwarmResult(self._stored, self._discarded, self._loop.time() - self._started, sources, self._names)

    def _tell_peer(self, address: Address, state: str, **fields: object) -> None:
        self._on_event({"event": "peer", "address": str(address), "state": state, **fields})

    def _tell(self, now: float, *, last: bool = False) -> None:
        if not last and now - self._told_at < 1 / EVENTS_PER_SECOND:
            return
        self._told_at = now
        rate = sum(peer.connection.received.rate(now) for peer in self._peers.values())
        full, copies, nobody = self._picker.availability()
        self._on_event(
            {
                "event": "finished" if last else "progress",
                "hash": self.content_hash.hex(),
                "done": self._stored,
                "total": self._total,
                "rate": round(rate),
                "eta": round((self._total - self._stored) / rate, 1) if rate > 0 else None,
                "peers": len(self._peers),
                "full_copies": full,
                "copies": round(copies, 2),
                "missing_everywhere": nobody,
            }
        )
