"""The descriptor of one file: its size and the hashes of its chunks. No name, so equal bytes have equal hashes.

{0: version, 2: "file", 4: size in bytes, 6: BLAKE3-256 hashes of its chunks, one behind the other}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from blake3 import blake3

from dhtshare.content.canonical import Reader, encode
from dhtshare.content.chunks import MAX_CHUNKS_PER_FILE, chunk_count
from dhtshare.content.format import HASH_BYTES, KIND_KEY, VERSION, VERSION_KEY, Kind, pass_unknown
from dhtshare.errors import MalformedError

SIZE_KEY, CHUNK_HASHES_KEY = 4, 6
HEADER_BYTES = 5  # of the longest byte string, in MessagePack


@dataclass(frozen=True)
class FileDescriptor:
    """A file: its size in bytes and the 32-byte hashes of its chunks, joined.

    Invariant: there is one hash for every chunk of a file of this size; otherwise MalformedError.
    """

    size: int
    chunk_hashes: bytes = field(repr=False)
    received: bytes | None = field(default=None, repr=False, compare=False)
    """The bytes it was decoded from, where they say more than this version understands."""

    kind = Kind.FILE

    def __post_init__(self) -> None:
        expected = chunk_count(self.size) * HASH_BYTES
        if len(self.chunk_hashes) != expected:
            raise MalformedError(
                f"A file of {self.size} bytes has {expected} bytes of chunk hashes, not {len(self.chunk_hashes)}."
            )

    @property
    def chunk_count(self) -> int:
        return len(self.chunk_hashes) // HASH_BYTES

    def chunk_hash(self, index: int) -> bytes:
        """The BLAKE3-256 of chunk `index`, counted from 0. Raises IndexError outside the file."""
        if not 0 <= index < self.chunk_count:
            raise IndexError(f"chunk {index} of {self.chunk_count}")
        return self.chunk_hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def encode(self) -> bytes:
        """The descriptor's bytes: as received, or in canonical form."""
        if self.received is not None:
            return self.received
        return encode(
            {VERSION_KEY: VERSION, KIND_KEY: Kind.FILE, SIZE_KEY: self.size, CHUNK_HASHES_KEY: self.chunk_hashes}
        )

    def encodes_to(self, raw: bytes) -> bool:
        """Whether `encode` would make these bytes."""
        return self.encode() == raw

    @cached_property
    def content_hash(self) -> bytes:
        """32 bytes."""
        return blake3(self.encode()).digest()


def read_file(reader: Reader, keys: Iterator[int]) -> FileDescriptor:
    """The rest of a file's descriptor, behind its kind. Raises MalformedError."""
    size = chunk_hashes = None
    for key in keys:
        if key == SIZE_KEY:
            size = reader.scalar(int)
        elif key == CHUNK_HASHES_KEY:
            chunk_hashes = reader.scalar(bytes, MAX_CHUNKS_PER_FILE * HASH_BYTES + HEADER_BYTES)
        else:
            pass_unknown(reader, key)
    if size is None or chunk_hashes is None:
        raise MalformedError("The descriptor of a file lacks its size or its chunk hashes.")
    return FileDescriptor(size, chunk_hashes)


def single_chunk_content_hash(size: int, chunk_hash: bytes) -> bytes:
    """The content hash of a file of one chunk: who has its bytes needs nobody's descriptor."""
    return FileDescriptor(size, chunk_hash).content_hash


EMPTY_FILE_HASH = FileDescriptor(0, b"").content_hash
"""An empty file has no chunks, and a hash."""
