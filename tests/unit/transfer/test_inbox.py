"""An inbox lends its socket to threads where that pays, and takes it back with nothing lost and nothing read twice."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.codec import Frame, Unknown, encode
from dhtshare.transfer.inbox import LEND_RATE, MIN_READ_BYTES, Digest, Inbox
from dhtshare.transfer.lines import Patience, PlainLine, line_of, twin
from dhtshare.transfer.messages import Data, Have, Message, Ping
from dhtshare.transfer.ratelimit import TokenBucket
from dhtshare.transfer.tls_line import TlsLine
from dhtshare.transfer.tls_transport import TlsTransport
from dhtshare.transfer.workers import Workers
from tests.unit.transfer.line_fakes import sessions
from tests.unit.transfer.receive_fakes import PAUSE, Places, ScriptedLine, Step, split

NEWS = Have(b"c" * 32, (1, 2))


@pytest.fixture(autouse=True, scope="module")
def a_turn_for_each_frame() -> Iterator[None]:
    """Frames of a few bytes are enough to make several turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dhtshare.transfer.receive.LEAST_TURN_BYTES", 1)
        yield


def data(request: int, size: int) -> bytes:
    """A frame of DATA."""
    return encode(Data(request), size) + random.Random(request).randbytes(size)


class Owner:
    """Keeps all that it is told. `wants`: how much DATA it expects still; `rate`: how fast it thinks it receives."""

    def __init__(self, wants: int = 1 << 30, rate: float = LEND_RATE) -> None:
        self.wants = wants
        self.rate = rate
        self.bytes = self.payload_bytes = 0
        self.claimed: list[tuple[int, bytes]] = []
        self.digested: list[int] = []
        self.others: list[Message | Unknown] = []
        self.errors: list[RemoteProtocolError] = []
        self.when_told: Callable[[], None] = lambda: None

    @property
    def expects_data(self) -> bool:
        return self.wants > 0

    @property
    def receiving_rate(self) -> float:
        return self.rate

    def bytes_came(self, count: int) -> None:
        self.bytes += count

    def payload_came(self, count: int) -> None:
        self.payload_bytes += count

    def frames_came(self, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, Data):
                self.claim(frame.message, frame.payload)()()
            else:
                self.others.append(frame.message)
        self.when_told()

    def claim(self, message: Data, payload: memoryview | None) -> Digest:
        assert payload is not None
        if message.request == FORBIDDEN:
            raise RemoteProtocolError("nobody asked for it")
        self.wants -= 1
        self.claimed.append((message.request, bytes(payload)))
        return lambda: lambda: self.digested.append(message.request)

    def failed(self, error: RemoteProtocolError) -> None:
        self.errors.append(error)


FORBIDDEN = 99


