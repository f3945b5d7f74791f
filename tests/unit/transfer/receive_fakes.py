"""A line whose bytes come as a test says, for what reads lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.codec import Unknown
from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.messages import Data, Message

NOTHING_YET = None
"""In a script: nothing is here; somebody who waits hears of what is next."""

PAUSE = "pause"
"""In a script: nothing is here, and nothing comes while somebody waits for it."""

Step = bytes | None | str | OSError


class ScriptedLine(Line):
    """Gives one step at a time; b"" is the end, as is the end of the script. `vectored`: fills all buffers it is
    given, as a line in the clear, or only the first, as one that deciphers."""

    def __init__(self, steps: Iterable[Step] = (), *, vectored: bool = True) -> None:
        self.steps = deque(steps)
        self.given: list[tuple[memoryview, ...]] = []
        self.waited: list[float] = []
        self.expected: list[bool] = []
        self.closed = 0
        self._vectored = vectored

    def receive(self, buffers: Sequence[memoryview]) -> int:
        assert not self.closed
        self.given.append(tuple(buffers))
        step = self.steps[0] if self.steps else b""
        if isinstance(step, OSError):
            raise step
        if not isinstance(step, bytes):
            raise BlockingIOError
        if not step:
            return 0
        count = 0
        for buffer in buffers if self._vectored else buffers[:1]:
            piece = step[count : count + len(buffer)]
            buffer[: len(piece)] = piece
            count += len(piece)
        self.steps.popleft()
        if count < len(step):
            self.steps.appendleft(step[count:])
        return count

    def wait_for_bytes(self, seconds: float) -> bool:
        self.waited.append(seconds)
        return self.steps.popleft() is NOTHING_YET

    def expect_much(self, much: bool) -> None:
        self.expected.append(much)

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        raise AssertionError("who receives sends nothing")

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        raise AssertionError("who receives sends nothing")

    def flush(self, patience: Patience) -> bool:
        raise AssertionError("who receives sends nothing")

    async def room(self) -> None:
        raise AssertionError("who receives sends nothing")

    def close(self) -> None:
        self.closed += 1


@dataclass
class Places:
    """Where the payloads of DATA go: one buffer a request, of the length that comes. Other kinds are not wanted."""

    targets: dict[int, bytearray] = field(default_factory=dict)

    def __call__(self, message: Message | Unknown, length: int) -> memoryview | None:
        if not isinstance(message, Data):
            return None
        if message.request in self.targets:
            raise RemoteProtocolError("The same request is answered twice.")
        self.targets[message.request] = bytearray(length)
        return memoryview(self.targets[message.request])


def split(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The stream in pieces, cut at these places as far as it has them."""
    pieces, begin = [], 0
    for cut in [*sorted({cut % len(stream) for cut in cuts}), len(stream)]:
        if cut > begin:
            pieces.append(stream[begin:cut])
        begin = cut
    return pieces
