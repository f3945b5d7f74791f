"""A content as one long list of chunks, whether it is a file or a collection of 100,000.

Chunk i of the list is chunk c of file j, files in the order of the descriptor. All that transfers and
unfinished files need to know about a content is asked here, so that nobody else tells a file from a
collection. Never reads a file and never asks a peer.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple, overload

from blake3 import blake3

from dhtshare.content.chunks import chunk_count, chunk_size
from dhtshare.content.collection import PackedEntries
from dhtshare.content.descriptor import (
    CollectionEntry,
    Descriptor,
    FileDescriptor,
    content_hash,
    decode,
    single_chunk_content_hash,
)
from dhtshare.content.globs import compile_globs
from dhtshare.errors import IntegrityError, LocalProtocolError, MalformedError

RECENT_SLOTS = 256
"""Kept where they are remembered: those of all chunks on the way, and 70 KB at most."""


class FileSlot(NamedTuple):
    """One file, or empty folder, of a content. A content that is a plain file has one, with path ''."""

    path: str
    size: int
    content_hash: bytes
    executable: bool
    first_chunk: int
    chunk_count: int

    @property
    def is_folder(self) -> bool:
        """An empty folder; its path ends in '/'."""
        return self.path.endswith("/")


class ChunkSlot(NamedTuple):
    """Where a chunk of the list lies: file number, chunk number in that file, offset and length there in bytes."""

    file: int
    chunk: int
    offset: int
    length: int


class Run(NamedTuple):
    """Consecutive chunks of the list: their bytes, and whether these follow each other in one file, too."""

    length: int
    in_one_file: bool


class Layout:
    """The chunks of one content, numbered through.

    Invariant: the chunks of file j are `chunks_of_file(j)`, these ranges follow each other without a gap, and a
    chunk verifies only as the bytes that the content hash stands for.
    """

    def __init__(self, content: bytes, entries: Sequence[CollectionEntry | _Whole]) -> None:
        """Use `of`."""
        self.content_hash = content
        self._sizes, self._first_chunks = array("Q"), array("Q")
        first = 0
        for entry in entries:
            self._sizes.append(entry.size)
            self._first_chunks.append(first)
            first += chunk_count(entry.size)
        files = _Files(entries, self._first_chunks)
        self.files: Sequence[FileSlot] = files if isinstance(entries, PackedEntries) else list(files)
        self.chunk_count = first
        self.size = sum(self._sizes)
        self._descriptors: dict[int, FileDescriptor] = {}
        self._slot: Callable[[int], ChunkSlot] | None = None

    @classmethod
    def of(cls, descriptor: Descriptor) -> Layout:
        """The layout of a file or collection."""
        content = descriptor.content_hash
        if not isinstance(descriptor, FileDescriptor):
            return cls(content, descriptor.entries)
        layout = cls(content, [_Whole(descriptor.size, content)])
        layout._descriptors[0] = descriptor
        return layout

    @classmethod
    def read(cls, raw: bytes) -> tuple[Descriptor, Layout]:
        """A descriptor and its layout, from its bytes. A long one takes seconds: call it in a thread.

        Raises MalformedError.
        """
        descriptor = decode(raw)
        return descriptor, cls.of(descriptor)

    def slot(self, index: int) -> ChunkSlot:
        """Where chunk `index` lies. Raises IndexError outside the content."""
        if self._slot is not None:
            return self._slot(index)
        return _slot(self._first_chunks, self._sizes, self.chunk_count, index)

    def remember_slots(self) -> None:
        """For whoever asks for the slot of each chunk a dozen times, as a fetch does. A seed keeps too many layouts."""
        # Of no method of ours, or only the garbage collector would free us.
        self._slot = lru_cache(RECENT_SLOTS)(partial(_slot, self._first_chunks, self._sizes, self.chunk_count))

    def run(self, first: int, count: int) -> Run:
        """What `count` chunks from chunk `first` on are together. Raises IndexError outside the content."""
        start, end = self.slot(first), self.slot(first + count - 1)
        if start.file == end.file:
            return Run(end.offset + end.length - start.offset, in_one_file=True)
        length = sum(self.slot(index).length for index in range(first, first + count))
        return Run(length, in_one_file=False)

    def chunks_of_file(self, number: int) -> range:
        """The chunks of file `number`; empty for an empty file or folder."""
        first = self._first_chunks[number]
        return range(first, first + chunk_count(self._sizes[number]))

    def needs_descriptor(self, number: int) -> bool:
        """Whether chunks of this file cannot be verified before `set_descriptor`."""
        return len(self.chunks_of_file(number)) > 1 and number not in self._descriptors

    def set_descriptor(self, number: int, raw: bytes) -> None:
        """Takes the descriptor of file `number`. Raises IntegrityError if it is another content's.

        Raises MalformedError if it has the right hash, and yet is not the descriptor of a file of that size:
        then the publisher made a collection that nobody can complete.
        """
        file = self.files[number]
        if content_hash(raw) != file.content_hash:
            raise IntegrityError(f"The descriptor received for {file.path!a} does not have that file's hash.")
        descriptor = decode(raw)
        if not isinstance(descriptor, FileDescriptor) or descriptor.size != file.size:
            raise MalformedError(f"This collection contradicts itself about {file.path!a}; it cannot be fetched.")
        self._descriptors[number] = descriptor

    def descriptor_of(self, number: int) -> FileDescriptor | None:
        """What `set_descriptor` took for this file, or the content's own."""
        return self._descriptors.get(number)

    def learned(self, after: int = 0) -> list[bytes]:
        """The descriptors of a collection's files that `set_descriptor` took, but for the first `after` of them."""
        if not self.files or not self.files[0].path:
            return []
        return [descriptor.encode() for descriptor in islice(self._descriptors.values(), after, None)]

    def verify(self, index: int, data: bytes | bytearray | memoryview) -> bool:
        """Whether `data` is chunk `index`. Raises LocalProtocolError while its file needs a descriptor.

        Hashes, and lets other threads run meanwhile.
        """
        file, chunk, _, length = self.slot(index)
        return len(data) == length and self.matches(file, chunk, blake3(data).digest())

    def matches(self, number: int, chunk: int, chunk_hash: bytes) -> bool:
        """Whether the chunk of file `number` with this BLAKE3-256 is the right one."""
        descriptor = self._descriptors.get(number)
        if descriptor is not None:
            return descriptor.chunk_hash(chunk) == chunk_hash
        file = self.files[number]
        if file.chunk_count > 1:
            raise LocalProtocolError(f"the descriptor of {file.path!a} is not known yet")
        return single_chunk_content_hash(file.size, chunk_hash) == file.content_hash

    def select(self, globs: Iterable[str]) -> set[int]:
        """The numbers of the files and empty folders that one of the globs takes (rules in globs.py).

        Raises UsageError for a glob that cannot be read.
        """
        pattern = compile_globs(globs)
        return {number for number, file in enumerate(self.files) if pattern.fullmatch(file.path.removesuffix("/"))}