class Transport(asyncio.ReadTransport):
    """Whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.switched = 0

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False
        self.switched += 1

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True
        self.switched += 1


class ByHand(Workers):
    """Jobs and posts wait until a test runs them."""

    def __init__(self) -> None:
        super().__init__("by hand", 0)
        self.jobs: deque[Callable[[], object]] = deque()
        self.posts: deque[Callable[[], object]] = deque()

    def hand_on(self, job: Callable[[], object]) -> None:
        self.jobs.append(job)

    def post(self, call: Callable[[], object], *, soon: Callable[[], bool] | None = None) -> None:
        self.posts.append(call)

    def turn(self) -> None:
        """A thread's, and then the loop's."""
        self.jobs.popleft()()
        while self.posts:
            self.posts.popleft()()


class Bench:
    """An inbox on a transport that a test feeds, and on a line whose bytes it scripts."""

    def __init__(self, *steps: Step, owner: Owner | None = None, rate: int = 0) -> None:
        self.owner = owner or Owner()
        self.transport = Transport()
        self.line = ScriptedLine(steps)
        self.workers = ByHand()
        self.cap = TokenBucket(rate)
        self.places = Places()
        self.inbox = Inbox(self.owner, self.transport, self.line, self.places, self.cap, self.workers)

    def feed(self, stream: bytes) -> None:
        """The transport reads these bytes, as far as it is not paused."""
        while stream:
            assert self.transport.reading
            buffer = self.inbox.get_buffer()
            count = min(len(stream), len(buffer))
            buffer[:count] = stream[:count]
            self.inbox.updated(count)
            stream = stream[count:]

    @property
    def lent(self) -> bool:
        return bool(self.workers.jobs)


async def test_a_fast_line_is_lent_while_data_is_expected() -> None:
    on = Bench(data(1, 50_000)[2000:], data(2, 50_000), encode(NEWS))
    on.feed(data(1, 50_000)[:2000])
    assert on.lent
    assert not on.transport.reading
    assert on.line.expected == [True]
    on.workers.turn()
    assert [request for request, _ in on.owner.claimed] == [1]
    assert on.lent, "more is expected, and the line flows"
    on.workers.turn()
    assert on.lent
    on.workers.turn()
    assert not on.lent
    assert on.transport.reading
    assert on.line.expected == [True, False]
    assert on.owner.others == [NEWS]
    assert on.owner.digested == [1, 2]
    assert on.owner.claimed == [(number, data(number, 50_000)[-50_000:]) for number in (1, 2)]
    assert on.owner.bytes == sum(len(data(number, 50_000)) for number in (1, 2)) + len(encode(NEWS))


async def test_what_was_asked_for_is_told_from_what_a_peer_says_by_itself() -> None:
    """Whoever chatters instead of sending is as silent as one that says nothing."""
    on = Bench(owner=Owner(rate=0))
    on.feed(encode(NEWS) * 500)
    assert on.owner.payload_bytes == 0
    on.feed(data(1, 50_000)[:20_000])
    assert on.owner.payload_bytes == 20_000
    on.feed(data(1, 50_000)[20_000:])
    assert on.owner.payload_bytes == len(data(1, 50_000))


@pytest.mark.parametrize("why", ["slow", "nothing expected", "cap"])
async def test_a_line_is_not_lent(why: str) -> None:
    owner = Owner(wants=0 if why == "nothing expected" else 1, rate=LEND_RATE - (why == "slow"))
    on = Bench(owner=owner, rate=1 << 30 if why == "cap" else 0)
    on.feed(data(1, 50_000)[:2000])
    assert not on.lent
    assert on.transport.reading
    assert on.line.expected == []


async def test_a_line_is_taken_back_when_all_data_is_here() -> None:
    on = Bench(data(1, 50_000)[2000:], owner=Owner(wants=1))
    on.feed(data(1, 50_000)[:2000])
    on.workers.turn()
    assert not on.lent
    assert on.transport.reading
    assert on.owner.digested == [1]


async def test_a_line_that_does_not_flow_is_taken_back_in_the_middle_of_a_frame() -> None:
    stream = data(1, 50_000)
    on = Bench(stream[2000:30_000], PAUSE)
    on.feed(stream[:2000])
    on.workers.turn()
    assert not on.lent
    assert on.transport.reading
    assert on.owner.claimed == []
    assert on.owner.bytes == 30_000
    on.owner.rate = 0
    on.feed(stream[30_000:] + encode(NEWS))
    assert on.owner.claimed == [(1, stream[-50_000:])]
    assert on.owner.others == [NEWS]


async def test_who_does_not_go_on_with_a_frame_stands_still_unless_a_thread_reads_or_we_do_not() -> None:
    stream = data(1, 50_000)
    on = Bench(stream[2000:30_000], PAUSE, rate=0)
    now = asyncio.get_running_loop().time()
    assert not on.inbox.stands_still(now + 1000), "between frames"
    on.feed(stream[:2000])
    assert on.lent
    assert not on.inbox.stands_still(now + 1000)
    on.workers.turn()
    assert not on.inbox.stands_still(now + 5)
    assert on.inbox.stands_still(now + 15)
    on.owner.rate = 0
    on.cap.set_rate(1_000_000, now)
    on.cap.charge(300_000, now)
    on.feed(stream[30_000:40_000])
    assert not on.transport.reading
    assert not on.inbox.stands_still(now + 15), "it is we who do not read"
    on.inbox.close()


@pytest.mark.parametrize("end", [b"", ConnectionResetError("reset")])
async def test_the_end_of_a_lent_line_is_the_transports_to_tell(end: Step) -> None:
    on = Bench(data(1, 50_000)[2000:20_000], end)
    on.feed(data(1, 50_000)[:2000])
    on.workers.turn()
    assert not on.lent
    assert on.transport.reading
    assert on.owner.errors == []


async def test_frames_that_came_together_keep_their_order_among_their_kind() -> None:
    frames = [data(1, 10), encode(NEWS), data(2, 10), encode(Ping()), encode(NEWS), data(3, 1)]
    on = Bench(b"".join(frames)[5:])
    on.feed(frames[0][:5])
    on.workers.turn()
    assert not on.lent
    assert [request for request, _ in on.owner.claimed] == [1, 2, 3]
    assert on.owner.others == [NEWS, Ping(), NEWS]
    assert on.owner.digested == [1, 2, 3]


@pytest.mark.parametrize("nonsense", [bytes(20), data(FORBIDDEN, 10)], ids=["no frame", "not asked for"])
async def test_nonsense_on_a_lent_line_is_told_once_and_nothing_is_read_after(nonsense: bytes) -> None:
    on = Bench(data(1, 50_000)[2000:], nonsense, b"more")
    on.feed(data(1, 50_000)[:2000])
    on.workers.turn()
    on.workers.turn()
    assert not on.lent
    assert len(on.owner.errors) == 1
    assert not on.transport.reading
    assert list(on.line.steps) == [b"more"]
    assert on.owner.digested == [1]


async def test_nonsense_on_the_loop_is_told_once_and_lends_nothing() -> None:
    on = Bench()
    on.feed(bytes(20))
    assert len(on.owner.errors) == 1
    assert not on.lent


async def test_an_end_while_lent_gives_back_line_and_buffers_when_the_thread_is_through() -> None:
    on = Bench(data(1, 50_000)[2000:], encode(NEWS))
    on.feed(data(1, 50_000)[:2000])
    on.inbox.close()
    assert on.line.closed == 0, "a thread may read from it"
    on.workers.turn()
    assert on.line.closed == 1
    assert not on.lent
    assert not on.line.given, "nothing is read for nobody"
    assert not on.transport.reading
    assert on.owner.claimed == on.owner.others == []
    assert len(on.inbox.get_buffer()) == 0


async def test_an_end_in_the_middle_of_a_turn_gives_back_line_and_buffers_once() -> None:
    on = Bench(data(1, 50_000)[2000:], encode(NEWS))
    on.feed(data(1, 50_000)[:2000])
    on.workers.jobs.popleft()()  # the thread is through, and has handed on; the loop does not know
    on.inbox.close()
    assert on.line.closed == 0
    on.workers.turn()
    assert on.line.closed == 1
    assert on.owner.digested == [1], "what came whole counts"
    assert on.owner.others == []
    assert not on.lent


async def test_an_end_that_a_frame_brings_lends_nothing() -> None:
    on = Bench()
    on.owner.when_told = on.inbox.close
    on.feed(encode(Ping()))
    assert not on.lent
    assert on.line.closed == 1


async def test_an_end_that_a_frame_of_a_lent_line_brings_is_the_last() -> None:
    on = Bench(data(1, 50_000)[2000:], encode(NEWS))
    on.feed(data(1, 50_000)[:2000])
    on.owner.when_told = on.inbox.close
    on.workers.turn()
    on.workers.turn()
    assert on.line.closed == 1
    assert not on.transport.reading


async def test_an_end_while_nobody_reads_gives_back_at_once() -> None:
    on = Bench(owner=Owner(wants=0))
    on.feed(data(1, 50_000)[:2000])
    on.inbox.close()
    assert on.line.closed == 1
    assert len(on.inbox.get_buffer()) == 0


async def test_a_cap_pauses_reading_until_its_debt_is_paid() -> None:
    on = Bench(rate=1_000_000)
    now = asyncio.get_running_loop().time
    assert len(on.inbox.get_buffer()) <= on.cap.piece
    on.cap.charge(220_000, now())  # all that was saved, and 20 ms
    begun = now()
    on.feed(encode(NEWS))
    assert on.owner.others == [NEWS]
    assert not on.transport.reading
    async with asyncio.timeout(20):
        while not on.transport.reading:
            await asyncio.sleep(0.001)
    assert now() - begun >= 0.015
    assert on.transport.switched == 2
    on.feed(encode(NEWS))


async def test_an_end_while_a_cap_pauses_resumes_nothing() -> None:
    on = Bench(rate=1_000_000)
    on.cap.charge(210_000, asyncio.get_running_loop().time())
    on.feed(encode(NEWS))
    on.inbox.close()
    assert on.line.closed == 1
    await asyncio.sleep(0.03)  # the debt is 10 ms
    assert not on.transport.reading


async def test_a_cap_that_is_taken_off_lends_again_and_reads_no_less_than_a_header() -> None:
    on = Bench(rate=10)
    assert len(on.inbox.get_buffer()) == MIN_READ_BYTES
    on.cap.set_rate(0, asyncio.get_running_loop().time())
    on.feed(data(1, 50_000)[:2000])
    assert on.lent


class Reader(asyncio.BufferedProtocol):
    """An inbox on a real transport, read by loop and threads by turns."""

    def __init__(self, owner: Owner, workers: Workers) -> None:
        self.owner = owner
        self.lost = asyncio.Event()
        self.inbox: Inbox
        self.transport: asyncio.Transport
        self._workers = workers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.inbox = Inbox(self.owner, self.transport, line_of(transport), Places(), TokenBucket(), self._workers)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.inbox.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self.inbox.updated(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        self.inbox.close()
        self.lost.set()


class Changing(Owner):
    """Lends or not by a pattern, so that loop and threads read by turns."""

    def __init__(self, wants: int, pattern: list[bool]) -> None:
        super().__init__(wants)
        self._pattern = pattern
        self._asked = 0

    @property
    def receiving_rate(self) -> float:
        self._asked += 1
        return LEND_RATE if self._pattern[self._asked % len(self._pattern)] else 0.0


async def connected(kind: str, reader: Reader) -> PlainLine | TlsLine:
    """The far line of a connection that `reader` reads."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    with theirs:
        if kind == "plain":
            await asyncio.get_running_loop().connect_accepted_socket(lambda: reader, ours)
            return PlainLine(twin(theirs))
        near, far = sessions()
        TlsTransport(ours, near, reader).begin()
        return TlsLine(twin(theirs), far)


