from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import pytest
from blake3 import blake3

from dhtshare.content.canonical import encode
from dhtshare.content.descriptor import (
    EMPTY_FILE_HASH,
    CollectionDescriptor,
    CollectionEntry,
    FileDescriptor,
)
from dhtshare.content.layout import ChunkSlot, FileSlot, Layout
from dhtshare.errors import IntegrityError, LocalProtocolError, MalformedError

MIB = 1 << 20
SMALL = b"small"
BIG = b"b" * MIB + b"i" * MIB + b"g"


def descriptor_of(data: bytes) -> FileDescriptor:
    chunks = [data[start : start + MIB] for start in range(0, len(data), MIB)]
    return FileDescriptor(len(data), b"".join(blake3(chunk).digest() for chunk in chunks))


def entry(path: str, data: bytes, *, executable: bool = False) -> CollectionEntry:
    return CollectionEntry(path, len(data), descriptor_of(data).content_hash, executable)


@pytest.fixture
def collection() -> CollectionDescriptor:
    """Files without chunks before, between and behind those that have some."""
    return CollectionDescriptor.of(
        [
            CollectionEntry("a-empty-folder/"),
            entry("b-empty", b""),
            entry("c-big", BIG),
            entry("d-empty", b""),
            entry("e-small", SMALL, executable=True),
            CollectionEntry("f/deep/empty/"),
        ]
    )


def test_a_file_is_one_slot() -> None:
    descriptor = descriptor_of(BIG)
    layout = Layout.of(descriptor)
    assert layout.content_hash == descriptor.content_hash
    assert list(layout.files) == [FileSlot("", len(BIG), descriptor.content_hash, False, 0, 3)]
    assert (layout.chunk_count, layout.size) == (3, 2 * MIB + 1)
    assert layout.slot(0) == ChunkSlot(0, 0, 0, MIB)
    assert layout.slot(2) == ChunkSlot(0, 2, 2 * MIB, 1)
    assert layout.chunks_of_file(0) == range(3)
    assert not layout.needs_descriptor(0)
    assert layout.descriptor_of(0) == descriptor


def test_the_chunks_of_a_file() -> None:
    layout = Layout.of(descriptor_of(BIG))
    assert layout.verify(0, b"b" * MIB)
    assert layout.verify(1, bytearray(b"i" * MIB))
    assert layout.verify(2, memoryview(b"g"))
    assert not layout.verify(0, b"i" * MIB)
    assert not layout.verify(0, b"b" * (MIB - 1))
    assert not layout.verify(2, b"")
    assert layout.matches(0, 1, blake3(b"i" * MIB).digest())


def test_an_empty_file_has_nothing_to_fetch() -> None:
    layout = Layout.of(FileDescriptor(0, b""))
    assert (layout.chunk_count, layout.size, len(layout.files)) == (0, 0, 1)
    assert layout.chunks_of_file(0) == range(0)


def test_a_collection_is_one_list_of_chunks(collection: CollectionDescriptor) -> None:
    layout = Layout.of(collection)
    assert (layout.chunk_count, layout.size) == (4, len(BIG) + len(SMALL))
    assert [(file.path, file.first_chunk, file.chunk_count, file.is_folder) for file in layout.files] == [
        ("a-empty-folder/", 0, 0, True),
        ("b-empty", 0, 0, False),
        ("c-big", 0, 3, False),
        ("d-empty", 3, 0, False),
        ("e-small", 3, 1, False),
        ("f/deep/empty/", 4, 0, True),
    ]
    assert [layout.slot(index)[:2] for index in range(4)] == [(2, 0), (2, 1), (2, 2), (4, 0)]
    assert layout.slot(3) == ChunkSlot(4, 0, 0, len(SMALL))
    assert layout.files[4].executable
    assert not layout.files[2].executable
    assert layout.chunks_of_file(4) == range(3, 4)
    assert layout.files[1].content_hash == EMPTY_FILE_HASH


@pytest.mark.parametrize("index", [-1, 4, 1 << 40])
def test_no_chunk_outside(collection: CollectionDescriptor, index: int) -> None:
    with pytest.raises(IndexError):
        Layout.of(collection).slot(index)


def test_remembered_slots_are_the_same_and_keep_no_layout(collection: CollectionDescriptor) -> None:
    layout, remembering = Layout.of(collection), Layout.of(collection)
    remembering.remember_slots()
    for _ in range(2):
        assert [remembering.slot(i) for i in range(layout.chunk_count)] == [
            layout.slot(i) for i in range(layout.chunk_count)
        ]
    with pytest.raises(IndexError):
        remembering.slot(layout.chunk_count)
    alive = weakref.ref(remembering)
    gc.disable()
    try:
        del remembering
        assert alive() is None
    finally:
        gc.enable()


