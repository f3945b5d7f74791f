"""The descriptors of a collection's larger files, learned as they are needed: their chunks wait locked until then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from dhtshare.content.layout import Layout
from dhtshare.errors import MalformedError, NetworkError, RemoteProtocolError
from dhtshare.transfer.asking import ANSWER_SECONDS, get_descriptor
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import MAX_MEMBERS, GetMembers, Members
from dhtshare.transfer.replies import ask, blame


class Lockable(Protocol):
    """What keeps chunks from being asked for; the picker."""

    def lock(self, chunks: int) -> None: ...
    def unlock(self, chunks: int) -> None: ...


class MemberDescriptors:
    """Which files of the layout still need theirs, among those with wanted chunks."""

    def __init__(self, layout: Layout, chunks: Iterable[int], picker: Lockable) -> None:
        self._layout = layout
        self._picker = picker
        files = dict.fromkeys(layout.slot(chunk).file for chunk in chunks)
        self._lacking = {file: None for file in files if layout.needs_descriptor(file)}
        for file in self._lacking:
            picker.lock(self._bits(file))

    @property
    def needed(self) -> bool:
        """Whether any is not known yet."""
        return bool(self._lacking)

    async def learn(self, connection: Connection, content_hash: bytes) -> AsyncIterator[int]:
        """Ask this peer until nothing is needed; yields how many became known at a time.

        Raises IntegrityError for a descriptor that is not the file's, NetworkError where the peer fails.
        """
        while self._lacking:
            asked = tuple(list(self._lacking)[:MAX_MEMBERS])
            found = await read_members(connection, content_hash, asked)
            if not found:
                found = {asked[0]: await get_descriptor(connection, content_hash, asked[0] + 1)}
            learned = 0
            for file, raw in found.items():
                if file in self._lacking:
                    self._set(file, raw)
                    learned += 1
            if not learned and self._lacking and not set(asked) - set(self._lacking):
                raise NetworkError(f"{connection.address} does not send the descriptors it should have.")
            yield learned

    def _set(self, file: int, raw: bytes) -> None:
        try:
            self._layout.set_descriptor(file, raw)
        except MalformedError as error:
            raise NetworkError(str(error)) from error
        self._lacking.pop(file, None)
        self._picker.unlock(self._bits(file))

    def _bits(self, file: int) -> int:
        chunks = self._layout.chunks_of_file(file)
        return ((1 << len(chunks)) - 1) << chunks.start


async def read_members(connection: Connection, content_hash: bytes, files: tuple[int, ...]) -> dict[int, bytes]:
    """The descriptors of these files of a collection that fit one answer; unchecked."""
    answer, payload = await ask(
        connection, lambda request: GetMembers(request, content_hash, files), Members, ANSWER_SECONDS
    )
    if len(answer.lengths) != len(files) or sum(answer.lengths) != len(payload):
        raise blame(connection, RemoteProtocolError("Its descriptors do not add up."))
    found: dict[int, bytes] = {}
    at = 0
    for file, length in zip(files, answer.lengths, strict=True):
        if length:
            found[file] = payload[at : at + length]
        at += length
    return found
