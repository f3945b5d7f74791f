"""Asks peers about a content before anything of it is fetched: who has it, and its descriptor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import content_hash as hash_of
from dhtshare.errors import DhtshareError, IntegrityError, MalformedError, NetworkError, NotFoundError
from dhtshare.network import Address
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    MAX_BITFIELD_CHUNKS,
    Ask,
    Descriptor,
    GetDescriptor,
    Has,
)
from dhtshare.transfer.one_chunk import Whole, may_be_one_chunk, take_whole
from dhtshare.transfer.replies import ask, blame

ANSWER_SECONDS = 10.0
MAX_DIALS = 8
RANGES_IN_FLIGHT = 16
LONG_AT_ONCE = 2
"""Long descriptors that are received at a time: 32 MiB that nobody verified are enough."""

LONG_SECONDS = 10.0
"""How long one is received before others that wait have their turn; twice as long in its next turn."""

MAX_HOLDERS_KEPT = 64
"""Of those who answered, so many are told; each may carry a bitfield of 1 MiB."""

Connect = Callable[[PeerAddress], Awaitable[Connection]]


@dataclass(frozen=True, slots=True)
class PeerHas:
    """What one peer says that it holds. `have` is None when it holds all, or tells of more than fits a message."""

    address: Address
    name: str
    chunks: int
    held: int
    descriptor_bytes: int
    have: Bitfield | None = None
    peer_id: bytes | None = None
    one_chunk: int = 0
    """The bytes of the content, where the peer says that it is a file of one chunk; else 0."""

    @property
    def complete(self) -> bool:
        """Whether it says that it holds every chunk."""
        return self.held == self.chunks


@dataclass(frozen=True, slots=True)
class FoundDescriptor:
    """A descriptor that has the hash asked for, what peers call it, and who answered until then."""

    raw: bytes
    names: Counter[str]
    holders: tuple[PeerHas, ...]
    whole: Whole | None = None
    """All bytes of the content, where it is a file of one chunk: they came instead of the descriptor."""


async def ask_have(
    connection: Connection, content: bytes, *, follow: bool = False, tag: bytes = b"", timeout: float
) -> PeerHas:
    """Ask one peer; `tag` as in ASK.

    Raises NotFoundError, NetworkError; RemoteProtocolError for an answer that cannot be.
    """
    has, payload = await ask(connection, lambda number: Ask(number, content, follow, tag), Has, timeout)
    have = None
    if has.held > has.chunks:
        raise blame(connection, MalformedError(f"it holds {has.held} of {has.chunks} chunks"))
    if not has.complete and has.chunks <= MAX_BITFIELD_CHUNKS:
        try:
            have = Bitfield.from_bytes(has.chunks, payload)
        except MalformedError as error:
            raise blame(connection, error) from error
    one_chunk = has.size if may_be_one_chunk(has) else 0
    return PeerHas(
        connection.address, has.name, has.chunks, has.held, has.descriptor, have, connection.peer_id, one_chunk
    )


async def get_descriptor(connection: Connection, content: bytes, file: int = 0, *, most: int) -> bytes:
    """A whole descriptor from one peer, its ranges pipelined; `file` counts from 1. Not verified here.

    One of more than `most` bytes is not taken: whoever makes room for it has to know how much.

    Raises NotFoundError, NetworkError, RemoteProtocolError.
    """
    first, raw = await _range(connection, content, file, 0)
    if first.total > most:
        raise blame(connection, MalformedError(f"its descriptor of {first.total} bytes should have at most {most}"))
    rest = range(DESCRIPTOR_RANGE_BYTES, first.total, DESCRIPTOR_RANGE_BYTES)
    gate = asyncio.Semaphore(RANGES_IN_FLIGHT)

    async def part(offset: int) -> bytes:
        async with gate:
            answer, payload = await _range(connection, content, file, offset)
        if answer.total != first.total:
            raise blame(connection, MalformedError("its descriptor changes its length"))
        return payload

    return b"".join([raw, *await asyncio.gather(*(part(offset) for offset in rest))])


async def _range(connection: Connection, content: bytes, file: int, offset: int) -> tuple[Descriptor, bytes]:
    answer, payload = await ask(
        connection, lambda number: GetDescriptor(number, content, offset, file), Descriptor, ANSWER_SECONDS
    )
    if len(payload) != min(DESCRIPTOR_RANGE_BYTES, max(0, answer.total - offset)):
        raise blame(connection, MalformedError("a range of its descriptor has the wrong length"))
    return answer, payload


@dataclass(slots=True)
class DescriptorHunt:
    """Asks peers as they become known, MAX_DIALS at a time; the first right descriptor ends it."""

    connect: Connect
    ban: Callable[[Connection], None]
    content: bytes
    want_whole: bool = False
    """Of a file of one chunk take the bytes; else leave them where they are."""
    names: Counter[str] = field(default_factory=Counter)
    holders: list[PeerHas] = field(default_factory=list)
    errors: list[DhtshareError] = field(default_factory=list)
    _found: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    _long: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LONG_AT_ONCE))
    _waiting: int = 0
    """How many wait for their turn with a long one."""
    _whole: Whole | None = None
    _taking: bool = False
    """Somebody is asked for the bytes themselves: meanwhile others are asked for the descriptor."""

    async def run(self, peers: AsyncIterable[PeerAddress] | Iterable[PeerAddress], timeout: float) -> FoundDescriptor:
        """Until found, or `timeout` seconds, or all have failed and no more peers come.

        Raises NotFoundError when there was nobody to ask or nobody holds it, IntegrityError when only false
        answers came, NetworkError otherwise.
        """
        gate = asyncio.Semaphore(MAX_DIALS)
        asking: set[asyncio.Task[None]] = set()

        async def introduce() -> None:
            async for peer in _stream(peers):
                await gate.acquire()
                task = asyncio.create_task(self._try(peer), name=f"ask {peer.address}")
                task.add_done_callback(lambda _: gate.release())
                asking.add(task)
            if asking:
                await asyncio.wait(asking)

        introducing = asyncio.create_task(introduce(), name="introduce peers")
        try:
            waited: list[asyncio.Future[Any]] = [introducing, self._found]
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not self._found.done():
                if introducing.done():
                    introducing.result()
                raise self._failure(bool(asking))
            return FoundDescriptor(self._found.result(), self.names, tuple(self.holders), self._whole)
        finally:
            self._found.cancel()
            for task in (introducing, *asking):
                task.cancel()
            await asyncio.gather(introducing, *asking, return_exceptions=True)

    async def _try(self, peer: PeerAddress) -> None:
        try:
            connection = await self.connect(peer)
            has = await ask_have(connection, self.content, timeout=ANSWER_SECONDS)
            if len(self.holders) < MAX_HOLDERS_KEPT:
                self.holders.append(has)
            if has.name:
                self.names[has.name] += 1
            if has.one_chunk and await self._take_whole(connection, has.one_chunk):
                return
            if has.descriptor_bytes > DESCRIPTOR_RANGE_BYTES:
                raw = await self._get_long(connection, has.descriptor_bytes)
            else:
                raw = await get_descriptor(connection, self.content, most=has.descriptor_bytes)
            if hash_of(raw) != self.content:
                self.ban(connection)
                raise IntegrityError(f"{peer.address} sent a descriptor that is not this content's.")
        except DhtshareError as error:
            self.errors.append(error)
        else:
            if not self._found.done():
                self._found.set_result(raw)

    async def _take_whole(self, connection: Connection, size: int) -> bool:
        """Whether the bytes came from this peer, and with them the descriptor. One peer at a time is asked."""
        if not self.want_whole or self._taking:
            return False
        self._taking = True
        try:
            taken = await take_whole(connection, self.content, size, ANSWER_SECONDS)
        finally:
            self._taking = False
        if taken is not None and not self._found.done():
            raw, self._whole = taken
            self._found.set_result(raw)
        return taken is not None

    async def _get_long(self, connection: Connection, most: int) -> bytes:
        """A long descriptor, in turns: who sends slowly, or a lie, does not keep the others waiting for long."""
        patience = LONG_SECONDS
        while True:
            self._waiting += 1
            try:
                await self._long.acquire()
            finally:
                self._waiting -= 1
            getting = asyncio.create_task(get_descriptor(connection, self.content, most=most))
            try:
                while not (await asyncio.wait((getting,), timeout=patience))[0]:
                    if self._waiting:
                        break
                else:
                    return getting.result()
            finally:
                getting.cancel()
                await asyncio.gather(getting, return_exceptions=True)
                self._long.release()
            patience *= 2

    def _failure(self, asked: bool) -> DhtshareError:
        for error in self.errors:
            if isinstance(error, IntegrityError):
                return IntegrityError(f"Nobody sent the right description of this content. {error}")
        if not asked:
            return NotFoundError("No peer has this content now. Try again later, or name one with --peer.")
        if self.errors and all(isinstance(error, NotFoundError) for error in self.errors):
            return NotFoundError("The peers that were named do not hold this content any more.")
        reason = f" Last: {self.errors[-1]}" if self.errors else ""
        return NetworkError(f"No peer of this content answered.{reason}")


async def _stream(peers: AsyncIterable[PeerAddress] | Iterable[PeerAddress]) -> AsyncIterator[PeerAddress]:
    if isinstance(peers, AsyncIterable):
        async for peer in peers:
            yield peer
    else:
        for peer in peers:
            yield peer
