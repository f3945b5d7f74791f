"""How a file is cut into chunks: a pure function of its size, never an option.

That is what makes the same bytes have the same content hash everywhere. Never touches a file.
"""

from __future__ import annotations

from dhtshare.errors import MalformedError

MIN_CHUNK_SIZE = 1 << 20
"""1 MiB: 256 KiB costs a quarter of the throughput, 4 MiB gains nothing (measured on loopback)."""

MAX_CHUNK_SIZE = 16 << 20
"""16 MiB: what a fetcher may have to hold in memory, unverified, for one chunk."""

MAX_CHUNKS_PER_FILE = 65_536
"""Keeps a file's descriptor at or below 2 MiB."""

MAX_FILE_SIZE = MAX_CHUNK_SIZE * MAX_CHUNKS_PER_FILE
"""1 TiB, what the two limits above allow."""


def check_file_size(size: int) -> None:
    """Raises MalformedError for a size that no content can have: negative, or over MAX_FILE_SIZE."""
    if size < 0:
        raise MalformedError(f"A file cannot have {size} bytes.")
    if size > MAX_FILE_SIZE:
        raise MalformedError(f"A file of {size} bytes is over the limit of 1 TiB; split it and share the parts.")


def chunk_size(size: int) -> int:
    """Bytes of every chunk but the last, for a file of `size` bytes.

    1 MiB up to 64 GiB, above that the smallest power of two that keeps the file at MAX_CHUNKS_PER_FILE chunks.
    Raises MalformedError as check_file_size does.
    """
    check_file_size(size)
    length = MIN_CHUNK_SIZE
    while length * MAX_CHUNKS_PER_FILE < size:
        length *= 2
    return length


def chunk_count(size: int) -> int:
    """How many chunks a file of `size` bytes has; none when it is empty."""
    length = chunk_size(size)
    return (size + length - 1) // length


def chunk_length(size: int, index: int) -> int:
    """Bytes of chunk `index` (from 0) of a file of `size` bytes. Raises IndexError outside the file."""
    length = chunk_size(size)
    offset = index * length
    if index < 0 or offset >= size:
        raise IndexError(f"chunk {index} of a file of {size} bytes")
    return min(length, size - offset)
