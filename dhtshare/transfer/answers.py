"""Answers with a payload, on their way out: made only when their turn comes, so that a queue of them is small.

All methods but `close` of a chunk answer block and run in worker threads. Nothing is sent before `prepare`
returned, so whatever it raises can still be answered with a refusal; an error after that tears the frame and
ends the connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from dhtshare.content.open_chunk import OpenChunk
from dhtshare.errors import DiskError
from dhtshare.transfer.codec import encode
from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Data, Get, Message
from dhtshare.transfer.ports import Offer


class Answer(Protocol):
    """One frame with a payload, or several DATA one behind the other."""

    request: int
    is_data: bool
    """Whether choking concerns it."""

    def prepare(self) -> None:
        """Make header and payload ready. Raises OSError or DiskError while nothing is sent."""

    def send_to(self, line: Line, most: int, patience: Patience) -> int:
        """Send some, at most about `most` bytes; how many went, headers included."""

    @property
    def left(self) -> int:
        """Bytes that were not sent yet, without the headers of DATA to come; valid after `prepare`."""

    @property
    def closed(self) -> bool:
        """Whether it holds no file."""

    def close(self) -> None:
        """Let go of files; whatever happened before, also twice."""


class MadeAnswer:
    """A frame made in memory when its turn comes: HAS, DESCRIPTOR, MEMBERS."""

    is_data = False

    def __init__(self, request: int, make: Callable[[], tuple[Message, bytes]]) -> None:
        self.request = request
        self._make = make
        self._frame = memoryview(b"")

    def prepare(self) -> None:
        message, payload = self._make()
        self._frame = memoryview(encode(message, len(payload)) + payload)

    def send_to(self, line: Line, most: int, patience: Patience) -> int:
        sent = line.send(self._frame[:most], patience)
        self._frame = self._frame[sent:]
        return sent

    @property
    def left(self) -> int:
        return len(self._frame)

    @property
    def closed(self) -> bool:
        return True

    def close(self) -> None:
        self._frame = memoryview(b"")


class ChunkAnswer:
    """DATA of one chunk or a range of it, or of chunks that follow each other in a file: from there to the line, and no
    copy of it here. What is too long for one frame goes in several."""

    is_data = True

    def __init__(self, get: Get, offer: Offer) -> None:
        self.request = get.request
        self._offer = offer
        self._get = get
        self._head = memoryview(b"")
        self._of_frame = 0
        self._opened: OpenChunk | None = None
        self._position = 0
        self._left = get.length

    def prepare(self) -> None:
        opened = self._offer.open_chunk(self._get.first)
        self._opened = opened
        if self._get.count == 1 and self._get.offset + self._get.length > opened.length:
            raise DiskError("A chunk on the disk is shorter than it was.")
        self._position = opened.offset + self._get.offset

    def send_to(self, line: Line, most: int, patience: Patience) -> int:
        sent = 0
        while sent < most and self._left:
            if not self._of_frame:
                self._of_frame = min(self._left, MAX_PAYLOAD_BYTES)
                self._head = memoryview(encode(Data(self.request), self._of_frame))
            sent += self._send_head(line, patience)
            if self._head:
                break
            wanted = min(self._of_frame, most - sent)
            of_file = self._send_file(line, wanted, patience) if wanted > 0 else 0
            sent += of_file
            if of_file < wanted:
                break
        return sent

    def _send_head(self, line: Line, patience: Patience) -> int:
        if not self._head:
            return 0
        sent = line.send(self._head, patience, more=True)
        self._head = self._head[sent:]
        return sent

    def _send_file(self, line: Line, count: int, patience: Patience) -> int:
        assert self._opened is not None
        try:
            sent = line.send_file(self._opened.fd, self._position, count, patience)
        except EOFError as error:
            raise DiskError("A file became shorter while it was sent.") from error
        self._position += sent
        self._of_frame -= sent
        self._left -= sent
        return sent

    @property
    def left(self) -> int:
        return len(self._head) + self._left

    @property
    def closed(self) -> bool:
        return self._opened is None

    def close(self) -> None:
        if self._opened is not None:
            opened, self._opened = self._opened, None
            self._offer.close_chunk(opened)


class RunAnswer(MadeAnswer):
    """DATA of many whole small chunks, read in one go. Memory: at most one payload, while it is being sent."""

    is_data = True

    def __init__(self, get: Get, offer: Offer) -> None:
        super().__init__(get.request, lambda: (Data(get.request), _read_run(get, offer)))


def _read_run(get: Get, offer: Offer) -> bytes:
    parts = []
    for index in range(get.first, get.first + get.count):
        opened = offer.open_chunk(index)
        try:
            part = os.pread(opened.fd, opened.length, opened.offset)
        finally:
            offer.close_chunk(opened)
        if len(part) != opened.length:
            raise DiskError("A chunk on the disk is shorter than it was.")
        parts.append(part)
    return b"".join(parts)


class LaterAnswer:
    """DATA of a content that is not at hand: what a GET is for shows only in the thread, when its turn comes."""

    is_data = True

    def __init__(self, get: Get, offer: Offer) -> None:
        self.request = get.request
        self._get = get
        self._offer = offer
        self._answer: ChunkAnswer | RunAnswer | None = None

    def prepare(self) -> None:
        self._answer = answer_to(self._get, self._offer)
        if self._answer is None:
            raise DiskError("What was asked for is not here.")
        self._answer.prepare()

    def send_to(self, line: Line, most: int, patience: Patience) -> int:
        assert self._answer is not None
        return self._answer.send_to(line, most, patience)

    @property
    def left(self) -> int:
        return self._answer.left if self._answer is not None else 0

    @property
    def closed(self) -> bool:
        return self._answer is None or self._answer.closed

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()


def answer_to(get: Get, offer: Offer) -> ChunkAnswer | RunAnswer | None:
    """How to answer; None where it is not here, or not what a GET may ask for."""
    layout, have = offer.layout, offer.have
    end = get.first + get.count
    if end > layout.chunk_count:
        return None
    if have is not None and any(index not in have for index in range(get.first, end)):
        return None
    if get.count == 1:
        return ChunkAnswer(get, offer) if get.offset + get.length <= layout.slot(get.first).length else None
    run = layout.run(get.first, get.count)
    if get.offset or get.length != run.length:
        return None
    if run.in_one_file:
        return ChunkAnswer(get, offer)
    return RunAnswer(get, offer) if run.length <= MAX_PAYLOAD_BYTES else None
