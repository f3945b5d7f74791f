"""An outbox sends whole frames, small ones between long ones, and never more at a time than it may."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.errors import DhtshareError, DiskError, NetworkError
from dhtshare.transfer.answers import ChunkAnswer
from dhtshare.transfer.codec import encode
from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.messages import Data, Get, Have, Ping, Reason, Refused, Unchoke
from dhtshare.transfer.outbox import FRAME_OVERHEAD, MAX_SMALL_BYTES, Outbox
from dhtshare.transfer.ratelimit import TokenBucket
from dhtshare.transfer.workers import Workers
from tests.unit.transfer.line_fakes import lines
from tests.unit.transfer.outbox_fakes import FakeLine, FakeTransport, Inline, Payload, Wire
from tests.unit.transfer.transfer_fakes import FileOffer, describe

PLENTY = 1 << 30
NEWS = Have(b"c" * 32, tuple(range(200)))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


async def a_while() -> None:
    """Long enough for all that can be done without the peer: a turn takes three steps of the loop or four."""
    for _ in range(20):
        await asyncio.sleep(0)


class Bench:
    """An outbox that runs, on a wire. `keeps`: bytes that its line may hold back."""

    def __init__(self, *, room: int = PLENTY, keeps: int = 0, rate: int = 0, workers: Workers | None = None) -> None:
        self.wire = Wire(room)
        self.line = FakeLine(self.wire, keeps)
        self.transport = FakeTransport(self.wire, self.line, self._told)
        self.cap = TokenBucket(rate)
        self.workers = workers or Inline()
        self.sent = 0
        self.outbox = Outbox(self.transport, self.line, self.cap, self.workers, self._sent)
        self.running = asyncio.get_running_loop().create_task(self.outbox.run())

    def _told(self, empty: bool) -> None:
        if empty:
            self.outbox.resume()
        else:
            self.outbox.pause()

    def _sent(self, count: int) -> None:
        self.sent += count

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])


@contextlib.asynccontextmanager
async def bench(
    *, room: int = PLENTY, keeps: int = 0, rate: int = 0, workers: Workers | None = None
) -> AsyncIterator[Bench]:
    made = Bench(room=room, keeps=keeps, rate=rate, workers=workers)
    try:
        yield made
    finally:
        await made.end()
        made.workers.stop()


async def test_answers_go_one_after_another() -> None:
    async with bench() as on:
        answers = [Payload(number, 100_000) for number in (1, 2, 3)]
        for answer in answers:
            on.outbox.answer(answer)
        assert (on.outbox.queued, on.outbox.queued_data) == (3, 3)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.frames() == [(Data(answer.request), answer.payload) for answer in answers]
        assert on.sent == len(on.wire.data)
        assert all(answer.closes == 1 for answer in answers)


async def test_small_frames_of_one_moment_are_one_write() -> None:
    async with bench() as on:
        for _ in range(3):
            on.outbox.send(Ping())
        on.outbox.send(Unchoke())
        assert not on.transport.writes
        await a_while()
        assert on.wire.messages == [Ping(), Ping(), Ping(), Unchoke()]
        assert len(on.transport.writes) == 1
        assert on.sent == len(on.wire.data)


async def test_a_small_frame_waits_for_the_end_of_a_frame_and_no_longer() -> None:
    async with bench(room=500) as on:
        for number in (1, 2):
            on.outbox.answer(Payload(number, 1000))
        await a_while()
        on.outbox.send(Ping())
        on.outbox.flush()
        await a_while()
        assert len(on.wire.data) == 500
        assert isinstance(on.workers, Inline)
        assert on.workers.jobs == 1, "no thread is kept busy by a peer that takes nothing"
        on.wire.make_room(PLENTY)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.messages == [Data(1), Ping(), Data(2)]


async def test_no_answer_begins_while_a_line_holds_bytes_and_small_frames_wait() -> None:
    """The line took the whole first answer, the peer did not: seen in a simulated crowd, where news came late."""
    async with bench(room=500, keeps=1000) as on:
        for number in (1, 2):
            on.outbox.answer(Payload(number, 2000))
        await a_while()
        on.outbox.send(Ping())
        on.wire.make_room(600)
        await a_while()
        assert on.line.unsent
        on.wire.make_room(10)
        await a_while()
        on.wire.make_room(PLENTY)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.messages == [Data(1), Ping(), Data(2)]


async def test_what_comes_while_a_line_is_emptied_goes_in_its_order() -> None:
    """No answer is left, the line still holds the last one's end: a small frame is before the answer behind it."""
    async with bench(room=500, keeps=1000) as on:
        on.outbox.answer(Payload(1, 1000))
        await a_while()
        assert on.line.unsent
        assert not on.outbox.queued
        on.outbox.send(Ping())
        on.outbox.answer(Payload(2, 1000))
        on.wire.make_room(10)
        await a_while()
        on.wire.make_room(PLENTY)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.messages == [Data(1), Ping(), Data(2)]


