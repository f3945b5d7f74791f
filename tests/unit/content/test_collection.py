from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3

from dhtshare.content.canonical import encode
from dhtshare.content.chunks import MAX_FILE_SIZE
from dhtshare.content.collection import (
    KEPT_WHOLE_BYTES,
    MAX_COLLECTION_CHUNKS,
    MAX_COLLECTION_ENTRIES,
    PackedEntries,
)
from dhtshare.content.descriptor import (
    EMPTY_FILE_HASH,
    MAX_DESCRIPTOR_BYTES,
    CollectionDescriptor,
    CollectionEntry,
    Kind,
    decode,
)
from dhtshare.content.layout import Layout
from dhtshare.errors import MalformedError

HASH = blake3(b"any").digest()


def collection(*entries: dict[int, Any]) -> bytes:
    return encode({0: 1, 2: "collection", 8: list(entries)})


def test_entries_are_sorted_by_their_bytes() -> None:
    made = CollectionDescriptor.of(
        [
            CollectionEntry("é", 1, HASH),
            CollectionEntry("a/b", 1, HASH, executable=True),
            CollectionEntry("a-b", 0, EMPTY_FILE_HASH),
            CollectionEntry("empty/"),
            CollectionEntry("Z", 2, HASH),
        ]
    )
    assert [entry.path for entry in made.entries] == ["Z", "a-b", "a/b", "empty/", "é"]
    assert made.size == 4
    assert made.kind is Kind.COLLECTION
    assert made.encode() == collection(
        {0: "Z", 2: 2, 4: HASH},
        {0: "a-b", 2: 0, 4: EMPTY_FILE_HASH},
        {0: "a/b", 2: 1, 4: HASH, 6: True},
        {0: "empty/"},
        {0: "é", 2: 1, 4: HASH},
    )
    assert made.content_hash == blake3(made.encode()).digest()
    assert decode(made.encode()) == made
    assert decode(made.encode()).received is None


def test_a_collection_of_nothing_is_harmless() -> None:
    assert decode(collection()) == CollectionDescriptor(())


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({}, id="nothing"),
        pytest.param({0: "a"}, id="a file without size and hash"),
        pytest.param({0: "a", 2: 1}, id="no hash"),
        pytest.param({0: "a", 4: HASH}, id="no size"),
        pytest.param({2: 1, 4: HASH}, id="no path"),
        pytest.param({0: b"a", 2: 1, 4: HASH}, id="path as bytes"),
        pytest.param({0: "a", 2: "1", 4: HASH}, id="size as text"),
        pytest.param({0: "a", 2: True, 4: HASH}, id="size is true"),
        pytest.param({0: "a", 2: -1, 4: HASH}, id="negative size"),
        pytest.param({0: "a", 2: MAX_FILE_SIZE + 1, 4: HASH}, id="size over the limit"),
        pytest.param({0: "a", 2: 1, 4: HASH[:31]}, id="a short hash"),
        pytest.param({0: "a", 2: 1, 4: "x" * 32}, id="hash as text"),
        pytest.param({0: "a", 2: 0, 4: HASH}, id="an empty file with another hash than that of an empty file"),
        pytest.param({0: "a", 2: 1, 4: EMPTY_FILE_HASH}, id="the hash of an empty file, and bytes"),
        pytest.param({0: "a", 2: 1, 4: HASH, 6: False}, id="false is said by absence"),
        pytest.param({0: "a", 2: 1, 4: HASH, 6: 1}, id="1 is not true"),
        pytest.param({0: "a", 2: 1, 4: HASH, 6: None}, id="executable is nil"),
        pytest.param({0: "a/", 2: 1, 4: HASH}, id="a folder with bytes"),
        pytest.param({0: "a/", 2: 0}, id="a folder with a size"),
        pytest.param({0: "a/", 2: None}, id="a folder with a size of nil"),
        pytest.param({0: "a/", 6: True}, id="an executable folder"),
        pytest.param({0: "../a", 2: 1, 4: HASH}, id="an unsafe path"),
        pytest.param({0: "/"}, id="the root as an empty folder"),
        pytest.param({0: "a" * 3_000, 2: 1, 4: HASH}, id="a path over the limit"),
    ],
)
def test_malformed_entries(entry: dict[int, Any]) -> None:
    with pytest.raises(MalformedError):
        decode(collection(entry))


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(["b", "a"], id="out of order"),
        pytest.param(["a", "a"], id="twice"),
        pytest.param(["A", "a"], id="equal but for case"),
        pytest.param(["a", "a/b"], id="a file that is a folder"),
        pytest.param(["A", "a/b"], id="a file that is a folder but for case"),
        pytest.param(["A/x", "a/y"], id="two folders equal but for case"),
    ],
)
def test_entries_that_do_not_stand_side_by_side(paths: list[str]) -> None:
    with pytest.raises(MalformedError):
        decode(collection(*({0: path, 2: 1, 4: HASH} for path in paths)))


