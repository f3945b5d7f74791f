"""Canonical MessagePack: one encoding for one value, so that one content has one hash.

Canonical means: every header, integer and string in its shortest form, and every map with small integer
keys in ascending order. A `Reader` walks a document and builds only what it is asked for, so that no input
costs more memory than a small multiple of its own bytes. msgpack fails in several ways (ValueError,
UnicodeDecodeError, TypeError for keys that cannot be hashed, and its own UnpackException): this module turns
all of them into MalformedError, and no other module of this folder has to know of them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgpack

from dhtshare.errors import MalformedError

MAX_KEY = 127
"""Keys are one byte on the wire."""

MAX_NESTED_ITEMS = 64
"""Items of any one container inside a `small_map`; bounds what its headers can make the decoder allocate."""

MAX_DEPTH = 32
"""Containers inside each other in a `small_map`."""

_READ_BYTES = 64 << 10
MAX_PIECE_BYTES = 4 << 20
"""Of one integer, text or byte string, also of one that is skipped: twice the longest that this version knows."""

MAX_SCALAR_BYTES = 1_024
"""Of one integer, text or byte string with its header, unless the caller takes more."""

_T = TypeVar("_T", int, str, bytes)

_FAULTS = (ValueError, TypeError, msgpack.UnpackException)
_NO_MESSAGEPACK = "These bytes are no canonical MessagePack."


def encode(value: object) -> bytes:
    """The canonical bytes of `value`, whose maps must have been built in ascending order of their keys."""
    raw: bytes = msgpack.packb(value)
    return raw


class Reader:
    """Walks one document from its first byte to its last.

    Invariant: whatever a method returned was encoded canonically; what was skipped was only measured.
    Every method raises MalformedError and nothing else.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        # Fed piece by piece, for fed whole it would keep a copy.
        most = max(1, min(len(raw), MAX_PIECE_BYTES))
        self._unpacker = msgpack.Unpacker(
            io.BytesIO(raw), read_size=min(_READ_BYTES, most), max_buffer_size=most, strict_map_key=False
        )

    def map_keys(self) -> Iterator[int]:
        """Each key of the map that starts here; the caller reads or skips its value before asking for the next."""
        previous = -1
        for _ in range(self._length(self._unpacker.read_map_header, msgpack.Packer().pack_map_header)):
            key = self.scalar(int)
            if not previous < key <= MAX_KEY:
                raise MalformedError(f"Map key {key} is out of order or out of range.")
            previous = key
            yield key

    def array_length(self, limit: int) -> int:
        """Items of the array that starts here, at most `limit`; the caller then reads each."""
        length = self._length(self._unpacker.read_array_header, msgpack.Packer().pack_array_header)
        if length > limit:
            raise MalformedError(f"A list of {length} items is over the limit of {limit}.")
        return length

    @property
    def position(self) -> int:
        """How many bytes of the document were read."""
        at: int = self._unpacker.tell()
        return at

    @property
    def document(self) -> bytes:
        """All of it."""
        return self._raw

    def scalar(self, kind: type[_T], max_bytes: int = MAX_SCALAR_BYTES) -> _T:
        """The integer, text or byte string here. A value of another type, or of more bytes, is malformed."""
        raw = self._next(max_bytes)
        # A container of any size must not be built only to be refused, and its first byte gives it away.
        value = None if _opens_container(raw[0]) else _decode(raw)
        if type(value) is not kind:
            raise MalformedError(f"Expected {_NAMES[kind]}.")
        return value

    def small_map(self, max_bytes: int) -> dict[int, Any]:
        """The map here, whole, if it takes at most `max_bytes`. Its values may be of any type."""
        value = _decode(self._next(max_bytes))
        if type(value) is not dict:
            raise MalformedError("Expected a map.")
        return value

    def skip(self) -> None:
        """Passes over one value of any type without building it; of any size, in pieces of MAX_PIECE_BYTES."""
        try:
            self._unpacker.skip()
        except _FAULTS as fault:
            raise MalformedError(_NO_MESSAGEPACK) from fault

    def finish(self) -> None:
        """Call it at the end: bytes behind the document are malformed."""
        if self._unpacker.tell() != len(self._raw):
            raise MalformedError("There are bytes behind the end of the document.")

    def _next(self, max_bytes: int) -> bytes:
        start: int = self._unpacker.tell()
        self.skip()
        end: int = self._unpacker.tell()
        if end - start > max_bytes:
            raise MalformedError(f"A value of {end - start} bytes is over the limit of {max_bytes}.")
        return self._raw[start:end]

    def _length(self, read: Callable[[], int], pack: Callable[[int], bytes]) -> int:
        start: int = self._unpacker.tell()
        try:
            length = read()
        except _FAULTS as fault:
            raise MalformedError(_NO_MESSAGEPACK) from fault
        if self._raw[start : self._unpacker.tell()] != pack(length):
            raise MalformedError(_NO_MESSAGEPACK)
        return length


_NAMES: dict[type, str] = {int: "an integer", str: "a text", bytes: "a byte string"}


def _opens_container(first: int) -> bool:
    return 0x80 <= first <= 0x9F or 0xDC <= first <= 0xDF


def _ascending(pairs: list[tuple[object, object]]) -> dict[object, object]:
    previous = -1
    for key, _ in pairs:
        if type(key) is not int or not previous < key <= MAX_KEY:
            raise MalformedError("The keys of a map are not small integers in ascending order.")
        previous = key
    return dict(pairs)


def _decode(raw: bytes) -> object:
    try:
        value = msgpack.unpackb(
            raw,
            strict_map_key=False,
            object_pairs_hook=_ascending,
            max_array_len=MAX_NESTED_ITEMS,
            max_map_len=MAX_NESTED_ITEMS,
        )
        if msgpack.packb(value) != raw or _is_deeper(value, MAX_DEPTH):
            raise MalformedError(_NO_MESSAGEPACK)
    except _FAULTS as fault:
        raise MalformedError(_NO_MESSAGEPACK) from fault
    return value


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [item for outer in level if type(outer) in (list, dict) for item in _items(outer)]
        if not level:
            return False
    return True


def _items(container: Any) -> Iterable[object]:
    return container.values() if type(container) is dict else container
