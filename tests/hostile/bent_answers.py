"""Peers that answer a fetch rightly up to one message, and bend that one. Who is bad is told by the frames' form alone.

A listener's connections bend the same kind of message, each in another way. All that a connection was told and when it
ended is kept for the test to judge.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from dhtshare.content.chunks import chunk_count, chunk_length, chunk_size
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import MalformedError
from dhtshare.network import network_id
from dhtshare.transfer.codec import Frame, FrameReader, encode
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    MAX_PAYLOAD_BYTES,
    Ask,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    GetMembers,
    Given,
    Has,
    Have,
    Hello,
    Members,
    Message,
    Reason,
    Refused,
    Request,
)
from tests.fuzz.mutate import bent
from tests.hostile.raw_listener import Behaviour
from tests.unit.transfer.raw_peer import RawPeer

BENT: tuple[type[Message], ...] = (Hello, Has, Descriptor, Members, Data, Refused, Have, Given)

ANSWERS: dict[type[Request], type[Message]] = {Ask: Has, GetDescriptor: Descriptor, GetMembers: Members, Get: Data}
HEAD_BYTES = 160
"""What is bent of a frame: its header, and the beginning of its payload."""

WAIT_SECONDS = 15.0


@dataclass
class Served:
    """A content, as a peer that holds it answers. `files`: the bytes of each, and what describes it, in order."""

    descriptor: bytes
    layout: Layout
    members: Sequence[FileDescriptor]
    files: Sequence[bytes]

    @classmethod
    def of_file(cls, data: bytes) -> Served:
        """A plain file."""
        described = describe(data)
        return cls(described.encode(), Layout.of(described), [described], [data])

    @classmethod
    def of_folder(cls, files: Mapping[str, bytes]) -> Served:
        """A collection of these files, by their paths, which are in order."""
        members = [describe(data) for data in files.values()]
        entries = [CollectionEntry(path, one.size, one.content_hash) for path, one in zip(files, members, strict=True)]
        collection = CollectionDescriptor.of(entries)
        return cls(collection.encode(), Layout.of(collection), members, list(files.values()))

    @property
    def content(self) -> str:
        """The hash by which it is asked for."""
        return self.layout.content_hash.hex()

    def answer(self, request: Request, *, with_chunks: bool) -> list[bytes]:
        """The frames of the right answer, of a peer that holds all chunks or none."""
        number = request.request
        match request:
            case Ask():
                chunks = self.layout.chunk_count
                held, payload = (chunks, b"") if with_chunks else (0, bytes((chunks + 7) // 8))
                return [_frame(Has(number, chunks, held, "bent", len(self.descriptor)), payload)]
            case GetDescriptor():
                whole = self.members[request.file - 1].encode() if request.file else self.descriptor
                part = whole[request.offset : request.offset + DESCRIPTOR_RANGE_BYTES]
                return [_frame(Descriptor(number, len(whole)), part)]
            case GetMembers():
                raws = [self.members[file].encode() for file in request.files]
                return [_frame(Members(number, tuple(map(len, raws))), b"".join(raws))]
            case Get():
                slot = self.layout.slot(request.first)
                start = slot.offset + request.offset
                data = self.files[slot.file][start : start + request.length]
                pieces = range(0, len(data), MAX_PAYLOAD_BYTES)
                return [_frame(Data(number), data[at : at + MAX_PAYLOAD_BYTES]) for at in pieces]


def describe(data: bytes) -> FileDescriptor:
    """The descriptor of a file of these bytes."""
    size, step = len(data), chunk_size(len(data))
    lengths = [chunk_length(size, number) for number in range(chunk_count(size))]
    digests = [blake3(data[number * step :][:length]).digest() for number, length in enumerate(lengths)]
    return FileDescriptor(size, b"".join(digests))


def _frame(message: Message, payload: bytes) -> bytes:
    return encode(message, len(payload)) + payload


@dataclass
class Episode:
    """One connection: what it was asked and sent, when the bent message went out, and when it was ended."""

    kind: type[Message]
    sent: bytearray = field(default_factory=bytearray)
    asked: dict[int, Request] = field(default_factory=dict)
    bent_at: float | None = None
    ended_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it was kept; None where it still was when we left."""
        return None if self.ended_at is None or self.bent_at is None else self.ended_at - self.bent_at

    def is_bad(self, network: bytes) -> bool:
        """Whether no peer may say this: by the frames' form, the order, and the requests that are answered."""
        frames: list[Frame] = []
        reader = FrameReader(lambda message, length: None)
        stream = memoryview(bytes(self.sent))
        try:
            while stream:
                buffer = reader.get_buffer()
                count = min(len(buffer), len(stream))
                buffer[:count] = stream[:count]
                frames += reader.advance(count)
                stream = stream[count:]
        except MalformedError:
            return True
        if reader.begun or not frames:
            return True
        first, *others = (frame.message for frame in frames)
        if not isinstance(first, Hello) or first.network != network:
            return True
        open_ones = dict(self.asked)
        return any(not _is_due(message, open_ones) for message in others)


