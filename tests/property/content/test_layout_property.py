from __future__ import annotations

import contextlib
import fnmatch
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dhtshare.content.chunks import chunk_count, chunk_length
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor
from dhtshare.content.globs import compile_globs
from dhtshare.content.hasher import hash_file
from dhtshare.content.layout import Layout
from dhtshare.errors import UsageError

MIB = 1 << 20

# None is an empty folder; the others have no chunk, one or several.
members = st.lists(st.none() | st.sampled_from([0, 1, 100, MIB, MIB + 1, 3 * MIB, 5 * MIB + 9]), max_size=8)


def file_of(size: int) -> FileDescriptor:
    """A file of that size whose chunk i hashes to what `chunk_hash_of` says."""
    return FileDescriptor(size, b"".join(chunk_hash_of(size, index) for index in range(chunk_count(size))))


def chunk_hash_of(size: int, index: int) -> bytes:
    return blake3(f"{size} {index}".encode()).digest()


def collection_of(sizes: list[int | None]) -> CollectionDescriptor:
    return CollectionDescriptor.of(
        CollectionEntry(f"{number}/")
        if size is None
        else CollectionEntry(f"{number}", size, file_of(size).content_hash)
        for number, size in enumerate(sizes)
    )


@given(members)
def test_every_chunk_belongs_to_one_place_in_one_file(sizes: list[int | None]) -> None:
    layout = Layout.of(collection_of(sizes))
    expected = [
        (number, chunk, chunk * MIB, chunk_length(size, chunk))
        for number, size in enumerate(sizes)
        if size is not None
        for chunk in range(chunk_count(size))
    ]
    assert [layout.slot(index) for index in range(layout.chunk_count)] == expected
    assert layout.size == sum(size or 0 for size in sizes) == sum(length for *_, length in expected)
    covered = [index for number in range(len(sizes)) for index in layout.chunks_of_file(number)]
    assert covered == list(range(layout.chunk_count))


@given(members, st.data())
def test_a_run_is_as_long_as_its_chunks_and_in_one_file_or_not(sizes: list[int | None], data: st.DataObject) -> None:
    layout = Layout.of(collection_of(sizes))
    if not layout.chunk_count:
        return
    first = data.draw(st.integers(0, layout.chunk_count - 1))
    count = data.draw(st.integers(1, layout.chunk_count - first))
    slots = [layout.slot(index) for index in range(first, first + count)]
    assert layout.run(first, count) == (sum(slot.length for slot in slots), len({slot.file for slot in slots}) == 1)
    with pytest.raises(IndexError):
        layout.run(first, layout.chunk_count - first + 1)


@given(members)
def test_a_chunk_hash_fits_only_where_it_belongs(sizes: list[int | None]) -> None:
    layout = Layout.of(collection_of(sizes))
    for number, size in enumerate(sizes):
        if size is not None and layout.needs_descriptor(number):
            layout.set_descriptor(number, file_of(size).encode())
    for index in range(layout.chunk_count):
        number, chunk, *_ = layout.slot(index)
        right = chunk_hash_of(layout.files[number].size, chunk)
        assert layout.matches(number, chunk, right)
        assert not layout.matches(number, chunk, bytes([right[0] ^ 1]) + right[1:])


@given(st.text("ab*?[]!.-&|~^", max_size=8), st.text("ab.-!]^", min_size=1, max_size=5))
@example("[]*?", "a")
@example("[!]", "!")
@example("[a--b]", "a")
def test_inside_one_name_globs_are_those_of_fnmatch(glob: str, name: str) -> None:
    with contextlib.suppress(UsageError):
        assert bool(compile_globs([glob]).fullmatch(name)) == fnmatch.fnmatchcase(name, glob)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_glob_is_read_or_the_users_mistake(glob: str, path: str) -> None:
    try:
        compile_globs([glob]).fullmatch(path)
    except UsageError as mistake:
        assert str(mistake).isprintable()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10 * MIB), st.integers(1, 4))
def test_what_the_hasher_says_every_chunk_proves(tmp_path: Path, size: int, threads: int) -> None:
    data = blake3(size.to_bytes(4)).digest(length=size)
    (tmp_path / "file").write_bytes(data)
    layout = Layout.of(hash_file(tmp_path / "file", threads=threads))
    view = memoryview(data)
    for index in range(layout.chunk_count):
        _, _, offset, length = layout.slot(index)
        assert layout.verify(index, view[offset : offset + length])
        if length > 1:
            assert not layout.verify(index, view[offset + 1 : offset + length])