def test_an_empty_folder_that_is_not_empty() -> None:
    with pytest.raises(MalformedError):
        decode(collection({0: "a/"}, {0: "a/b", 2: 1, 4: HASH}))
    with pytest.raises(MalformedError):
        decode(collection({0: "a", 2: 1, 4: HASH}, {0: "a/"}))


def test_a_nested_collection_is_for_newer_versions() -> None:
    with pytest.raises(MalformedError, match="newer version"):
        decode(collection({0: "a", 4: HASH, 8: 1}))


def test_unknown_odd_keys_of_an_entry_are_ignored_and_kept() -> None:
    raw = collection({0: "a", 1: "mtime", 2: 1, 4: HASH, 9: {1: [2]}}, {0: "b/", 3: 1})
    descriptor = decode(raw)
    assert isinstance(descriptor, CollectionDescriptor)
    assert descriptor.entries == (CollectionEntry("a", 1, HASH), CollectionEntry("b/"))
    assert descriptor.encode() == raw
    assert descriptor.content_hash == blake3(raw).digest()


@pytest.mark.parametrize(
    "raw",
    [
        encode({0: 1, 2: "collection"}),
        encode({0: 1, 2: "collection", 8: {}}),
        encode({0: 1, 2: "collection", 8: "entries"}),
        encode({0: 1, 2: "collection", 8: [["a", 1, HASH]]}),
        collection({0: "a", 2: 1, 4: HASH})[:-1],
        collection({0: "a", 2: 1, 4: HASH}) + b"\xc0",
    ],
)
def test_malformed_collections(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        decode(raw)


def test_a_file_key_in_a_collection_is_for_newer_versions() -> None:
    with pytest.raises(MalformedError, match="newer version"):
        decode(encode({0: 1, 2: "collection", 4: 0, 8: []}))


def test_limits_advise_sub_folders() -> None:
    entry = CollectionEntry("a", 1, HASH)
    with pytest.raises(MalformedError, match="sub-folders"):
        CollectionDescriptor((entry,) * (MAX_COLLECTION_ENTRIES + 1))
    huge = [CollectionEntry(f"{n:03}", MAX_FILE_SIZE, HASH) for n in range(MAX_COLLECTION_CHUNKS // 65_536 + 1)]
    assert CollectionDescriptor.of(huge[:-1]).size == 64 * MAX_FILE_SIZE
    with pytest.raises(MalformedError, match="sub-folders"):
        CollectionDescriptor.of(huge)


def test_a_list_of_too_many_entries_is_refused_before_it_is_read() -> None:
    claim = encode({0: 1, 2: "collection"})[1:] + b"\x08\xdd\x00\x10\x00\x00"
    with pytest.raises(MalformedError, match="over the limit"):
        decode(b"\x83" + claim + b"\x80" * 1_000)


def test_a_collection_over_16_mib_is_refused_when_it_is_made() -> None:
    long = "/".join(["x" * 200] * 9)
    entries = tuple(CollectionEntry(f"{n:05}/{long}", 1, HASH) for n in range(9_200))
    made = CollectionDescriptor(entries)
    with pytest.raises(MalformedError, match=str(MAX_DESCRIPTOR_BYTES)):
        made.encode()


def test_a_long_collection_stays_bytes_and_says_the_same() -> None:
    entries = [CollectionEntry(f"folder {number // 100}/{number:06}" + "x" * 150, 1, HASH) for number in range(12_000)]
    made = CollectionDescriptor.of([*entries, CollectionEntry("empty/")])
    raw = made.encode()
    assert len(raw) > KEPT_WHOLE_BYTES
    read = decode(raw)
    assert isinstance(read, CollectionDescriptor)
    assert isinstance(read.entries, PackedEntries)
    assert read == made
    assert hash(read) == hash(made)
    assert read.encode() is raw
    assert read.content_hash == made.content_hash
    assert read.entries[-1] == made.entries[-1]
    assert read.entries[5:7] == list(made.entries[5:7])
    assert list(Layout.of(read).files) == list(Layout.of(made).files)
    with pytest.raises(IndexError):
        read.entries[len(made.entries)]


@pytest.mark.parametrize("bad", ["../x", "FOLDER 0/000001", "folder 0"])
def test_a_long_collection_is_checked_as_any_other(bad: str) -> None:
    paths = sorted([*(f"folder {number // 100}/{number:06}" + "x" * 150 for number in range(12_000)), bad])
    raw = encode({0: 1, 2: "collection", 8: [{0: path, 2: 1, 4: HASH} for path in paths]})
    with pytest.raises(MalformedError, match="not safe" if ".." in bad else "side by side"):
        decode(raw)