def _is_due(message: object, asked: dict[int, Request]) -> bool:
    """Whether a peer may say so now; the answered request is over."""
    if isinstance(message, Hello):
        return False
    if isinstance(message, Data):
        return isinstance(asked.get(message.request), Get)
    if isinstance(message, Has | Descriptor | Members | Refused):
        request = asked.pop(message.request, None)
        return request is not None and isinstance(message, (ANSWERS[type(request)], Refused))
    return True


class Bender:
    """Makes behaviours for `listeners`; keeps the episodes of all. `half`: the bent message is cut, not changed."""

    def __init__(self, network: str, seed: int) -> None:
        self.network = network_id(network)
        self.episodes: list[Episode] = []
        self._rng = random.Random(seed)
        self._seeds = self._well_formed()

    @property
    def bad(self) -> list[Episode]:
        """Those on which something was said that may not be."""
        return [one for one in self.episodes if one.bent_at is not None and one.is_bad(self.network)]

    def bends(self, kind: type[Message], served: Served, *, half: bool = False) -> Behaviour:
        """A peer that says one message of this kind in a form of its own, and then no more."""

        async def behave(raw: RawPeer) -> None:
            episode = Episode(kind)
            self.episodes.append(episode)
            try:
                await self._talk(raw, episode, served, half=half)
                async with asyncio.timeout(WAIT_SECONDS):
                    while await raw.reader.read(1 << 16):
                        pass
                episode.ended_at = time.monotonic()
            except (ConnectionError, asyncio.IncompleteReadError):
                episode.ended_at = time.monotonic()
            except TimeoutError:
                return

        return behave

    async def _talk(self, raw: RawPeer, episode: Episode, served: Served, *, half: bool) -> None:
        def say(frame: bytes, *, bend: bool) -> None:
            if bend:
                frame = frame[: -max(1, len(frame) // 2)] if half else self._bend(frame)
                episode.bent_at = time.monotonic()
            episode.sent += frame
            raw.writer.write(frame)

        await raw.hear_a(Hello)
        say(encode(Hello(self.network, self._rng.randbytes(16), "bent")), bend=episode.kind is Hello)
        while episode.bent_at is None:
            request, _ = await raw.hear()
            if not isinstance(request, Request):
                continue
            episode.asked[request.request] = request
            kind = ANSWERS[type(request)]
            if episode.kind is Refused and kind is Data:
                say(encode(Refused(request.request, self._rng.choice(list(Reason)))), bend=True)
                continue
            for frame in served.answer(request, with_chunks=episode.kind in (Has, Data, Refused)):
                say(frame, bend=kind is episode.kind and episode.bent_at is None)
            if episode.kind in (Have, Given) and isinstance(request, Ask) and request.follow:
                news = Have if episode.kind is Have else Given
                say(encode(news(request.content, (0, 3, 5, 1))), bend=True)

    def _bend(self, frame: bytes) -> bytes:
        changed = frame
        while changed == frame:
            changed = bent(frame[:HEAD_BYTES], self._seeds, self._rng) + frame[HEAD_BYTES:]
        return changed

    def _well_formed(self) -> list[bytes]:
        messages = [Has(1, 9, 9, "x", 100), Have(bytes(32), (0, 1)), Refused(3, 2), Hello(self.network, bytes(16))]
        return [*map(encode, messages), _frame(Data(2), b"bytes"), _frame(Members(1, (5,)), b"bytes")]
