"""A job ends once, its memory is given back once, and its bytes are checked once or never, whatever comes when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dhtshare.errors import NetworkError, RemoteProtocolError
from dhtshare.transfer.buffers import SMALL_BYTES, Buffers
from dhtshare.transfer.gets import ask
from dhtshare.transfer.jobs import Job, Outcome
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Data, Get, Has, Reason, Refused
from dhtshare.transfer.parties import Expecting
from dhtshare.transfer.source import SwarmPeer
from dhtshare.transfer.window import Window
from tests.unit.transfer.job_fakes import CONTENT, FakeConnection, fake_peer

PART = 1000


class SmallParts(Window):
    """Parts are of one size, however fast the line."""

    part = PART


class Books(Buffers):
    """Notices a buffer that is given back twice, or that was never lent."""

    def __init__(self) -> None:
        super().__init__()
        self.lent: list[bytearray] = []
        self.recycled = 0

    def take(self, count: int) -> bytearray:
        buffer = super().take(count)
        assert not any(buffer is one for one in self.lent)
        self.lent.append(buffer)
        return buffer

    def recycle(self, buffer: bytearray) -> None:
        assert any(buffer is one for one in self.lent)
        self.lent = [one for one in self.lent if one is not buffer]
        self.recycled += 1
        super().recycle(buffer)


@dataclass
class Employer:
    """Keeps what it is told; `content` is what jobs have to bring."""

    content: bytes
    told: list[str] = field(default_factory=list)
    checks: int = 0

    def arrived(self, job: Job) -> None:
        self.told.append("arrived")

    def check(self, job: Job) -> Outcome:
        assert bytes(job.view) == self.content
        self.checks += 1
        return Outcome([True] * len(job.chunks), None)

    def checked(self, job: Job, outcome: Outcome) -> None:
        self.told.append("checked")
        job.end()

    def moved(self, job: Job) -> None:
        self.told.append("moved")

    def refused(self, job: Job, *, lacks: bool) -> None:
        self.told.append("lacks" if lacks else "refused")

    def lost(self, job: Job) -> None:
        self.told.append("lost")


class Bench:
    """A job that was asked of a peer."""

    def __init__(self, length: int, chunks: list[int] | None = None, base: int = 0, takes: int = 1 << 30) -> None:
        self.content = random.Random(length).randbytes(length)
        self.books = Books()
        self.employer = Employer(self.content)
        self.connection = FakeConnection(takes=takes)
        self.peer: SwarmPeer = fake_peer(self.connection, SmallParts(1 << 20), base)
        assert self.books.promise(length)
        self.job = Job(self.employer, self.books, self.peer, chunks or [base], length)

    def payload(self, number: int) -> bytes:
        get = self.connection.gets[number]
        return self.content[get.offset : get.offset + get.length]


async def test_a_chunk_is_asked_in_parts_of_one_peer() -> None:
    on = Bench(2 * PART + 7, chunks=[13], base=10)
    ask([on.job], 0.0)
    assert list(on.connection.gets.values()) == [
        Get(1, CONTENT, 3, PART),
        Get(2, CONTENT, 3, PART, offset=PART),
        Get(3, CONTENT, 3, 7, offset=2 * PART),
    ]
    assert on.peer.in_flight == 2 * PART + 7
    for number in (3, 1, 2):
        on.connection.receive(number, on.payload(number))
    assert on.employer.told == ["moved", "moved", "arrived"]
    assert bytes(on.job.view) == on.content
    on.job.end()
    assert on.books.promised == on.peer.in_flight == 0
    assert on.books.recycled == 1


class Run:
    """Jobs that were asked for together: chunks 4, 5, … of MAX_PAYLOAD_BYTES, and a last one of `rest`."""

    def __init__(self, whole: int, rest: int) -> None:
        self.books = Books()
        self.connection = FakeConnection()
        self.peer = fake_peer(self.connection, SmallParts(1 << 20))
        self.lengths = [MAX_PAYLOAD_BYTES] * whole + [rest]
        self.contents = [random.Random(length + at).randbytes(length) for at, length in enumerate(self.lengths)]
        self.employers = [Employer(content) for content in self.contents]
        assert self.books.promise(sum(self.lengths))
        self.jobs = [
            Job(employer, self.books, self.peer, [4 + at], length)
            for at, (employer, length) in enumerate(zip(self.employers, self.lengths, strict=True))
        ]
        ask(self.jobs, 0.0)

    def data(self, at: int) -> None:
        """The next DATA comes, and a thread received it."""
        expecting = self.connection.expecting[1]
        place = expecting.place(self.lengths[at])
        if place is not None:
            place[:] = self.contents[at]
        landed, last = expecting.data_came()
        assert last == (at == len(self.lengths) - 1)
        landed.digest(Data(1), place)()

    def told(self) -> list[list[str]]:
        return [employer.told for employer in self.employers]


async def test_several_jobs_are_one_request_and_each_is_checked_when_it_is_here() -> None:
    on = Run(3, 5)
    assert list(on.connection.gets.values()) == [Get(1, CONTENT, 4, 3 * MAX_PAYLOAD_BYTES + 5, count=4)]
    for at in range(4):
        assert len(on.books.lent) == 0, "the memory of a chunk is used for the next"
        on.data(at)
        assert on.told() == [["checked"]] * (at + 1) + [[]] * (3 - at)
        assert on.books.promised == on.peer.in_flight == sum(on.lengths[at + 1 :])


async def test_the_next_chunk_may_begin_before_the_last_one_was_told_of() -> None:
    on = Run(1, 5)
    run = on.connection.expecting[1]
    places = [run.place(length) for length in on.lengths]
    for place, content in zip(places, on.contents, strict=True):
        assert place is not None
        place[:] = content
    for place in places:
        run.data_came()[0].received(Data(1), place)
    assert on.told() == [["arrived"], ["arrived"]]


async def test_more_than_was_asked_for_breaks_the_rules() -> None:
    on = Run(1, 5)
    run = on.connection.expecting[1]
    for length in on.lengths:
        run.place(length)
    with pytest.raises(RemoteProtocolError, match="more than"):
        run.place(5)


async def test_of_a_run_that_is_refused_in_the_middle_stays_what_came() -> None:
    on = Run(3, 5)
    on.data(0)
    on.connection.expecting.pop(1).answered(Refused(1, Reason.CANCELLED), None)
    assert on.told() == [["checked"], ["refused"], ["refused"], ["refused"]]
    assert on.books.promised == on.peer.in_flight == 0
    assert on.connection.cancelled == []


async def test_of_a_run_whose_connection_ends_stays_what_came() -> None:
    on = Run(3, 5)
    on.data(0)
    on.connection.expecting.pop(1).lost(NetworkError("closed"))
    assert on.told() == [["checked"], ["lost"], ["lost"], ["lost"]]
    assert on.books.promised == on.peer.in_flight == 0


async def test_a_run_is_cancelled_when_nothing_of_it_is_wanted_any_more() -> None:
    on = Run(2, 5)
    on.data(0)
    assert on.jobs[1].abandon()
    assert on.connection.cancelled == [], "the last one is still to come"
    on.data(1)  # skipped
    assert on.jobs[2].abandon()
    assert on.connection.cancelled == [1]
    on.data(2)
    assert on.told() == [["checked"], [], []]
    assert on.books.promised == on.peer.in_flight == 0


async def test_a_long_chunk_of_a_run_comes_in_several_data() -> None:
    length = 2 * MAX_PAYLOAD_BYTES + 1
    on = Bench(length)
    ask([on.job, other := Job(on.employer, on.books, on.peer, [1], 7)], 0.0)
    assert list(on.connection.gets.values()) == [Get(1, CONTENT, 0, length + 7, count=2)]
    expecting = on.connection.expecting[1]
    for at, count in ((0, MAX_PAYLOAD_BYTES), (MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES), (length - 1, 1)):
        place = expecting.place(count)
        assert place is not None
        place[:] = on.content[at : at + count]
        landed, last = expecting.data_came()
        assert not last
        landed.received(Data(1), place)
    assert on.employer.told == ["moved", "moved", "arrived"]
    assert bytes(on.job.view) == on.content
    assert other.wanted


async def test_memory_is_taken_with_the_first_byte_and_not_before() -> None:
    on = Bench(2 * PART)
    ask([on.job], 0.0)
    assert on.books.lent == []
    assert on.connection.expecting[1].place(PART) is not None
    assert len(on.books.lent) == 1
    assert on.connection.expecting[2].place(PART) is not None
    assert len(on.books.lent) == 1


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART + 1])
async def test_a_part_of_another_length_breaks_the_rules(length: int) -> None:
    on = Bench(2 * PART)
    ask([on.job], 0.0)
    with pytest.raises(RemoteProtocolError, match="were asked for"):
        on.connection.expecting[1].place(length)
    assert on.books.lent == []


async def test_answers_of_another_kind_break_the_rules() -> None:
    """DATA without a payload does so earlier: the frame reader refuses it."""
    on = Bench(PART)
    ask([on.job], 0.0)
    part = on.connection.expecting[1]
    with pytest.raises(RemoteProtocolError):
        part.answered(Has(1, 1, 1, "", 1), None)
    with pytest.raises(RemoteProtocolError):
        part.answered(Data(1), memoryview(b""))
    assert on.employer.told == []
    part.lost(NetworkError("closed"))
    assert on.employer.told == ["lost"]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (Reason.NOT_FOUND, "lacks"),
        (Reason.FAILED, "lacks"),
        (Reason.CHOKED, "refused"),
        (Reason.CANCELLED, "refused"),
        (Reason.TOO_MANY, "refused"),
        (200, "refused"),
    ],
)
async def test_a_refused_part_ends_the_job_and_the_others_are_cancelled(reason: int, told: str) -> None:
    on = Bench(3 * PART)
    ask([on.job], 0.0)
    on.connection.receive(1, on.payload(1))
    on.connection.expecting.pop(2).answered(Refused(2, reason), None)
    assert on.employer.told == ["moved", told]
    assert on.connection.cancelled == [3]
    assert on.books.promised == on.peer.in_flight == 0
    assert on.books.recycled == 1
    on.connection.receive(3, on.payload(3))  # too late: it is skipped
    assert on.employer.told == ["moved", told]


async def test_a_connection_that_ends_ends_the_job_once() -> None:
    on = Bench(3 * PART)
    ask([on.job], 0.0)
    for part in list(on.connection.expecting.values()):
        part.lost(NetworkError("closed"))
    assert on.employer.told == ["lost"]
    assert on.connection.cancelled == []
    assert on.books.promised == on.peer.in_flight == 0
    assert not on.job.abandon()


async def test_what_could_not_be_asked_whole_is_abandoned() -> None:
    on = Bench(3 * PART, takes=2)
    with pytest.raises(NetworkError):
        ask([on.job], 0.0)
    assert on.job.abandon()
    assert on.connection.cancelled == [1, 2]
    assert on.books.promised == on.peer.in_flight == 0


async def test_a_job_that_is_whole_cannot_be_given_up() -> None:
    on = Bench(PART)
    ask([on.job], 0.0)
    on.connection.receive(1, on.payload(1))
    assert not on.job.abandon()
    assert on.employer.told == ["arrived"]
    assert on.books.promised == PART
    on.job.end()
    assert on.books.promised == 0


async def test_a_buffer_that_a_thread_writes_to_is_never_used_again() -> None:
    length = SMALL_BYTES + 1  # a block
    on = Bench(length, chunks=[0, 1])
    ask([on.job], 0.0)
    part = on.connection.expecting[1]
    place = part.place(length)
    assert place is not None
    assert on.job.abandon()
    assert on.books.recycled == 0
    assert on.books.take(length) is not place.obj
    part.data_came()[0].digest(Data(1), place)()
    assert on.employer.checks == 0
    assert on.books.recycled == 0


async def test_the_window_hears_of_the_first_byte_once_a_job() -> None:
    told: list[float] = []
    on = Bench(2 * PART)
    on.peer.window.answered = told.append  # type: ignore[method-assign]
    ask([on.job], 0.0)
    for number in (1, 2):
        on.connection.receive(number, on.payload(number))
    assert len(told) == 1
    assert told[0] >= 0


def test_threads_that_land_at_once_make_one_whole_job() -> None:
    """And whoever gives it up meanwhile has it, or they have."""

    async def run(pool: ThreadPoolExecutor) -> None:
        for abandons in [False, True] * 100:
            on = Bench(4 * PART)
            ask([on.job], 0.0)
            parts = dict(on.connection.expecting)
            begin = Barrier(len(parts) + 1)

            def land(number: int, part: Expecting, on: Bench = on, begin: Barrier = begin) -> Callable[[], None]:
                begin.wait(20)
                place = part.place(PART)
                if place is not None:
                    place[:] = on.payload(number)
                return part.data_came()[0].digest(Data(number), place)

            landings = [pool.submit(land, number, part) for number, part in parts.items()]
            begin.wait(20)
            abandoned = abandons and on.job.abandon()
            for landing in landings:
                landing.result(20)()
            assert on.employer.checks == (not abandoned)
            assert on.employer.told.count("checked") == (not abandoned)
            assert on.books.promised == on.peer.in_flight == 0
            assert on.books.recycled <= 1
            assert abandoned or on.books.recycled == 1

    with ThreadPoolExecutor(4) as pool:
        asyncio.run(run(pool))


class JobMachine(RuleBasedStateMachine):
    """A job against a model of it: sets of parts, and one word."""

    @initialize(parts=st.integers(1, 4), rest=st.integers(1, PART), run=st.booleans())
    def begin(self, parts: int, rest: int, run: bool) -> None:
        self.runner = asyncio.Runner()
        length = (parts - 1) * PART + rest
        self.on = Bench(length, chunks=[0, 1] if run else [0])
        ask([self.on.job], 0.0)
        self.open = self.on.connection.expecting
        self.placed: dict[int, memoryview | None] = {}
        self.landed: set[int] = set()
        self.came: set[int] = set()
        self.posts: list[tuple[int, Callable[[], None]]] = []
        self.state = "asked"
        self.told: list[str] = []
        self.checks = self.ends = 0
        self.took = self.torn = False
        self.whole = set(self.open)
        self.cancelled: list[int] = []

    @precondition(lambda self: self.open.keys() - self.placed.keys())
    @rule(choice=st.randoms(use_true_random=False))
    def a_payload_begins(self, choice: random.Random) -> None:
        number = choice.choice(sorted(self.open.keys() - self.placed.keys()))
        length = self.on.connection.gets[number].length
        place = self.open[number].place(length)
        assert (place is not None) == (self.state == "asked")
        assert place is None or len(place) == length
        self.placed[number] = place
        self.took = self.took or place is not None

    def _filled(self, choice: random.Random) -> tuple[int, Expecting, memoryview | None]:
        number = choice.choice(sorted(self.open.keys() & self.placed.keys()))
        place = self.placed[number]
        if place is not None:
            place[:] = self.on.payload(number)
        if self.state == "asked":
            self.landed.add(number)
            if self.landed == self.whole:
                self.state = "whole"
        return number, self.open.pop(number), place

    def _came(self, number: int) -> None:
        """The loop hears of a part."""
        if self.state != "over":
            self.came.add(number)
            if self.came != self.whole:
                self.told.append("moved")

    @precondition(lambda self: self.open.keys() & self.placed.keys())
    @rule(choice=st.randoms(use_true_random=False))
    def a_payload_ends_on_the_loop(self, choice: random.Random) -> None:
        before = self.state
        number, part, place = self._filled(choice)

        async def answer() -> None:
            part.data_came()[0].received(Data(number), place)

        self.runner.run(answer())
        self._came(number)
        if (before, self.state) == ("asked", "whole"):
            self.told.append("arrived")

    @precondition(lambda self: self.open.keys() & self.placed.keys())
    @rule(choice=st.randoms(use_true_random=False))
    def a_payload_ends_in_a_thread(self, choice: random.Random) -> None:
        before = self.state
        number, part, place = self._filled(choice)
        then = part.data_came()[0].digest(Data(number), place)
        checked = (before, self.state) == ("asked", "whole")
        self.checks += checked
        self.posts.append((-number if checked else number, then))

    @precondition(lambda self: self.posts)
    @rule(choice=st.randoms(use_true_random=False))
    def the_loop_hears(self, choice: random.Random) -> None:
        """Posts of several threads come in any order."""
        number, then = self.posts.pop(choice.randrange(len(self.posts)))

        async def deliver() -> None:
            then()

        self.runner.run(deliver())
        self._came(abs(number))
        if number < 0:
            self.told.append("checked")
            self.ends += 1

    @precondition(lambda self: self.told.count("arrived") > self.told.count("ended"))
    @rule()
    def what_the_loop_received_was_checked(self) -> None:
        self.on.employer.check(self.on.job)
        self.checks += 1
        self.on.job.end()
        self.ends += 1
        self.told.append("ended")
        self.on.employer.told.append("ended")

    def _over(self, told: str | None) -> bool:
        if self.state != "asked":
            return False
        self.state = "over"
        self.torn = any(place is not None for number, place in self.placed.items() if number in self.open)
        if told != "lost":
            self.cancelled = sorted(self.open)
        if told:
            self.told.append(told)
        return True

    @rule()
    def it_is_abandoned(self) -> None:
        assert self.on.job.abandon() == self._over(None)

    @precondition(lambda self: self.open.keys() - self.placed.keys())
    @rule(choice=st.randoms(use_true_random=False), lacks=st.booleans())
    def a_part_is_refused(self, choice: random.Random, lacks: bool) -> None:
        number = choice.choice(sorted(self.open.keys() - self.placed.keys()))
        reason = Reason.NOT_FOUND if lacks else Reason.CHOKED
        part = self.open.pop(number)
        part.answered(Refused(number, reason), None)
        self._over("lacks" if lacks else "refused")

    @precondition(lambda self: self.open)
    @rule()
    def the_connection_ends(self) -> None:
        parts = list(self.open.values())
        for part in parts:
            part.lost(NetworkError("closed"))
        self._over("lost")
        self.open.clear()

    @invariant()
    def job_and_model_agree(self) -> None:
        if not hasattr(self, "on"):
            return
        on = self.on
        assert on.employer.told == self.told
        assert on.employer.checks == self.checks <= 1
        assert sorted(on.connection.cancelled) == self.cancelled
        length = len(on.content)
        assert on.books.promised == (0 if self.state == "over" or self.ends else length)
        came = sum(on.connection.gets[number].length for number in self.came)
        assert on.peer.in_flight == (0 if self.state == "over" else length - came)
        expected = self.took and not self.torn and (self.state == "over" or self.ends)
        assert on.books.recycled == bool(expected)

    def teardown(self) -> None:
        if not hasattr(self, "on"):
            return
        choice = random.Random(0)
        while self.posts:
            self.the_loop_hears(choice)
        if self.open:
            self.the_connection_ends()
        while self.told.count("arrived") > self.told.count("ended"):
            self.what_the_loop_received_was_checked()
        self.job_and_model_agree()
        assert self.on.books.promised == self.on.peer.in_flight == 0
        assert self.checks == (self.state == "whole")
        self.runner.close()


TestJobs = JobMachine.TestCase
