"""A turn of receiving: to the end of a frame, straight into its place, and no longer than the line flows."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhtshare.errors import NetworkError
from dhtshare.transfer import receive as module
from dhtshare.transfer.codec import STAGING_BYTES, Frame, FrameReader, encode
from dhtshare.transfer.messages import Data, Have, Ping
from dhtshare.transfer.receive import PATIENCE_SECONDS, TURN_BYTES, Taken, receive
from tests.unit.transfer.receive_fakes import NOTHING_YET, PAUSE, Places, ScriptedLine, Step, split

NEWS = Have(b"c" * 32, (1, 2))


def data(request: int, size: int) -> bytes:
    """A frame of DATA."""
    return encode(Data(request), size) + random.Random(request).randbytes(size)


@pytest.fixture(autouse=True, scope="module")
def a_turn_for_each_frame() -> Iterator[None]:
    """Frames of a few bytes are enough to make several turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_TURN_BYTES", 1)
        yield


def wanted() -> bool:
    return False


def idle() -> bool:
    """A thread has nothing to do."""
    return False


def turns(line: ScriptedLine, reader: FrameReader) -> list[Taken]:
    """Turns until the script is over, as the inbox has them while the line flows or starts to flow again."""
    taken = []
    while line.steps:
        taken.append(receive(line, reader, wanted, idle))
        assert taken[-1].error is None
    return taken


@pytest.mark.parametrize("vectored", [True, False])
def test_a_turn_ends_with_a_frame(vectored: bool) -> None:
    stream = data(1, 100_000) + data(2, 100_000)
    line, reader = ScriptedLine([stream], vectored=vectored), FrameReader(Places())
    first = receive(line, reader, wanted, idle)
    assert [frame.message for frame in first.frames] == [Data(1)]
    assert first.flows
    second = receive(line, reader, wanted, idle)
    assert [frame.message for frame in second.frames] == [Data(2)]
    assert first.count + second.count == len(stream)


def test_of_small_frames_a_turn_takes_what_is_here_up_to_its_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_TURN_BYTES", 2500)
    sizes = {number: data(number, 1000) for number in range(1, 7)}
    line = ScriptedLine([b"".join(sizes[n] for n in (1, 2, 3, 4)), NOTHING_YET, sizes[5], b""])
    reader = FrameReader(Places())
    first = receive(line, reader, wanted, idle)
    assert [frame.message for frame in first.frames] == [Data(1), Data(2), Data(3), Data(4)], "all was staged at once"
    assert not line.waited
    line.steps.popleft()
    last = receive(line, reader, wanted, idle)
    assert [frame.message for frame in last.frames] == [Data(5)]
    assert not last.flows, "and the end was seen"


@pytest.mark.parametrize(("least", "frames"), [(1, 1), (100_000, 1), (120_000, 2), (150_000, 2), (220_000, 3)])
def test_large_frames_are_taken_one_by_one_until_there_is_enough(
    monkeypatch: pytest.MonkeyPatch, least: int, frames: int
) -> None:
    monkeypatch.setattr(module, "LEAST_TURN_BYTES", least)
    stream = b"".join(data(number, 100_000) for number in range(1, 5))
    taken = receive(ScriptedLine([stream], vectored=False), FrameReader(Places()), wanted, idle)
    assert len(taken.frames) == frames
    assert taken.flows


def test_while_all_threads_are_busy_a_turn_takes_several_frames_but_no_more_than_its_bytes() -> None:
    size = TURN_BYTES // 5
    stream = b"".join(data(number, size) for number in range(1, 8))
    line, reader = ScriptedLine([stream]), FrameReader(Places())
    first = receive(line, reader, wanted, lambda: True)
    assert [frame.message for frame in first.frames] == [Data(number) for number in range(1, 6)]
    assert TURN_BYTES <= first.count < TURN_BYTES + size + STAGING_BYTES
    second = receive(line, reader, wanted, lambda: True)
    assert [frame.message for frame in second.frames] == [Data(6), Data(7)]


def test_what_is_whole_waits_for_nothing_however_busy_the_threads_are() -> None:
    line = ScriptedLine([data(1, 1000), NOTHING_YET, data(2, 1000)])
    taken = receive(line, FrameReader(Places()), wanted, lambda: True)
    assert [frame.message for frame in taken.frames] == [Data(1)]
    assert taken.flows
    assert line.waited == []


@pytest.mark.parametrize("vectored", [True, False])
def test_a_payload_comes_straight_into_its_place(vectored: bool) -> None:
    """But for what came with its header, which is no more than the reader stages."""
    places = Places()
    stream = data(1, 300_000)
    line, reader = ScriptedLine([stream], vectored=vectored), FrameReader(places)
    (frame,) = receive(line, reader, wanted, idle).frames
    assert frame.payload is not None
    assert frame.payload.obj is places.targets[1]
    assert bytes(frame.payload) == stream[-300_000:]
    straight = [buffers[0] for buffers in line.given if buffers[0].obj is places.targets[1]]
    assert [len(buffer) for buffer in straight] == [len(stream) - STAGING_BYTES]


def test_what_follows_a_payload_comes_with_it() -> None:
    """One call of the system where the line can: the next header is here when its turn comes."""
    next_one = data(2, 100)
    line = ScriptedLine([data(1, 100_000)[:50_000], data(1, 100_000)[50_000:] + next_one])
    taken = receive(line, FrameReader(Places()), wanted, idle)
    assert [frame.message for frame in taken.frames] == [Data(1), Data(2)]
    assert taken.count == 100_000 + len(encode(Data(1), 100_000)) + len(next_one)
    assert not line.steps