def test_a_layout_that_a_seed_keeps_is_small() -> None:
    """It keeps one of each content that it was asked for lately: tens of thousands, where these are small files."""
    descriptors = [FileDescriptor(1000, number.to_bytes(32, "big")) for number in range(1000)]
    tracemalloc.start()
    try:
        layouts = [Layout.of(descriptor) for descriptor in descriptors]
        for layout in layouts:
            layout.slot(0)
        assert tracemalloc.get_traced_memory()[0] / len(layouts) < 1300
    finally:
        tracemalloc.stop()


def test_a_member_of_one_chunk_is_verified_without_its_descriptor(collection: CollectionDescriptor) -> None:
    layout = Layout.of(collection)
    assert not layout.needs_descriptor(4)
    assert layout.verify(3, SMALL)
    assert not layout.verify(3, b"smalL")
    assert not layout.verify(3, b"small ")


def test_a_member_of_several_chunks_needs_its_descriptor(collection: CollectionDescriptor) -> None:
    layout = Layout.of(collection)
    assert layout.needs_descriptor(2)
    assert layout.descriptor_of(2) is None
    with pytest.raises(LocalProtocolError, match="c-big"):
        layout.verify(0, b"b" * MIB)
    layout.set_descriptor(2, descriptor_of(BIG).encode())
    assert not layout.needs_descriptor(2)
    assert layout.descriptor_of(2) == descriptor_of(BIG)
    assert layout.verify(0, b"b" * MIB)
    assert not layout.verify(1, b"b" * MIB)


def test_files_without_chunks_need_nothing(collection: CollectionDescriptor) -> None:
    layout = Layout.of(collection)
    assert [number for number in range(6) if layout.needs_descriptor(number)] == [2]


@pytest.mark.parametrize("raw", [b"", b"garbage", descriptor_of(SMALL).encode(), descriptor_of(BIG).encode()[:-1]])
def test_the_descriptor_of_another_content_is_refused(collection: CollectionDescriptor, raw: bytes) -> None:
    layout = Layout.of(collection)
    with pytest.raises(IntegrityError, match="c-big"):
        layout.set_descriptor(2, raw)
    assert layout.needs_descriptor(2)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(descriptor_of(BIG).encode(), id="another size than the entry claims"),
        pytest.param(CollectionDescriptor(()).encode(), id="a collection"),
        pytest.param(b"garbage", id="no descriptor at all"),
        pytest.param(encode({0: 1, 2: "file", 4: 2 * MIB, 6: b"x"}), id="too few hashes"),
    ],
)
def test_a_publisher_that_contradicts_itself(raw: bytes) -> None:
    liar = CollectionDescriptor((CollectionEntry("x", 3 * MIB, blake3(raw).digest()),))
    with pytest.raises(MalformedError):
        Layout.of(liar).set_descriptor(0, raw)


@pytest.mark.parametrize(
    ("globs", "numbers"),
    [
        (["*"], {1, 2, 3, 4, 0}),
        (["c-big"], {2}),
        (["*-empty", "f"], {1, 3, 5}),
        (["f/deep"], {5}),
        (["a-empty-folder/"], {0}),
        (["f/*"], set()),
        (["f/*/*"], {5}),
        (["**"], {0, 1, 2, 3, 4, 5}),
        (["nothing"], set()),
        ([], set()),
    ],
)
def test_selecting_files_and_empty_folders(
    collection: CollectionDescriptor, globs: list[str], numbers: set[int]
) -> None:
    assert Layout.of(collection).select(globs) == numbers


def test_a_huge_collection_stays_small_in_memory() -> None:
    hashes = [blake3(bytes([number])).digest() for number in range(256)]
    entries = tuple(CollectionEntry(f"{n // 1000:03}/{n:06}", 4_096, hashes[n % 256]) for n in range(100_000))
    descriptor = CollectionDescriptor(entries)
    layout = Layout.of(descriptor)
    slots = sys.getsizeof(layout.files) + sum(map(sys.getsizeof, layout.files))
    assert slots < 16 << 20
    assert layout.slot(99_999).file == 99_999
    assert len(layout.select(["0*/*7"])) == 10_000


def test_a_file_of_65_536_chunks_is_addressed_directly() -> None:
    layout = Layout.of(FileDescriptor(64 << 30, bytes(65_536 * 32)))
    assert layout.slot(65_535) == ChunkSlot(0, 65_535, 65_535 * MIB, MIB)
