"""The descriptors of a collection's larger files, learned as they are needed: their chunks wait locked until then.

Several peers share the work: what one was asked for another is not, unless it failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dhtshare.content.layout import Layout
from dhtshare.errors import IntegrityError, RemoteProtocolError
from dhtshare.transfer.asking import ANSWER_SECONDS, get_descriptor
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    HASH_BYTES,
    MAX_MEMBERS,
    MAX_PAYLOAD_BYTES,
    GetMembers,
    Members,
)
from dhtshare.transfer.repeats import Group, repeats_in
from dhtshare.transfer.replies import ask, blame

OVERHEAD_BYTES = 32
"""What a descriptor takes beside its hashes, at most."""


class Lockable(Protocol):
    """What keeps chunks from being asked for, and knows which are the same bytes; the picker."""

    def lock(self, chunks: int) -> None: ...
    def unlock(self, chunks: int) -> None: ...
    def same(self, groups: Iterable[Group]) -> None: ...


class MemberDescriptors:
    """Which files of the layout still need theirs, among those with wanted chunks.

    Invariant: the chunks of a file are locked until its descriptor is set.
    """

    def __init__(self, layout: Layout, files: Iterable[int], picker: Lockable) -> None:
        """`files`: the numbers of those with wanted chunks."""
        self._layout = layout
        self._picker = picker
        self._lacking = {file: None for file in files if layout.needs_descriptor(file)}
        self._asked: set[int] = set()
        for file in self._lacking:
            picker.lock(self._bits(file))

    @property
    def needed(self) -> bool:
        """Whether any is not known yet."""
        return bool(self._lacking)

    def next_batch(self) -> tuple[int, ...]:
        """Files that nobody is asked for, as many as one answer holds; they count as asked until `learn` ends."""
        batch: list[int] = []
        room = MAX_PAYLOAD_BYTES
        for file in self._lacking:
            if file in self._asked:
                continue
            size = self._size(file)
            if size > DESCRIPTOR_RANGE_BYTES and batch:
                break
            room -= size
            if (room < 0 and batch) or len(batch) == MAX_MEMBERS:
                break
            batch.append(file)
            if size > DESCRIPTOR_RANGE_BYTES:
                break
        self._asked.update(batch)
        return tuple(batch)

    async def learn(self, connection: Connection, content: bytes, batch: tuple[int, ...]) -> int:
        """Ask this peer for a batch; how many became known, 0 when it has none of them.

        Raises IntegrityError for a descriptor that is not the file's, NetworkError where the peer fails, and
        MalformedError where the collection contradicts itself, so that nobody can complete it.
        """
        try:
            if len(batch) == 1 and self._size(batch[0]) > DESCRIPTOR_RANGE_BYTES:
                found = {batch[0]: await get_descriptor(connection, content, batch[0] + 1, most=self._size(batch[0]))}
            else:
                found = await _read_members(connection, content, batch)
            for file, raw in found.items():
                if file in self._lacking:
                    self._set(connection, file, raw)
            return len(found)
        finally:
            self._asked.difference_update(batch)

    def _set(self, connection: Connection, file: int, raw: bytes) -> None:
        try:
            self._layout.set_descriptor(file, raw)
        except IntegrityError as error:
            raise IntegrityError(f"{connection.address}: {error}") from error
        self._lacking.pop(file, None)
        self._picker.same(repeats_in(self._layout, file))
        self._picker.unlock(self._bits(file))

    def _size(self, file: int) -> int:
        return HASH_BYTES * self._layout.files[file].chunk_count + OVERHEAD_BYTES

    def _bits(self, file: int) -> int:
        chunks = self._layout.chunks_of_file(file)
        return ((1 << len(chunks)) - 1) << chunks.start


async def _read_members(connection: Connection, content: bytes, files: tuple[int, ...]) -> dict[int, bytes]:
    answer, payload = await ask(
        connection, lambda request: GetMembers(request, content, files), Members, ANSWER_SECONDS
    )
    if len(answer.lengths) != len(files) or sum(answer.lengths) != len(payload):
        raise blame(connection, RemoteProtocolError("its descriptors do not add up"))
    found: dict[int, bytes] = {}
    at = 0
    for file, length in zip(files, answer.lengths, strict=True):
        if length:
            found[file] = payload[at : at + length]
        at += length
    return found