def test_who_waits_waits_a_moment_and_then_the_loop_does() -> None:
    stream = data(1, 1000)
    line = ScriptedLine([NOTHING_YET, stream[:500], NOTHING_YET, NOTHING_YET, stream[500:600], PAUSE, stream[600:]])
    reader = FrameReader(Places())
    taken = receive(line, reader, wanted, idle)
    assert (taken.count, taken.frames, taken.flows, taken.error) == (600, [], False, None)
    assert line.waited == [PATIENCE_SECONDS] * 4
    taken = receive(line, reader, wanted, idle)
    assert taken.count == len(stream) - 600
    assert [bytes(frame.payload or b"") for frame in taken.frames] == [stream[-1000:]]
    assert taken.flows


@pytest.mark.parametrize("end", [b"", ConnectionResetError("reset"), OSError("no route")])
def test_the_end_is_left_for_the_loop_to_find(end: Step) -> None:
    stream = data(1, 1000)
    line, reader = ScriptedLine([stream[:700], end]), FrameReader(Places())
    for count in (700, 0):
        taken = receive(line, reader, wanted, idle)
        assert (taken.count, taken.frames, taken.flows, taken.error) == (count, [], False, None)
    assert list(line.steps) == [end]


def test_frames_before_the_end_count() -> None:
    taken = receive(ScriptedLine([encode(NEWS) + encode(Ping()), b""]), FrameReader(Places()), wanted, idle)
    assert [frame.message for frame in taken.frames] == [NEWS, Ping()]
    assert taken.flows


@pytest.mark.parametrize(
    "nonsense",
    [
        bytes(100),  # a header of no byte
        b"\xff" * 100,  # one of 4 GiB
        encode(Ping(), 10),  # a payload where none belongs
        encode(Data(1), 10),  # `Places` refuses a second answer to request 1
    ],
)
def test_who_breaks_the_rules_is_told_of_and_nothing_more_is_read(nonsense: bytes) -> None:
    line = ScriptedLine([data(1, 10)[:5], data(1, 10)[5:-1], data(1, 10)[-1:], nonsense, b"more"])
    reader = FrameReader(Places())
    assert receive(line, reader, wanted, idle).error is None
    taken = receive(line, reader, wanted, idle)
    assert taken.error is not None
    assert not taken.flows
    assert taken.count == len(nonsense)
    assert list(line.steps) == [b"more"]


def test_what_is_unwanted_is_not_read() -> None:
    line, reader = ScriptedLine([data(1, 100)]), FrameReader(Places())
    taken = receive(line, reader, lambda: True, idle)
    assert (taken.count, taken.frames) == (0, [])
    assert not line.given


def test_it_stops_in_the_middle_when_it_is_unwanted() -> None:
    line, reader = ScriptedLine([data(1, 100_000)]), FrameReader(Places())
    assert receive(line, reader, lambda: bool(line.given), idle).count == STAGING_BYTES
    assert len(line.given) == 1


@given(
    sizes=st.lists(st.one_of(st.none(), st.integers(1, 60_000)), max_size=12),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=30),
    pauses=st.lists(st.sampled_from([NOTHING_YET, PAUSE, "flows"]), min_size=1, max_size=8),
    vectored=st.booleans(),
)
def test_wherever_a_stream_is_split_the_frames_are_the_same(
    sizes: list[int | None], cuts: list[int], pauses: list[str | None], vectored: bool
) -> None:
    parts = [encode(NEWS) if size is None else data(number, size) for number, size in enumerate(sizes)]
    stream = b"".join(parts) + encode(Ping())
    steps: list[Step] = []
    for number, piece in enumerate(split(stream, cuts)):
        if (pause := pauses[number % len(pauses)]) != "flows":
            steps.append(pause)
        steps.append(piece)
    places = Places()
    taken = turns(ScriptedLine(steps, vectored=vectored), FrameReader(places))
    assert sum(turn.count for turn in taken) == len(stream)
    frames: list[Frame] = [frame for turn in taken for frame in turn.frames]
    expected = [NEWS if size is None else Data(number) for number, size in enumerate(sizes)]
    assert [frame.message for frame in frames] == [*expected, Ping()]
    for number, (size, part) in enumerate(zip(sizes, parts, strict=True)):
        if size is not None:
            payload = frames[number].payload
            assert payload is not None
            assert payload.obj is places.targets[number]
            assert bytes(payload) == part[-size:]
    for turn in taken:
        assert turn.flows or not turn.frames, "a turn ends with the frame, before anybody waits"


@given(sizes=st.lists(st.integers(1, 60_000), max_size=12), cuts=st.lists(st.integers(0, 1 << 20), max_size=30))
def test_wherever_a_stream_is_split_long_turns_bring_the_same(sizes: list[int], cuts: list[int]) -> None:
    stream = b"".join(data(number, size) for number, size in enumerate(sizes)) + encode(Ping())
    places = Places()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST_TURN_BYTES", 100_000)
        taken = turns(ScriptedLine(split(stream, cuts)), FrameReader(places))
    frames = [frame for turn in taken for frame in turn.frames]
    assert [frame.message for frame in frames] == [*map(Data, range(len(sizes))), Ping()]
    assert [len(frame.payload or b"") for frame in frames] == [*sizes, 0]
    assert all(bytes(places.targets[number]) == data(number, size)[-size:] for number, size in enumerate(sizes))


def test_without_memory_for_a_payload_the_line_ends_and_says_why() -> None:
    """Else the connection would stay open and nobody read from it."""

    def place(message: object, length: int) -> memoryview | None:
        raise MemoryError

    taken = receive(ScriptedLine([data(1, 100_000)]), FrameReader(place), wanted, idle)
    assert isinstance(taken.error, NetworkError)
    assert isinstance(taken.error.__cause__, MemoryError)
    assert not taken.flows