class _Files(Sequence[FileSlot]):
    """Each made when it is looked at."""

    def __init__(self, entries: Sequence[CollectionEntry | _Whole], first_chunks: array[int]) -> None:
        self._entries = entries
        self._first_chunks = first_chunks

    def __len__(self) -> int:
        return len(self._first_chunks)

    @overload
    def __getitem__(self, index: int) -> FileSlot: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FileSlot]: ...
    def __getitem__(self, index: int | slice) -> FileSlot | Sequence[FileSlot]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        entry, first = self._entries[index], self._first_chunks[index]
        return FileSlot(entry.path, entry.size, entry.content_hash, entry.executable, first, chunk_count(entry.size))


class _Whole(NamedTuple):
    """A content that is one file, as if it were an entry."""

    size: int
    content_hash: bytes
    path: str = ""
    executable: bool = False


def _slot(first_chunks: Sequence[int], sizes: Sequence[int], count: int, index: int) -> ChunkSlot:
    if not 0 <= index < count:
        raise IndexError(f"chunk {index} of {count}")
    # Files without chunks share their first chunk with the file behind them; the last of these has it.
    number = bisect_right(first_chunks, index) - 1
    size = sizes[number]
    chunk, step = index - first_chunks[number], chunk_size(size)
    return ChunkSlot(number, chunk, chunk * step, min(step, size - chunk * step))
