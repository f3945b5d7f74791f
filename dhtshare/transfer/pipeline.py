"""From the picker's choice to a stored chunk: ask, receive, verify and store in threads, ask again.

While one chunk is hashed and written the next is on its way. Believes no peer: a chunk counts when it was verified
and stored. Knows nothing of addresses, dials or when to give up: that is the swarm's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple, Protocol

from dhtshare.content.chunks import MIN_CHUNK_SIZE
from dhtshare.content.layout import Layout
from dhtshare.errors import NetworkError
from dhtshare.transfer.buffers import UNVERIFIED_BYTES, Buffers
from dhtshare.transfer.gets import ask
from dhtshare.transfer.jobs import Job, Outcome
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, MAX_REQUESTS_IN_FLIGHT, MAX_RUN_CHUNKS
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.ports import Sink
from dhtshare.transfer.source import UNKNOWN_SECONDS, SwarmPeer
from dhtshare.transfer.workers import Workers

MAX_REQUESTS_PER_PEER = MAX_REQUESTS_IN_FLIGHT // 2
"""The other half is for questions, and for what was cancelled and is not answered yet."""

RUN_BYTES = MAX_PAYLOAD_BYTES // 4
"""Small chunks asked for together: enough to hide the round trip, few enough for two threads to share the work."""

COPIES_AT_ONCE = 16
"""Of what is the same bytes as a chunk that came, before others have the thread."""

RUNS_ON_THE_WAY = 3
"""One that comes, one that the peer sends next, and one that is being asked for: together what a fast line carries
in 15 ms. With half of that the peer stood still whenever the event loop was late."""

ON_THE_WAY_BYTES = UNVERIFIED_BYTES * 3 // 4
"""What all peers of a fetch are asked for in runs. The rest is for what is being verified and written: where no memory
is left, every chunk that is through has all peers asked again."""

RUNS_UNTIL_CHUNKS = 64
"""Towards the end of a file its chunks are asked one by one, so that all peers get a share of the last ones."""


class Overseer(Protocol):
    """The swarm."""

    def stored(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        """A chunk from this peer is verified and on the disk."""

    def copied(self, chunk: int) -> None:
        """A chunk that is the same bytes as a stored one is on the disk, too."""

    def wasted(self, length: int) -> None:
        """A right chunk came a second time."""

    def false(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        """What the peer sent is not this chunk."""

    def settled(self, peer: SwarmPeer, *, false: bool) -> None:
        """One of the peer's jobs is through."""

    def broken(self, error: BaseException) -> None:
        """The disk failed."""


class Copy(NamedTuple):
    """A chunk to be stored from where the same bytes lie in a job's memory."""

    chunk: int
    at: int
    length: int


