"""The descriptor of a collection: a folder published as one content.

    collection   {0: version, 2: "collection", 8: [entry, …]}
    entry        {0: path, 2: size in bytes, 4: content hash, 6: true if executable (else absent)}
    empty folder {0: path that ends in '/'}

Entries stand in the order of the UTF-8 bytes of their paths. A nested collection will be an entry with an
even key of its own, which this version refuses.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import msgpack
from blake3 import blake3

from dhtshare.content.canonical import Reader, encode
from dhtshare.content.chunks import chunk_count
from dhtshare.content.file import EMPTY_FILE_HASH
from dhtshare.content.format import (
    HASH_BYTES,
    KIND_KEY,
    MAX_DESCRIPTOR_BYTES,
    VERSION,
    VERSION_KEY,
    Kind,
    pass_unknown,
    refuse_newer,
)
from dhtshare.content.paths import MAX_PATH_BYTES, check_collisions, check_relative_path
from dhtshare.errors import MalformedError

MAX_COLLECTION_ENTRIES = 100_000
MAX_COLLECTION_CHUNKS = 1 << 22
"""Over all files: 4 TiB at least, and a bitmap of all chunks fits in one frame of 1 MiB."""
MAX_ENTRY_BYTES = MAX_PATH_BYTES + 1_024
"""Leaves the odd keys of later versions some room."""

ENTRIES_KEY = 8
PATH_KEY, SIZE_KEY, HASH_KEY, EXECUTABLE_KEY = 0, 2, 4, 6
_ENTRY_KEYS = frozenset((PATH_KEY, SIZE_KEY, HASH_KEY, EXECUTABLE_KEY))

KEPT_WHOLE_BYTES = 2 << 20
"""The entries of a longer descriptor stay bytes, and each is decoded when it is looked at (5 µs): as objects they would
take several times as much."""

_ADVICE = "Publish its sub-folders one by one."


@dataclass(frozen=True, slots=True)
class CollectionEntry:
    """One file of a collection, or an empty folder: then its path ends in '/' and it has neither size nor hash.

    Invariant (else MalformedError): the path is safe, and size and hash are such as a file can have.
    """

    path: str
    size: int = 0
    content_hash: bytes = b""
    executable: bool = False

    def __post_init__(self) -> None:
        check_relative_path(self.path)
        if self.is_folder:
            if self.size or self.content_hash or self.executable:
                raise MalformedError(f"The empty folder {self.path!a} of a collection has what only a file has.")
        elif len(self.content_hash) != HASH_BYTES or (self.size == 0) != (self.content_hash == EMPTY_FILE_HASH):
            raise MalformedError(f"The file {self.path!a} of a collection has a hash that no such file can have.")

    @property
    def is_folder(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True)
class CollectionDescriptor:
    """The files and empty folders of one published folder.

    Invariant (else MalformedError): entries are sorted, all of them can stand side by side on any file system,
    and the limits above hold.
    """

    entries: Sequence[CollectionEntry] = field(repr=False)
    received: bytes | None = field(default=None, repr=False, compare=False)
    """The bytes it was decoded from, where they say more than this version understands, or are its entries."""

    kind = Kind.COLLECTION

    @classmethod
    def of(cls, entries: Iterable[CollectionEntry]) -> CollectionDescriptor:
        """A collection of these entries, in whatever order they come."""
        return cls(tuple(sorted(entries, key=lambda entry: entry.path.encode())))

    def __post_init__(self) -> None:
        if len(self.entries) > MAX_COLLECTION_ENTRIES:
            raise MalformedError(
                f"A collection has at most {MAX_COLLECTION_ENTRIES} files and empty folders, "
                f"not {len(self.entries)}. {_ADVICE}"
            )
        chunks = 0
        previous = b""
        for entry in self.entries:
            path = entry.path.encode()
            if path <= previous:
                raise MalformedError(f"The path {entry.path!a} stands twice, or out of order, in a collection.")
            previous = path
            chunks += chunk_count(entry.size)
        if chunks > MAX_COLLECTION_CHUNKS:
            raise MalformedError(f"A collection has at most {MAX_COLLECTION_CHUNKS} chunks, not {chunks}. {_ADVICE}")
        check_collisions(_Paths(self.entries))

    @cached_property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)

    def encode(self) -> bytes:
        """The descriptor's bytes: as received, or in canonical form. Raises MalformedError over the size limit."""
        if self.received is not None:
            return self.received
        raw = b"".join(self._pieces())
        if len(raw) > MAX_DESCRIPTOR_BYTES:
            raise MalformedError(
                f"The list of this folder's files takes {len(raw)} bytes, over the limit of "
                f"{MAX_DESCRIPTOR_BYTES}. {_ADVICE}"
            )
        return raw

    def encodes_to(self, raw: bytes) -> bool:
        """Whether `encode` would make these bytes; costs no second copy of them."""
        if self.received is not None:
            return self.received == raw
        at = 0
        for piece in self._pieces():
            if not raw.startswith(piece, at):
                return False
            at += len(piece)
        return at == len(raw)

    def _pieces(self) -> Iterator[bytes]:
        packer = msgpack.Packer()
        yield encode({VERSION_KEY: VERSION, KIND_KEY: Kind.COLLECTION, ENTRIES_KEY: []})[:-1]
        yield packer.pack_array_header(len(self.entries))
        for entry in self.entries:
            yield packer.pack(_entry_fields(entry))

    @cached_property
    def content_hash(self) -> bytes:
        """32 bytes."""
        return blake3(self.encode()).digest()


