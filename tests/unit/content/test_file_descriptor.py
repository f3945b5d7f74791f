from __future__ import annotations

import pytest
from blake3 import blake3

from dhtshare.content.canonical import encode
from dhtshare.content.chunks import MAX_FILE_SIZE
from dhtshare.content.descriptor import (
    EMPTY_FILE_HASH,
    MAX_DESCRIPTOR_BYTES,
    FileDescriptor,
    Kind,
    content_hash,
    decode,
    single_chunk_content_hash,
)
from dhtshare.errors import MalformedError

MIB = 1 << 20
ONE, TWO = blake3(b"one").digest(), blake3(b"two").digest()


def test_a_file_of_two_chunks() -> None:
    descriptor = FileDescriptor(MIB + 1, ONE + TWO)
    assert descriptor.chunk_count == 2
    assert descriptor.chunk_hash(0) == ONE
    assert descriptor.chunk_hash(1) == TWO
    assert descriptor.kind is Kind.FILE
    assert descriptor.encode() == encode({0: 1, 2: "file", 4: MIB + 1, 6: ONE + TWO})
    assert descriptor.content_hash == blake3(descriptor.encode()).digest() == content_hash(descriptor.encode())
    assert decode(descriptor.encode()) == descriptor
    assert decode(descriptor.encode()).received is None


@pytest.mark.parametrize("index", [-1, 2, 100])
def test_no_chunk_hash_outside_the_file(index: int) -> None:
    with pytest.raises(IndexError):
        FileDescriptor(MIB + 1, ONE + TWO).chunk_hash(index)


def test_an_empty_file_has_no_chunks_and_a_hash() -> None:
    empty = FileDescriptor(0, b"")
    assert empty.chunk_count == 0
    assert empty.content_hash == EMPTY_FILE_HASH
    assert decode(empty.encode()) == empty


def test_a_file_of_one_chunk_needs_no_descriptor_of_others() -> None:
    data = b"some bytes"
    rebuilt = single_chunk_content_hash(len(data), blake3(data).digest())
    assert rebuilt == FileDescriptor(len(data), blake3(data).digest()).content_hash
    with pytest.raises(MalformedError):
        single_chunk_content_hash(MIB + 1, ONE)


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(0, ONE), (1, b""), (1, ONE[:31]), (MIB, ONE + TWO), (MIB + 1, ONE), (-1, b""), (MAX_FILE_SIZE + 1, ONE)],
)
def test_size_and_hashes_must_fit(size: int, hashes: bytes) -> None:
    with pytest.raises(MalformedError):
        FileDescriptor(size, hashes)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing"),
        pytest.param({0: 1}, id="no kind"),
        pytest.param({2: "file", 4: 0, 6: b""}, id="no version"),
        pytest.param({0: 1, 2: "file", 6: b""}, id="no size"),
        pytest.param({0: 1, 2: "file", 4: 0}, id="no hashes"),
        pytest.param({0: 1, 2: b"file", 4: 0, 6: b""}, id="kind as bytes"),
        pytest.param({0: "1", 2: "file", 4: 0, 6: b""}, id="version as text"),
        pytest.param({0: 1, 2: "file", 4: "0", 6: b""}, id="size as text"),
        pytest.param({0: 1, 2: "file", 4: 0, 6: ""}, id="hashes as text"),
        pytest.param({0: 1, 2: "file", 4: True, 6: ONE}, id="size is true"),
        pytest.param({0: 1, 2: "file", 4: -1, 6: b""}, id="negative size"),
        pytest.param({0: 1, 2: "file", 4: 1 << 63, 6: b""}, id="size over the limit"),
        pytest.param({0: 1, 2: "file", 4: 1, 6: b""}, id="too few hashes"),
        pytest.param({0: 1, 2: "file", 4: 0, 6: ONE}, id="too many hashes"),
    ],
)
def test_descriptors_of_no_file(fields: dict[int, object]) -> None:
    with pytest.raises(MalformedError):
        decode(encode(fields))


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({0: 2, 2: "file", 4: 0, 6: b""}, id="version 2"),
        pytest.param({0: 0, 2: "file", 4: 0, 6: b""}, id="version 0"),
        pytest.param({0: 1, 2: "feed", 4: 0}, id="another kind"),
        pytest.param({0: 1, 2: "file", 4: 0, 6: b"", 8: []}, id="a collection's key in a file"),
        pytest.param({0: 1, 2: "file", 4: 0, 6: b"", 10: 1}, id="an unknown even key behind"),
    ],
)
def test_what_only_a_newer_version_understands(fields: dict[int, object]) -> None:
    with pytest.raises(MalformedError, match="newer version"):
        decode(encode(fields))


@pytest.mark.parametrize(
    "extra",
    [{1: "between version and kind"}, {3: [1, {0: None}]}, {127: 1.5}, {1: b"", 5: True, 7: {1: {1: {}}}}],
)
def test_unknown_odd_keys_are_ignored_and_kept(extra: dict[int, object]) -> None:
    raw = encode(dict(sorted({0: 1, 2: "file", 4: 3, 6: ONE, **extra}.items())))
    descriptor = decode(raw)
    assert descriptor == FileDescriptor(3, ONE)
    assert descriptor.encode() == raw
    assert descriptor.content_hash == blake3(raw).digest() != FileDescriptor(3, ONE).content_hash


def test_there_is_one_encoding_only() -> None:
    raw = FileDescriptor(3, ONE).encode()
    for longer in (
        raw.replace(b"\xa4file", b"\xd9\x04file"),
        raw.replace(b"\x04\x03", b"\x04\xcc\x03"),
        raw.replace(b"\xc4\x20", b"\xc5\x00\x20"),
        b"\xde\x00\x04" + raw[1:],
        raw + b"\x00",
        raw[:-1],
    ):
        assert longer != raw
        with pytest.raises(MalformedError):
            decode(longer)


def test_a_descriptor_over_16_mib_is_not_even_looked_at() -> None:
    with pytest.raises(MalformedError, match="at most"):
        decode(b"\0" * (MAX_DESCRIPTOR_BYTES + 1))


def test_the_largest_file_has_a_descriptor_of_two_mebibytes() -> None:
    raw = FileDescriptor(MAX_FILE_SIZE, bytes(65_536 * 32)).encode()
    assert 2 * MIB < len(raw) < 2 * MIB + 100
    assert decode(raw).content_hash == blake3(raw).digest()