class Pipeline:
    """The jobs of one fetch. Invariant: what they promised of `buffers` is given back when they end."""

    def __init__(
        self,
        layout: Layout,
        sink: Sink,
        picker: Picker,
        buffers: Buffers,
        verifiers: Workers,
        overseer: Overseer,
        peers: Callable[[], Collection[SwarmPeer]],
    ) -> None:
        self._layout = layout
        self._several_files = len(layout.files) > 1
        self._sink = sink
        self._picker = picker
        self._buffers = buffers
        self._verifiers = verifiers
        self._overseer = overseer
        self._peers = peers
        self._loop = asyncio.get_running_loop()
        self._jobs: set[Job] = set()
        self._last_checked: asyncio.Future[None] | None = None
        self._waits_for_room = False
        self._stopped = False

    def fill(self, peer: SwarmPeer) -> None:
        """Ask the peer for as much as its window holds, once there is room for several requests."""
        connection, room = peer.connection, self._room(peer)
        if peer.in_flight > room - peer.window.batch:
            return
        while not (self._stopped or peer.retired or connection.choked) and connection.is_open:
            if not peer.window.proven and any(job.peer is peer for job in self._jobs):
                return  # what came is not verified yet: nobody is trusted with a second chunk before
            if peer.in_flight >= room or connection.requests_in_flight >= MAX_REQUESTS_PER_PEER:
                return
            now = self._loop.time()
            most = self._longest_run(peer)
            count = 1 if not peer.window.proven else MAX_RUN_CHUNKS if self._several_files else most // MIN_CHUNK_SIZE
            picked = self._picker.pick(peer, max(1, count), now=now, would_take=peer.expected(RUN_BYTES))
            if not picked:
                return
            chunks, length = self._run_of(picked, most)
            if not self._buffers.promise(length):
                self._wait_for_room()
                return
            self._start(self._jobs_of(peer, chunks, length), now)

    def fill_all(self) -> None:
        """Ask every peer."""
        for peer in list(self._peers()):
            self.fill(peer)

    async def stop(self) -> None:
        """Abandon what is under way and wait for what is being written: the sink may be closed afterwards."""
        self._stopped = True
        self._jobs = {job for job in list(self._jobs) if not job.abandon()}  # these are whole, and being written
        if self._jobs:
            self._last_checked = self._loop.create_future()
            await self._last_checked

    def _room(self, peer: SwarmPeer) -> int:
        """How many bytes may be asked of the peer at a time: where it is asked for long runs, several of them."""
        run = self._longest_run(peer) if peer.window.proven else 0
        return max(peer.window.size, RUNS_ON_THE_WAY * run) if run > MIN_CHUNK_SIZE else peer.window.size

    def _longest_run(self, peer: SwarmPeer) -> int:
        """How many bytes to ask the peer for at a time of chunks that follow each other in a file: so many that its
        share of the memory holds RUNS_ON_THE_WAY of them."""
        # Asked one by one, chunks are spread over all who want them and all who have them.
        alone = not self._picker.shared and self._picker.missing.bit_count() >= RUNS_UNTIL_CHUNKS
        if not alone:
            return RUN_BYTES
        share = ON_THE_WAY_BYTES // max(1, len(self._peers()))
        return max(RUN_BYTES, min(peer.window.run, share // RUNS_ON_THE_WAY))

    def _run_of(self, picked: list[int], most: int) -> tuple[list[int], int]:
        """How many of these consecutive chunks to ask for at once, and their bytes: `most` in a file, or RUN_BYTES."""
        first = self._layout.slot(picked[0])
        length, count = first.length, 1
        for chunk in picked[1:]:
            slot = self._layout.slot(chunk)
            if length + slot.length > (most if slot.file == first.file else RUN_BYTES):
                break
            length += slot.length
            count += 1
        return picked[:count], length

    def _jobs_of(self, peer: SwarmPeer, chunks: list[int], length: int) -> list[Job]:
        """One for all while they are small; else one each, so that a chunk is worked on as soon as it is here."""
        if length <= RUN_BYTES:
            return [Job(self, self._buffers, peer, chunks, length)]
        return [Job(self, self._buffers, peer, [chunk], self._layout.slot(chunk).length) for chunk in chunks]

    def _start(self, jobs: list[Job], now: float) -> None:
        peer = jobs[0].peer
        self._jobs.update(jobs)
        expected = peer.expected(sum(job.length for job in jobs)) if peer.window.rate else UNKNOWN_SECONDS
        for job in jobs:
            for chunk in job.chunks:
                self._picker.requested(peer, chunk, now + expected)
        try:
            ask(jobs, now)
        except NetworkError:
            for job in jobs:
                self._jobs.discard(job)
                job.abandon()  # the connection is closing; its end puts the chunks back

    def _wait_for_room(self) -> None:
        if not self._waits_for_room:
            self._waits_for_room = True
            self._buffers.when_free(self._room_again)

    def _room_again(self) -> None:
        self._waits_for_room = False
        self.fill_all()

    # What jobs say.

    def arrived(self, job: Job) -> None:
        """All bytes of a job are here."""
        self._verifiers.submit(partial(self.check, job), partial(self._check_ended, job))
        self.fill(job.peer)

    def moved(self, job: Job) -> None:
        """A part of a job is here: there may be room for the next one, and more is known of when the rest comes."""
        now = self._loop.time()
        for chunk in job.chunks:
            self._picker.expected(job.peer, chunk, now + job.peer.expected())
        self.fill(job.peer)

    def refused(self, job: Job, *, lacks: bool) -> None:
        """The peer will not send a job."""
        self._jobs.discard(job)
        for chunk in job.chunks:
            if lacks:
                self._picker.lacks(job.peer, chunk)
            else:
                self._picker.refused(job.peer, chunk)
        self.fill_all()
        self._overseer.settled(job.peer, false=False)

    def lost(self, job: Job) -> None:
        """The connection ended; the picker hears of it from the swarm."""
        self._jobs.discard(job)

    # Verifying.

    def check(self, job: Job) -> Outcome:
        """In a worker thread: which chunks of the job are right; those are stored."""
        right: list[bool] = []
        at = 0
        try:
            view = job.view
            for chunk in job.chunks:
                length = self._layout.slot(chunk).length
                data = view[at : at + length]
                at += length
                good = self._layout.verify(chunk, data)
                if good and chunk not in self._sink.have:
                    self._sink.store(chunk, data)
                right.append(good)
        except BaseException as error:  # a full disk, or a bug: either way it ends the fetch and not the thread
            return Outcome(right, error)
        return Outcome(right, None)

    def _check_ended(self, job: Job, result: object, error: BaseException | None) -> None:
        assert error is not None or isinstance(result, Outcome)
        self.checked(job, result if isinstance(result, Outcome) else Outcome([], error))

    def checked(self, job: Job, outcome: Outcome) -> None:
        """A job was checked."""
        peer, right = job.peer, outcome.right
        if outcome.error is not None:
            self._through(job)
            self._overseer.broken(outcome.error)
            return
        at, copies = 0, deque[Copy]()
        for chunk, good in zip(job.chunks, right, strict=True):
            length = self._layout.slot(chunk).length
            if not good:
                self._picker.failed(peer, chunk)
                self._overseer.false(peer, chunk, length)
            elif self._picker.is_verified(chunk):
                self._overseer.wasted(length)
            else:
                for other in self._picker.verified(chunk):
                    if other is not peer:
                        self._cancel(other, chunk)
                self._overseer.stored(peer, chunk, length)
                copies += (Copy(other, at, length) for other in self._picker.copies(chunk))
            at += length
        if all(right):
            peer.window.verified()
        self._copy_or_end(job, copies)
        self._overseer.settled(peer, false=not all(right))
        self.fill(peer)

    def _through(self, job: Job) -> None:
        job.end()
        self._jobs.discard(job)
        if self._last_checked is not None and not self._jobs and not self._last_checked.done():
            self._last_checked.set_result(None)

    # What is the same bytes as a chunk that came. The job keeps its memory until the last of it is stored.

    def _copy_or_end(self, job: Job, copies: deque[Copy]) -> None:
        if not copies or self._stopped:
            self._through(job)
            return
        now, later = [copies.popleft() for _ in range(min(COPIES_AT_ONCE, len(copies)))], copies
        self._verifiers.submit(partial(self._store_copies, job, now), partial(self._copies_stored, job, now, later))

    def _store_copies(self, job: Job, copies: list[Copy]) -> None:
        """In a worker thread."""
        for copy in copies:
            if copy.chunk not in self._sink.have:
                self._sink.store(copy.chunk, job.view[copy.at : copy.at + copy.length])

    def _copies_stored(
        self, job: Job, copies: list[Copy], later: deque[Copy], _: object, error: BaseException | None
    ) -> None:
        if error is not None:
            self._through(job)
            self._overseer.broken(error)
            return
        for copy in copies:
            self._picker.verified(copy.chunk)
            self._overseer.copied(copy.chunk)
        self._copy_or_end(job, later)
        self._overseer.settled(job.peer, false=False)

    def _cancel(self, peer: object, chunk: int) -> None:
        """Others were asked for this chunk at the tail, and it is here now."""
        for job in [job for job in self._jobs if job.peer is peer and job.chunks == [chunk]]:
            if job.abandon():
                self._jobs.discard(job)