def _entry_fields(entry: CollectionEntry) -> dict[int, object]:
    if entry.is_folder:
        return {PATH_KEY: entry.path}
    fields: dict[int, object] = {PATH_KEY: entry.path, SIZE_KEY: entry.size, HASH_KEY: entry.content_hash}
    if entry.executable:
        fields[EXECUTABLE_KEY] = True
    return fields


def read_collection(reader: Reader, keys: Iterator[int]) -> CollectionDescriptor:
    """The rest of a collection's descriptor, behind its kind. Raises MalformedError."""
    entries = None
    for key in keys:
        if key == ENTRIES_KEY:
            count = reader.array_length(MAX_COLLECTION_ENTRIES)
            starts = array("I", (reader.position,))
            for _ in range(count):
                reader.small_map(MAX_ENTRY_BYTES)
                starts.append(reader.position)
            entries = PackedEntries(reader.document, starts)
        else:
            pass_unknown(reader, key)
    if entries is None:
        raise MalformedError("The descriptor of a collection lacks its entries.")
    if len(reader.document) > KEPT_WHOLE_BYTES:
        return CollectionDescriptor(entries, reader.document)
    return CollectionDescriptor(tuple(entries))


class PackedEntries(Sequence[CollectionEntry]):
    """Entries as they stand in a descriptor, each decoded, and checked, whenever it is looked at."""

    def __init__(self, raw: bytes, starts: array[int]) -> None:
        """Entry i is canonical MessagePack from `starts[i]` of `raw` to `starts[i + 1]`."""
        self._raw = raw
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> CollectionEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CollectionEntry]: ...
    def __getitem__(self, index: int | slice) -> CollectionEntry | Sequence[CollectionEntry]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return _entry(msgpack.unpackb(self._raw[self._starts[number] : self._starts[number + 1]], strict_map_key=False))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))


@dataclass(frozen=True, slots=True)
class _Paths:
    """The paths of entries, without a list of them."""

    entries: Sequence[CollectionEntry]

    def __iter__(self) -> Iterator[str]:
        return (entry.path for entry in self.entries)


def _entry(fields: Mapping[int, object]) -> CollectionEntry:
    known = len(fields)
    if not fields.keys() <= _ENTRY_KEYS:
        unknown = fields.keys() - _ENTRY_KEYS
        if any(key % 2 == 0 for key in unknown):
            refuse_newer()
        known -= len(unknown)
    path, size, content_hash = fields.get(PATH_KEY), fields.get(SIZE_KEY), fields.get(HASH_KEY)
    executable = fields.get(EXECUTABLE_KEY) is True  # false is said by absence: one encoding for one entry
    if type(path) is str and type(size) is int and type(content_hash) is bytes and known == 3 + executable:
        return CollectionEntry(path, size, content_hash, executable)
    if type(path) is str and path.endswith("/") and known == 1:
        return CollectionEntry(path)
    raise MalformedError("An entry of a collection is neither a file nor an empty folder.")