@pytest.mark.parametrize("kind", ["plain", "tls"])
@settings(max_examples=30)
@given(
    sizes=st.lists(st.one_of(st.none(), st.integers(1, 200_000)), min_size=1, max_size=15),
    cuts=st.lists(st.integers(0, 1 << 22), max_size=30),
    pattern=st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_loop_and_threads_by_turns_lose_nothing_and_read_nothing_twice(
    kind: str, sizes: list[int | None], cuts: list[int], pattern: list[bool]
) -> None:
    parts = [
        encode(Have(b"c" * 32, (number, 1))) if size is None else data(number, size)
        for number, size in enumerate(sizes)
    ]
    pieces = split(b"".join(parts) + encode(Ping()), cuts)

    async def run() -> None:
        workers = Workers("test", 2)
        reader = Reader(owner := Changing(len(sizes) - sizes.count(None), pattern), workers)
        far = await connected(kind, reader)

        def send() -> None:
            for piece in pieces:
                sent = 0
                while sent < len(piece) or not far.flush(Patience(20)):
                    sent += far.send(memoryview(piece)[sent:], Patience(20))

        sending = asyncio.create_task(asyncio.to_thread(send))
        async with asyncio.timeout(30):
            while Ping() not in owner.others:
                await asyncio.sleep(0.0005)
        await sending
        assert owner.errors == []
        assert owner.others == [*(Have(b"c" * 32, (at, 1)) for at, size in enumerate(sizes) if size is None), Ping()]
        wanted = [
            (number, parts[number][-size:] if size else b"") for number, size in enumerate(sizes) if size is not None
        ]
        assert owner.claimed == wanted
        async with asyncio.timeout(30):
            while len(owner.digested) < len(wanted):
                await asyncio.sleep(0.0005)
        assert sorted(owner.digested) == [number for number, _ in wanted]
        assert owner.bytes == sum(map(len, pieces))
        reader.transport.abort()
        await reader.lost.wait()
        far.close()
        workers.stop()

    asyncio.run(run())
