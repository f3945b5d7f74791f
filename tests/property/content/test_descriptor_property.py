"""For whatever bytes: a descriptor that keeps its hash when passed on, or a MalformedError. Nothing else."""

from __future__ import annotations

from typing import Any

import msgpack
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from dhtshare.content.canonical import encode
from dhtshare.content.chunks import MAX_CHUNKS_PER_FILE, MAX_FILE_SIZE, chunk_count, chunk_length, chunk_size
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor, decode
from dhtshare.content.paths import check_relative_path, safe_name
from dhtshare.errors import MalformedError

MIB = 1 << 20
HASH = blake3(b"any").digest()


def in_order(fields: dict[int, Any]) -> dict[int, Any]:
    return dict(sorted(fields.items()))


small_sizes = st.integers(0, 5 * MIB)
all_sizes = st.integers(0, MAX_FILE_SIZE)
odd_keys = st.integers(0, 63).map(lambda number: 2 * number + 1)
any_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 127), inner, max_size=4).map(in_order),
    max_leaves=8,
)


@st.composite
def files(draw: st.DrawFn) -> FileDescriptor:
    size = draw(small_sizes)
    seed = draw(st.binary(max_size=4))
    return FileDescriptor(size, blake3(seed).digest(length=32 * chunk_count(size)) if size else b"")


@st.composite
def collections(draw: st.DrawFn) -> CollectionDescriptor:
    names = draw(st.lists(st.text(max_size=6).map(safe_name), max_size=6, unique_by=str.casefold))
    entries = [
        draw(
            st.sampled_from(
                [
                    CollectionEntry(f"{number}/{name}", number + 1, HASH, executable=bool(number % 2)),
                    CollectionEntry(f"{number} {name}/"),
                ]
            )
        )
        for number, name in enumerate(names)
    ]
    return CollectionDescriptor.of(entries)


@given(all_sizes)
@example(64 << 30)
@example((64 << 30) + 1)
@example(MAX_FILE_SIZE)
def test_chunks_cover_a_file_exactly(size: int) -> None:
    count, length = chunk_count(size), chunk_size(size)
    assert count <= MAX_CHUNKS_PER_FILE
    assert length & (length - 1) == 0
    assert MIB <= length <= 16 * MIB
    assert length == MIB or size > length // 2 * MAX_CHUNKS_PER_FILE, "a smaller chunk would have done"
    if size:
        assert (count - 1) * length + chunk_length(size, count - 1) == size
        assert 0 < chunk_length(size, count - 1) <= length
        assert count == 1 or chunk_length(size, 0) == length


@given(files() | collections())
def test_what_is_encoded_is_decoded(descriptor: FileDescriptor | CollectionDescriptor) -> None:
    raw = descriptor.encode()
    again = decode(raw)
    assert again == descriptor
    assert again.received is None
    assert again.content_hash == descriptor.content_hash == blake3(raw).digest()


@given(files() | collections(), st.dictionaries(odd_keys, any_value, min_size=1, max_size=4))
def test_unknown_odd_keys_change_the_hash_and_nothing_else(
    descriptor: FileDescriptor | CollectionDescriptor, extra: dict[int, Any]
) -> None:
    fields = msgpack.unpackb(descriptor.encode(), strict_map_key=False)
    raw = encode(in_order(fields | extra))
    again = decode(raw)
    assert again == descriptor
    assert again.encode() == raw
    assert again.content_hash == blake3(raw).digest() != descriptor.content_hash


@given(files() | collections(), st.integers(5, 63).map(lambda number: 2 * number), any_value)
def test_an_unknown_even_key_refuses(
    descriptor: FileDescriptor | CollectionDescriptor, key: int, value: object
) -> None:
    fields = msgpack.unpackb(descriptor.encode(), strict_map_key=False)
    assert refuses(encode(in_order(fields | {key: value})))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x80")
@example(b"\xdf\xff\xff\xff\xff")
def test_any_bytes(raw: bytes) -> None:
    assert keeps_its_bytes_or_refuses(raw)


@given(st.dictionaries(st.integers(0, 12), any_value | st.lists(any_value, max_size=3), max_size=6))
def test_any_map(fields: dict[int, Any]) -> None:
    assert keeps_its_bytes_or_refuses(encode(in_order({0: 1, 2: "collection"} | fields)))


@given(files() | collections(), st.data())
def test_any_change_of_a_byte(descriptor: FileDescriptor | CollectionDescriptor, data: st.DataObject) -> None:
    raw = bytearray(descriptor.encode())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert keeps_its_bytes_or_refuses(bytes(raw))


@given(files() | collections(), st.data())
def test_any_cut_or_addition_refuses(descriptor: FileDescriptor | CollectionDescriptor, data: st.DataObject) -> None:
    raw = descriptor.encode()
    assert refuses(raw[: data.draw(st.integers(0, len(raw) - 1))])
    assert refuses(raw + data.draw(st.binary(min_size=1, max_size=9)))


def refuses(raw: bytes) -> bool:
    try:
        decode(raw)
    except MalformedError:
        return True
    return False


def keeps_its_bytes_or_refuses(raw: bytes) -> bool:
    try:
        descriptor = decode(raw)
    except MalformedError:
        return True
    if isinstance(descriptor, CollectionDescriptor):
        for entry in descriptor.entries:
            check_relative_path(entry.path)
    return descriptor.encode() == raw
