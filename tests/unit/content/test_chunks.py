"""Sizes with a reason each: nothing, one byte, one chunk and its neighbours, every step of the chunk size."""

from __future__ import annotations

import pytest

from dhtshare.content.chunks import (
    MAX_CHUNK_SIZE,
    MAX_CHUNKS_PER_FILE,
    MAX_FILE_SIZE,
    MIN_CHUNK_SIZE,
    chunk_count,
    chunk_length,
    chunk_size,
)
from dhtshare.errors import MalformedError

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, MIB),
        (1, MIB),
        (MIB, MIB),
        (64 * GIB, MIB),  # the last size with 1 MiB chunks
        (64 * GIB + 1, 2 * MIB),
        (128 * GIB, 2 * MIB),
        (128 * GIB + 1, 4 * MIB),
        (256 * GIB, 4 * MIB),
        (256 * GIB + 1, 8 * MIB),
        (512 * GIB, 8 * MIB),
        (512 * GIB + 1, 16 * MIB),
        (1024 * GIB, 16 * MIB),
    ],
)
def test_chunk_size_steps(size: int, length: int) -> None:
    assert chunk_size(size) == length


@pytest.mark.parametrize(
    ("size", "count"),
    [
        (0, 0),
        (1, 1),
        (MIB - 1, 1),
        (MIB, 1),
        (MIB + 1, 2),
        (10 * MIB, 10),
        (64 * GIB, 65_536),
        (64 * GIB + 1, 32_769),  # one byte more doubles the chunks' size
        (MAX_FILE_SIZE, 65_536),
    ],
)
def test_chunk_count(size: int, count: int) -> None:
    assert chunk_count(size) == count


def test_the_last_chunk_takes_what_is_left() -> None:
    assert [chunk_length(2 * MIB + 5, index) for index in range(3)] == [MIB, MIB, 5]
    assert chunk_length(MIB, 0) == MIB
    assert chunk_length(64 * GIB + 1, 32_768) == 1


@pytest.mark.parametrize(("size", "index"), [(0, 0), (1, 1), (MIB, 1), (MIB, -1), (2 * MIB + 5, 3)])
def test_no_chunk_outside_the_file(size: int, index: int) -> None:
    with pytest.raises(IndexError):
        chunk_length(size, index)


@pytest.mark.parametrize("function", [chunk_size, chunk_count])
def test_impossible_sizes_are_refused(function: object) -> None:
    assert callable(function)
    with pytest.raises(MalformedError, match="1 TiB"):
        function(MAX_FILE_SIZE + 1)
    with pytest.raises(MalformedError, match="-1 bytes"):
        function(-1)


def test_the_limits_belong_together() -> None:
    assert MAX_FILE_SIZE == 1 << 40
    assert MAX_CHUNK_SIZE * MAX_CHUNKS_PER_FILE == MAX_FILE_SIZE
    assert MIN_CHUNK_SIZE == MIB
