"""Which chunks of a content somebody has: one bit a chunk.

Never knows what a chunk is. Bit i is bit i % 8 (least significant first) of byte i // 8, so the bytes are
also the little-endian integer whose bit i is set, which is how whole sets are compared at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dhtshare.errors import MalformedError


class Bitfield:
    """A set of chunk indices below `length`. Invariant: no bit at or beyond `length` is ever set."""

    __slots__ = ("_bits", "_count", "length")

    def __init__(self, length: int, chunks: Iterable[int] = ()) -> None:
        self.length = length
        self._bits = bytearray((length + 7) // 8)
        self._count = 0
        for chunk in chunks:
            self.add(chunk)

    @classmethod
    def full(cls, length: int) -> Bitfield:
        """All chunks."""
        field = cls(length)
        field._bits[:] = ((1 << length) - 1).to_bytes(len(field._bits), "little")
        field._count = length
        return field

    @classmethod
    def from_bytes(cls, length: int, raw: bytes | bytearray | memoryview) -> Bitfield:
        """The field whose bytes these are. Raises MalformedError for a wrong length or a bit beyond `length`."""
        field = cls(length)
        bits = int.from_bytes(raw, "little")
        if len(raw) != len(field._bits) or bits >> length:
            raise MalformedError(f"{len(raw)} bytes are no bitfield of {length} chunks.")
        field._bits[:] = raw
        field._count = bits.bit_count()
        return field

    def add(self, chunk: int) -> bool:
        """Set one bit; whether it was new. Raises IndexError outside 0 … length - 1."""
        if not 0 <= chunk < self.length:
            raise IndexError(chunk)
        byte, mask = chunk >> 3, 1 << (chunk & 7)
        if self._bits[byte] & mask:
            return False
        self._bits[byte] |= mask
        self._count += 1
        return True

    def discard(self, chunk: int) -> None:
        """Clear one bit."""
        if chunk in self:
            self._bits[chunk >> 3] &= ~(1 << (chunk & 7))
            self._count -= 1

    def __contains__(self, chunk: int) -> bool:
        return 0 <= chunk < self.length and bool(self._bits[chunk >> 3] & (1 << (chunk & 7)))

    def __len__(self) -> int:
        """How many bits are set (not how many there are: that is `length`)."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """The chunks that are set, in ascending order."""
        for number, byte in enumerate(self._bits):
            while byte:
                lowest = byte & -byte
                yield number * 8 + lowest.bit_length() - 1
                byte ^= lowest

    def iter_missing(self) -> Iterator[int]:
        """The chunks that are not set, in ascending order; eight that are cost one step."""
        for number, byte in enumerate(self._bits):
            clear = ~byte & 0xFF
            while clear:
                lowest = clear & -clear
                chunk = number * 8 + lowest.bit_length() - 1
                if chunk >= self.length:
                    return
                yield chunk
                clear ^= lowest

    def byte_of(self, chunk: int) -> tuple[int, int]:
        """Which byte of `to_bytes` holds this chunk's bit, and that byte's value: what a file notes of a change."""
        if not 0 <= chunk < self.length:
            raise IndexError(chunk)
        return chunk >> 3, self._bits[chunk >> 3]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bitfield) and self.length == other.length and self._bits == other._bits

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Bitfield {self._count} of {self.length}>"

    @property
    def complete(self) -> bool:
        """Whether every bit is set."""
        return self._count == self.length

    def to_bytes(self) -> bytes:
        """The field as it travels."""
        return bytes(self._bits)

    def to_int(self) -> int:
        """The field as an integer whose bit i says whether chunk i is set."""
        return int.from_bytes(self._bits, "little")