async def test_a_full_transport_is_waited_for() -> None:
    async with bench(room=3) as on:
        on.outbox.send(Ping())
        await a_while()
        on.outbox.answer(Payload(1, 1000))
        on.outbox.send(Unchoke())
        await a_while()
        assert len(on.wire.data) == 3
        on.wire.make_room(PLENTY)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.messages == [Ping(), Unchoke(), Data(1)]


@pytest.mark.parametrize("error", [OSError("gone"), DiskError("changed")])
async def test_what_cannot_be_made_is_refused_and_the_next_goes_on(error: OSError | DhtshareError) -> None:
    async with bench() as on:
        broken = [Payload(number, 100, error) for number in (1, 3)]
        for answer in (broken[0], Payload(2, 100), broken[1]):
            on.outbox.answer(answer)
        await until(lambda: not on.outbox.queued)
        await a_while()
        refusals = [Refused(number, Reason.NOT_FOUND) for number in (1, 3)]
        assert on.wire.messages == [Data(2), *refusals]
        assert [answer.closes for answer in broken] == [1, 1]


@pytest.mark.parametrize("error", [OSError("gone"), DiskError("shorter")])
async def test_a_frame_that_breaks_off_ends_the_connection(error: OSError | DhtshareError) -> None:
    async with bench(room=500) as on:
        answer = Payload(1, 1000)
        on.outbox.answer(answer)
        await a_while()
        answer.torn = error
        on.wire.make_room(PLENTY)
        await asyncio.wait([on.running])
        assert on.running.exception() is error
        assert answer.closes == 1
        assert on.line.closed == 1


async def test_what_is_dropped_is_refused_and_what_is_under_way_never() -> None:
    async with bench(room=500) as on:
        answers = [Payload(number, 1000) for number in (1, 2, 3)]
        for answer in answers:
            on.outbox.answer(answer)
        await a_while()
        assert on.outbox.drop(lambda answer: answer.request == 1, Reason.CANCELLED) == 0
        assert on.outbox.drop(lambda answer: answer.request == 3, Reason.CANCELLED) == 1
        assert on.outbox.drop(lambda answer: answer.is_data, Reason.CHOKED) == 1
        assert on.outbox.drop(lambda answer: True, Reason.CHOKED) == 0
        assert on.outbox.queued == 1
        on.wire.make_room(PLENTY)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.wire.messages == [Data(1), Refused(3, Reason.CANCELLED), Refused(2, Reason.CHOKED)]
        assert on.wire.frames()[0][1] == answers[0].payload


