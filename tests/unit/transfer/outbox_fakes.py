"""The ground under an outbox: a peer that takes so many bytes and no more, a line and a transport that lead to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from dhtshare.errors import DhtshareError
from dhtshare.transfer.answers import MadeAnswer
from dhtshare.transfer.codec import Unknown, decode_header
from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.messages import PREFIX_BYTES, Data, Message
from dhtshare.transfer.workers import Workers

Result = TypeVar("Result")


class Wire:
    """What the peer took, in order, and how many bytes it takes before somebody makes room."""

    def __init__(self, room: int = 0) -> None:
        self.data = bytearray()
        self.room = room
        self.when_room: list[Callable[[], None]] = []

    def take(self, data: bytes | bytearray | memoryview) -> int:
        """How many of these bytes went."""
        count = min(len(data), self.room)
        self.data += data[:count]
        self.room -= count
        return count

    def make_room(self, count: int) -> None:
        """The peer takes so many more."""
        self.room += count
        for call in self.when_room:
            call()

    def frames(self) -> list[tuple[Message | Unknown, bytes]]:
        """The whole of what went, as frames; what is no frame, or less than one, fails."""
        frames, at = [], 0
        while at < len(self.data):
            header, payload = (int.from_bytes(self.data[at + place : at + place + 4], "big") for place in (0, 4))
            begin = at + PREFIX_BYTES
            at = begin + header + payload
            assert at <= len(self.data), "the last frame is torn"
            frames.append(
                (decode_header(bytes(self.data[begin : begin + header])), bytes(self.data[at - payload : at]))
            )
        return frames

    @property
    def messages(self) -> list[Message | Unknown]:
        """The frames without their payloads."""
        return [message for message, _ in self.frames()]


class FakeLine(Line):
    """Counts as sent what the wire takes, and up to `keeps` bytes more, as a line that enciphers does."""

    def __init__(self, wire: Wire, keeps: int = 0) -> None:
        self.wire = wire
        self.unsent = bytearray()
        self.closed = 0
        self._keeps = keeps
        self._room = asyncio.Event()
        wire.when_room.append(self._room.set)

    def receive(self, buffers: Sequence[memoryview]) -> int:
        raise AssertionError("an outbox never reads")

    def wait_for_bytes(self, seconds: float) -> bool:
        raise AssertionError("an outbox never reads")

    def expect_much(self, much: bool) -> None:
        raise AssertionError("an outbox never reads")

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        count = min(len(data), self.wire.room + self._keeps - len(self.unsent))
        self.unsent += data[:count]
        self.flush(patience)
        return count

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        raise AssertionError("these answers are made in memory")

    def flush(self, patience: Patience) -> bool:
        del self.unsent[: self.wire.take(self.unsent)]
        return not self.unsent

    async def room(self) -> None:
        while not self.wire.room:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        self.closed += 1


class FakeTransport(asyncio.WriteTransport):
    """Full with one byte that the peer does not take, as the outbox wants it. `told`: whoever is to hear of it."""

    def __init__(self, wire: Wire, line: FakeLine, told: Callable[[bool], None]) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.unsent = bytearray()
        self._wire = wire
        self._line = line
        self._told = told
        wire.when_room.append(self._flush)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._line.unsent, "the transport writes into the middle of what the line holds"
        assert not self.unsent, "the transport was full"
        self.writes.append(bytes(data))
        self.unsent += data
        self._flush()

    def _flush(self) -> None:
        if self.unsent:
            del self.unsent[: self._wire.take(self.unsent)]
            self._told(not self.unsent)


class Inline(Workers):
    """Runs jobs on the loop, a step later; `jobs` counts them."""

    def __init__(self) -> None:
        super().__init__("inline", 0)
        self.jobs = 0

    async def finish(self, job: Callable[[], Result]) -> Result:
        await asyncio.sleep(0)
        self.jobs += 1
        return job()


class Payload(MadeAnswer):
    """DATA made in memory; `error` is what making it ends in. Keeps what it was allowed at a time, and its ends."""

    is_data = True

    def __init__(self, request: int, size: int = 0, error: OSError | DhtshareError | None = None) -> None:
        super().__init__(request, self._made)
        self.payload = request.to_bytes(1, "big") * size
        self.error = error
        self.torn: OSError | DhtshareError | None = None
        self.allowed: list[int] = []
        self.closes = 0

    def _made(self) -> tuple[Message, bytes]:
        if self.error is not None:
            raise self.error
        return Data(self.request), self.payload

    def send_to(self, line: Line, most: int, patience: Patience) -> int:
        self.allowed.append(most)
        if self.torn is not None:
            raise self.torn
        return super().send_to(line, most, patience)

    def close(self) -> None:
        super().close()
        self.closes += 1
