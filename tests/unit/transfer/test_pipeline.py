"""What is asked of a peer at a time: runs of a fast one that is alone, and who answers for what came in one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

import pytest
from blake3 import blake3

from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import DiskError
from dhtshare.transfer.buffers import Buffers
from dhtshare.transfer.messages import MAX_RUN_BYTES, Get, Reason, Refused
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.pipeline import (
    COPIES_AT_ONCE,
    ON_THE_WAY_BYTES,
    RUN_BYTES,
    RUNS_ON_THE_WAY,
    RUNS_UNTIL_CHUNKS,
    Pipeline,
)
from dhtshare.transfer.repeats import known_repeats
from dhtshare.transfer.runs import bits_of
from dhtshare.transfer.source import SwarmPeer
from dhtshare.transfer.window import Window
from dhtshare.transfer.workers import Job as Work
from dhtshare.transfer.workers import Then, Workers
from tests.unit.transfer.job_fakes import FakeConnection, fake_peer
from tests.unit.transfer.transfer_fakes import describe

MIB = 1 << 20
ZEROS = blake3(bytes(MIB)).digest()
FAST, SLOW = 1e9, 12.5e6
RUN = MAX_RUN_BYTES // MIB


def zeros(chunks: int, last: int = MIB) -> Layout:
    """A file of chunks of zeros, the last of them so long."""
    hashes = ZEROS * (chunks - 1) + blake3(bytes(last)).digest()
    return Layout.of(FileDescriptor((chunks - 1) * MIB + last, hashes))


class Sink:
    """Which chunks were stored; `error` is what storing ends in."""

    def __init__(self) -> None:
        self.have: set[int] = set()
        self.stored: list[int] = []
        self.error: DiskError | None = None

    def store(self, index: int, data: memoryview) -> None:
        if self.error is not None:
            raise self.error
        self.stored.append(index)
        self.have.add(index)


class Overseer:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.stored_of: list[tuple[SwarmPeer, int]] = []
        self.false_of: list[tuple[SwarmPeer, int]] = []
        self.copied_chunks: list[int] = []
        self.wasted_bytes = 0
        self.settlements: list[bool] = []
        self.errors: list[BaseException] = []

    def stored(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        self.stored_of.append((peer, chunk))

    def copied(self, chunk: int) -> None:
        self.copied_chunks.append(chunk)

    def wasted(self, length: int) -> None:
        self.wasted_bytes += length

    def false(self, peer: SwarmPeer, chunk: int, length: int) -> None:
        self.false_of.append((peer, chunk))

    def settled(self, peer: SwarmPeer, *, false: bool) -> None:
        self.settlements.append(false)

    def broken(self, error: BaseException) -> None:
        self.errors.append(error)


class Steady(Window):
    """Of a line 1 ms away, whose rate is known."""

    def __init__(self, rate: float) -> None:
        super().__init__(MIB)
        self.rate = rate
        self.answered(0.001)

    def _note(self, rate: float, now: float) -> None:
        """Whatever is measured."""


class Inline(Workers):
    """What is submitted is done at once, or when a test says so that had it held."""

    def __init__(self) -> None:
        super().__init__("inline", 0)
        self.held: list[Callable[[], None]] | None = None

    def submit(self, job: Work, then: Then) -> None:
        if self.held is None:
            self._do(job, then)
        else:
            self.held.append(lambda: self._do(job, then))

    def _do(self, job: Work, then: Then) -> None:
        try:
            result = job()
        except DiskError as error:
            then(None, error)
        else:
            then(result, None)


class Bench:
    """A pipeline and the peers that hold all of its content."""

    def __init__(
        self, layout: Layout, *, wanted: Iterable[int] | None = None, sequential: bool = True, same: bool = False
    ) -> None:
        """`same`: the picker is told which chunks are the same bytes, as a swarm tells it."""
        self.layout = layout
        self.sink = Sink()
        self.overseer = Overseer()
        chosen = bits_of(range(layout.chunk_count) if wanted is None else wanted)
        self.picker = Picker(layout.chunk_count, chosen, random.Random(1), sequential=sequential)
        if same:
            self.picker.same(known_repeats(layout, range(layout.chunk_count)))
        self.buffers = Buffers()
        self.peers: list[SwarmPeer] = []
        self.connections: list[FakeConnection] = []
        self.workers = Inline()
        self.pipeline = Pipeline(
            layout,
            self.sink,
            self.picker,
            self.buffers,
            self.workers,
            self.overseer,
            lambda: self.peers,
        )

    def join(self, rate: float, *, proven: bool = True) -> FakeConnection:
        """A peer that holds everything; it is asked at once."""
        window = Steady(rate)
        if proven:
            window.verified()
        connection = FakeConnection(len(self.peers) + 1)
        self.connections.append(connection)
        self.peers.append(fake_peer(connection, window))
        self.picker.peer_has(self.peers[-1], 0, complete=True)
        self.pipeline.fill(self.peers[-1])
        return connection


def open_gets(connection: FakeConnection) -> list[Get]:
    return [connection.gets[number] for number in connection.expecting]


def answer_all(connection: FakeConnection, content: Callable[[Get], bytes] = lambda get: bytes(get.length)) -> None:
    """Every request, and those that follow from the answers."""
    while connection.expecting:
        number = next(iter(connection.expecting))
        connection.receive(number, content(connection.gets[number]))


async def test_a_fast_peer_alone_is_asked_for_runs() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST)
    assert [(get.first, get.count, get.length) for get in open_gets(fast)[:2]] == [
        (0, RUN, MAX_RUN_BYTES),
        (RUN, RUN, MAX_RUN_BYTES),
    ]


async def test_a_slow_peer_is_asked_for_chunks_in_parts() -> None:
    on = Bench(zeros(200))
    slow = on.join(SLOW)
    assert {get.count for get in open_gets(slow)} == {1}
    assert max(get.length for get in open_gets(slow)) == MIB


async def test_a_peer_that_proved_nothing_is_asked_for_one_chunk() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST, proven=False)
    assert {(get.first, get.count) for get in open_gets(fast)} == {(0, 1)}
    assert sum(get.length for get in open_gets(fast)) == MIB
    for number in list(fast.expecting):
        fast.receive(number, bytes(fast.gets[number].length))
    assert [get.count for get in open_gets(fast)][:2] == [RUN, RUN]


async def test_what_came_first_is_verified_before_more_is_asked_for() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST, proven=False)
    on.workers.held = []
    for number in list(fast.expecting):
        fast.receive(number, bytes(fast.gets[number].length))
    on.pipeline.fill_all()
    assert not fast.expecting
    (check,) = on.workers.held
    check()
    assert open_gets(fast)


async def test_a_false_chunk_proves_nothing() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST, proven=False)
    for number in list(fast.expecting):
        fast.receive(number, b"x" * fast.gets[number].length)
    assert not on.peers[0].window.proven
    assert on.overseer.false_of == [(on.peers[0], 0)]


async def test_where_seeds_give_to_others_chunks_are_asked_one_by_one() -> None:
    on = Bench(zeros(200))
    on.picker.given(1 << 150)
    fast = on.join(FAST)
    assert {get.count for get in open_gets(fast)} == {1}


async def test_towards_the_end_chunks_are_asked_one_by_one() -> None:
    on = Bench(zeros(RUNS_UNTIL_CHUNKS + RUN))
    fast = on.join(FAST)
    answer_all(fast)
    gets = list(fast.gets.values())
    assert [get.count for get in gets] == [RUN, RUN, *[1] * (RUNS_UNTIL_CHUNKS - RUN)]
    assert sorted(on.sink.stored) == list(range(RUNS_UNTIL_CHUNKS + RUN))
    assert on.picker.done


async def test_a_run_ends_before_what_is_here() -> None:
    on = Bench(zeros(200), wanted=[0, 1, 3, *range(5, 200)])
    fast = on.join(FAST)
    assert [(get.first, get.count) for get in open_gets(fast)][:3] == [(0, 2), (3, 1), (5, RUN)]


async def test_the_last_chunk_of_a_file_may_end_a_run() -> None:
    chunks = [*range(60), *range(100, 103), *range(150, 200)]
    on = Bench(zeros(200, last=12_345), wanted=chunks, sequential=False)
    fast = on.join(FAST)
    answer_all(fast)
    assert sum(get.length for get in fast.gets.values()) == (len(chunks) - 1) * MIB + 12_345
    assert sorted(on.sink.stored) == chunks
    assert on.overseer.wasted_bytes == 0
    assert on.buffers.promised == 0


@pytest.mark.parametrize("false", [0, 2, 3])
async def test_a_false_chunk_in_a_run_is_its_senders_and_the_others_count(false: int) -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST)
    (number, *_) = fast.expecting
    payload = bytearray(MAX_RUN_BYTES)
    payload[false * MIB + 5] = 1
    fast.receive(number, bytes(payload))
    peer = on.peers[0]
    others = [chunk for chunk in range(RUN) if chunk != false]
    assert on.overseer.false_of == [(peer, false)]
    assert on.overseer.stored_of == [(peer, chunk) for chunk in others]
    assert on.overseer.settlements == [chunk == false for chunk in range(RUN)]
    assert on.sink.stored == others
    assert on.picker.missing >> false & 1 or any(get.first == false for get in open_gets(fast))


async def test_what_comes_a_second_time_is_waste_and_stored_once() -> None:
    on = Bench(zeros(1))
    first = on.join(SLOW)
    on.picker.snubbed(on.peers[0])
    second = on.join(SLOW)
    on.workers.held = []
    for connection in (first, second):
        for number in list(connection.expecting):
            connection.receive(number, bytes(connection.gets[number].length))
    assert len(on.workers.held) == 2
    for check in on.workers.held:
        check()
    assert on.sink.stored == [0]
    assert on.overseer.stored_of == [(on.peers[0], 0)]
    assert on.overseer.wasted_bytes == MIB
    assert on.buffers.promised == 0


async def test_what_others_were_asked_for_too_is_cancelled_when_it_is_here() -> None:
    on = Bench(zeros(1))
    first = on.join(SLOW)
    on.picker.snubbed(on.peers[0])
    second = on.join(SLOW)
    asked = sorted(first.expecting)
    answer_all(second)
    assert first.cancelled == asked
    assert on.sink.stored == [0]
    assert on.buffers.promised == 0


async def test_the_next_runs_are_on_their_way_before_one_is_through() -> None:
    """A run is one answer: asked for one at a time, a fast line stood still between two of them."""
    on = Bench(zeros(200))
    fast = on.join(FAST)
    assert len(open_gets(fast)) >= RUNS_ON_THE_WAY
    for _ in range(5):
        (number, *_) = fast.expecting
        fast.receive(number, bytes(MAX_RUN_BYTES))
        assert len(open_gets(fast)) >= RUNS_ON_THE_WAY - 1


async def test_several_fast_peers_share_the_memory() -> None:
    on = Bench(zeros(600))
    first = on.join(FAST)
    assert sum(get.length for get in open_gets(first)) == RUNS_ON_THE_WAY * MAX_RUN_BYTES
    for _ in range(5):
        on.join(FAST)
    for _ in range(10):
        for connection in on.connections:
            for number in list(connection.expecting)[:1]:
                connection.receive(number, bytes(connection.gets[number].length))
    asked = [sum(get.length for get in open_gets(connection)) for connection in on.connections]
    assert max(asked) <= on.buffers.limit // 6
    assert sum(asked) <= ON_THE_WAY_BYTES
    assert min(asked) > 0
    assert on.buffers.promised == sum(asked)


async def test_a_run_that_is_refused_is_asked_of_others() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST)
    (number, *_) = fast.expecting
    fast.choked = True
    fast.expecting.pop(number).answered(Refused(number, Reason.CHOKED), None)
    assert on.picker.missing & 255 == 255
    other = on.join(FAST)
    assert open_gets(other)[0].first == 0
    assert open_gets(other)[0].count == ON_THE_WAY_BYTES // 2 // RUNS_ON_THE_WAY // MIB


async def test_a_full_disk_ends_the_fetch_and_gives_back_the_memory() -> None:
    on = Bench(zeros(200))
    on.sink.error = DiskError("full")
    fast = on.join(FAST)
    (number, *_) = fast.expecting
    fast.receive(number, bytes(MAX_RUN_BYTES))
    assert set(on.overseer.errors) == {on.sink.error}
    assert on.buffers.promised == sum(get.length for get in open_gets(fast))


async def test_after_the_stop_nothing_is_promised_and_nothing_asked() -> None:
    on = Bench(zeros(200))
    fast = on.join(FAST)
    async with asyncio.timeout(5):
        await on.pipeline.stop()
    assert on.buffers.promised == 0
    assert sorted(fast.cancelled) == sorted(fast.gets)
    asked = len(fast.gets)
    on.pipeline.fill_all()
    assert len(fast.gets) == asked


# Chunks that are the same bytes.


def first_checked(on: Bench, connection: FakeConnection) -> list[Callable[[], None]]:
    """All that was asked for came and was checked; what is held now is to store copies."""
    on.workers.held = held = []
    answer_all(connection)
    for _ in range(len(held)):
        held.pop(0)()
    return held


async def test_what_is_the_same_is_stored_a_few_at_a_time_and_never_asked_for() -> None:
    chunks = 2 * COPIES_AT_ONCE + 6
    on = Bench(zeros(chunks, last=100), same=True)
    connection = on.join(FAST)
    assert [get.first for get in open_gets(connection)] == [0, chunks - 1]
    held = first_checked(on, connection)
    sizes = []
    while held:
        assert on.buffers.promised == MIB, "the memory that is copied from"
        held.pop(0)()
        sizes.append(len(on.overseer.copied_chunks) - sum(sizes))
    assert sizes == [COPIES_AT_ONCE, COPIES_AT_ONCE, chunks - 2 - 2 * COPIES_AT_ONCE]
    assert sorted(on.sink.stored) == list(range(chunks))
    assert on.overseer.copied_chunks == list(range(1, chunks - 1))
    assert on.picker.done
    assert on.buffers.promised == 0


async def test_a_stop_in_the_middle_of_copies_waits_for_the_thread_and_begins_no_more() -> None:
    on = Bench(zeros(2 * COPIES_AT_ONCE), same=True)
    connection = on.join(FAST)
    held = first_checked(on, connection)
    stopping = asyncio.create_task(on.pipeline.stop())
    await asyncio.sleep(0)
    assert not stopping.done(), "the sink is written to"
    held.pop()()
    await asyncio.wait_for(stopping, 5)
    assert not held
    assert len(on.sink.stored) == 1 + COPIES_AT_ONCE
    assert on.buffers.promised == 0


async def test_a_disk_that_is_full_of_copies_ends_the_fetch() -> None:
    on = Bench(zeros(10), same=True)
    connection = on.join(FAST)
    (copying,) = first_checked(on, connection)
    on.sink.error = DiskError("full")
    copying()
    assert on.overseer.errors == [on.sink.error]
    assert on.buffers.promised == 0
    assert not on.picker.done


def collection(*sizes: int) -> Layout:
    """Files of zeros, whose descriptors are known."""
    files = [describe(bytes(size)) for size in sizes]
    entries = [
        CollectionEntry(f"{number:04}", size, file.content_hash, False)
        for number, (size, file) in enumerate(zip(sizes, files, strict=True))
    ]
    layout = Layout.of(CollectionDescriptor.of(entries))
    for number, file in enumerate(files):
        layout.set_descriptor(number, file.encode())
    return layout


def test_jobs_of_a_collection_cover_it() -> None:
    """Whatever the sizes, no chunk twice and none left out, and no request that a seed refuses."""

    async def run(sizes: list[int], rate: float) -> None:
        layout = collection(*sizes)
        on = Bench(layout)
        connection = on.join(rate)
        answer_all(connection)
        assert sorted(on.sink.stored) == list(range(layout.chunk_count))
        for get in connection.gets.values():
            if get.count > 1:
                run_of = layout.run(get.first, get.count)
                assert get.length == run_of.length
                assert get.length <= (MAX_RUN_BYTES if run_of.in_one_file else RUN_BYTES)

    rng = random.Random(5)
    for rate in (FAST, SLOW):
        for _ in range(3):
            sizes = [rng.choice([1, 1000, RUN_BYTES // 2, MIB, MIB + 5, 5 * MIB]) for _ in range(100)]
            asyncio.run(run(sizes, rate))


@pytest.mark.parametrize("shared", [True, False])
async def test_long_files_of_a_collection_are_asked_for_as_one_file_is(shared: bool) -> None:
    on = Bench(collection(100 * MIB, 5))
    if shared:
        on.picker.given(1 << 50)
    fast = on.join(FAST)
    assert [get.count for get in open_gets(fast)][:2] == ([1, 1] if shared else [RUN, RUN])


async def test_small_files_are_asked_for_together_also_where_seeds_give_to_others() -> None:
    on = Bench(collection(*[1000] * 300))
    on.picker.given(1 << 50)
    fast = on.join(FAST)
    (get, *_) = open_gets(fast)
    assert (get.count, get.length) == (RUN_BYTES // 1000, RUN_BYTES // 1000 * 1000)