async def test_a_cap_bounds_each_turn() -> None:
    async with bench(rate=1_000_000) as on:  # saves up 200,000: nothing waits for the clock
        answers = [Payload(number, 60_000) for number in (1, 2)]
        for answer in answers:
            on.outbox.answer(answer)
        await until(lambda: not on.outbox.queued)
        await a_while()
        assert on.cap.piece == 50_000
        assert [answer.allowed[0] for answer in answers] == [50_000, 50_000 - (len(on.wire.data) // 2 - 50_000)]
        assert isinstance(on.workers, Inline)
        assert on.workers.jobs == 3
        assert on.wire.messages == [Data(1), Data(2)]


async def test_a_debt_is_paid_before_the_next_turn() -> None:
    async with bench(rate=1_000_000) as on:
        on.cap.charge(220_000, asyncio.get_running_loop().time())  # all that was saved, and 20 ms
        begun = asyncio.get_running_loop().time()
        on.outbox.answer(Payload(1, 100))
        await a_while()
        assert not on.wire.data
        await until(lambda: not on.outbox.queued)
        assert asyncio.get_running_loop().time() - begun >= 0.015


async def test_a_peer_that_reads_nothing_is_left_after_so_many_small_frames() -> None:
    async with bench(room=0) as on:
        on.outbox.send(Ping())
        await a_while()
        held = len(encode(NEWS)) + FRAME_OVERHEAD
        for _ in range(MAX_SMALL_BYTES // held):
            on.outbox.send(NEWS)
        with pytest.raises(NetworkError, match="does not read"):
            on.outbox.send(NEWS)


async def test_small_frames_that_are_read_may_come_without_end() -> None:
    async with bench() as on:
        for _ in range(MAX_SMALL_BYTES // len(encode(NEWS)) + 1):
            for _ in range(2):
                on.outbox.send(NEWS)
            await a_while()
        assert len(on.wire.data) > 2 * MAX_SMALL_BYTES


async def test_small_frames_between_answers_may_come_without_end() -> None:
    async with bench(room=0) as on:
        for number in range(MAX_SMALL_BYTES // len(encode(NEWS)) + 1):
            on.outbox.answer(Payload(number % 200, 10))
            await a_while()
            for _ in range(2):
                on.outbox.send(NEWS)
            on.wire.make_room(2 * len(encode(NEWS)) + 100)
            await a_while()
            on.wire.room = 0
        assert len(on.wire.data) > 2 * MAX_SMALL_BYTES


async def test_the_end_closes_what_is_under_way_and_the_line() -> None:
    async with bench(room=500) as on:
        answers = [Payload(number, 1000) for number in (1, 2)]
        for answer in answers:
            on.outbox.answer(answer)
        await a_while()
        await on.end()
        assert on.running.cancelled()
        assert [answer.closes for answer in answers] == [1, 0]
        assert on.line.closed == 1
        assert len(on.wire.data) == 500


async def test_the_end_waits_for_the_thread_that_is_sending() -> None:
    """Else it would write to, or read from, whoever gets the number of the socket or file next."""
    sending, may_go = threading.Event(), threading.Event()

    class Slow(Payload):
        def send_to(self, line: object, most: int, patience: Patience) -> int:
            assert not self.closes
            sending.set()
            assert may_go.wait(20)
            assert not self.closes
            return 0

    async with bench(workers=Workers("test", 2)) as on:
        answer = Slow(1, 1000)
        on.outbox.answer(answer)
        await on.workers.call(lambda: sending.wait(20))
        on.running.cancel()
        await a_while()
        assert not on.running.done()
        assert (answer.closes, on.line.closed) == (0, 0)
        may_go.set()
        await asyncio.wait([on.running])
        assert (answer.closes, on.line.closed) == (1, 1)


@pytest.mark.parametrize("kind", ["plain", "tls"])
async def test_files_go_over_real_lines_and_are_given_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(3 << 20))
    offer = FileOffer(path, describe(path.read_bytes()))
    gets = [Get(chunk, offer.layout.content_hash, chunk, 1 << 20) for chunk in range(3)]
    whole = sum(len(encode(Data(get.request), get.length)) + get.length for get in gets)
    sent: list[int] = []
    wire = Wire()

    def receive(far: Line) -> None:
        room = memoryview(bytearray(64 << 10))
        while len(wire.data) < whole:
            try:
                wire.data += room[: far.receive((room,))]
            except BlockingIOError:
                assert far.wait_for_bytes(20)

    with lines(kind) as (near, far):
        workers = Workers("test", 2)
        outbox = Outbox(FakeTransport(wire, FakeLine(wire), print), near, TokenBucket(), workers, sent.append)
        running = asyncio.create_task(outbox.run())
        for get in gets:
            outbox.answer(ChunkAnswer(get, offer))
        await workers.call(partial(receive, far))
        await until(lambda: sum(sent) == whole)
        running.cancel()
        await asyncio.wait([running])
        workers.stop()
    assert b"".join(payload for _, payload in wire.frames()) == path.read_bytes()


STEPS = st.lists(
    st.one_of(
        st.just("small"),
        st.tuples(st.just("answer"), st.integers(0, 3000), st.booleans()),
        st.tuples(st.just("drop"), st.integers(0, 20)),
        st.tuples(st.just("room"), st.integers(1, 2500)),
        st.just("step"),
    ),
    max_size=60,
)


@given(steps=STEPS, keeps=st.sampled_from([0, 1, 700, 5000]))
def test_whatever_happens_all_frames_are_whole_and_each_request_has_one_answer(steps: list[object], keeps: int) -> None:
    async def run() -> None:
        async with bench(room=0, keeps=keeps) as on:
            answers: dict[int, Payload] = {}
            expected: list[Have] = []
            for step in steps:
                match step:
                    case "small":
                        expected.append(Have(b"c" * 32, (len(expected), 1)))
                        on.outbox.send(expected[-1])
                    case ("answer", int(size), bool(breaks)):
                        answer = Payload(len(answers) + 1, size, OSError("gone") if breaks else None)
                        answers[answer.request] = answer
                        on.outbox.answer(answer)
                    case ("drop", int(chosen)):
                        on.outbox.drop(lambda answer, chosen=chosen: answer.request == chosen, Reason.CANCELLED)  # type: ignore[misc]
                    case ("room", int(count)):
                        on.wire.make_room(count)
                    case _:
                        await asyncio.sleep(0)
            on.wire.make_room(PLENTY)
            await until(lambda: not on.outbox.queued)
            await a_while()
            frames = on.wire.frames()
            assert [message for message, _ in frames if isinstance(message, Have)] == expected
            replies = {message.request: payload for message, payload in frames if isinstance(message, Data | Refused)}
            assert len(replies) == len(frames) - len(expected)
            assert replies.keys() == answers.keys()
            for message, payload in frames:
                if isinstance(message, Data):
                    assert payload == answers[message.request].payload
                    assert answers[message.request].error is None
            assert on.sent == len(on.wire.data)
        assert on.line.closed == 1

    asyncio.run(run())
