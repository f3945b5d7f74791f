"""What a Reader accepts, and that everything else is a MalformedError that cost next to nothing."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest

from dhtshare.content.canonical import MAX_DEPTH, MAX_KEY, Reader, encode
from dhtshare.errors import MalformedError


def read_map(raw: bytes) -> dict[int, bytes]:
    """A whole document of byte strings."""
    reader = Reader(raw)
    fields = {key: reader.scalar(bytes) for key in reader.map_keys()}
    reader.finish()
    return fields


def test_a_map_of_scalars() -> None:
    reader = Reader(encode({0: 1, 2: "two", 127: b"bytes"}))
    keys = reader.map_keys()
    assert next(keys) == 0
    assert reader.scalar(int) == 1
    assert next(keys) == 2
    assert reader.scalar(str) == "two"
    assert next(keys) == 127
    assert reader.scalar(bytes) == b"bytes"
    assert next(keys, None) is None
    reader.finish()


def test_values_can_be_skipped_without_being_built() -> None:
    reader = Reader(encode({1: [{0: [1, 2]}, "x"] * 100, 3: b"end"}))
    keys = reader.map_keys()
    next(keys)
    reader.skip()
    assert next(keys) == 3
    assert reader.scalar(bytes) == b"end"
    reader.finish()


def test_an_array_is_read_item_by_item() -> None:
    reader = Reader(encode([{0: "a"}, {0: "b", 3: [1]}]))
    assert reader.array_length(2) == 2
    assert reader.small_map(100) == {0: "a"}
    assert reader.small_map(100) == {0: "b", 3: [1]}
    reader.finish()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x82\x00\xc4\x01x", id="a map that ends early"),
        pytest.param(b"\x81\x00\xc4\x05x", id="a byte string that ends early"),
        pytest.param(b"\x81\x00\xc6\xff\xff\xff\xff", id="a byte string of 4 GiB"),
        pytest.param(b"\xde\x00\x01\x00\xc4\x01x", id="a map header longer than needed"),
        pytest.param(b"\x81\xcc\x00\xc4\x01x", id="a key longer than needed"),
        pytest.param(b"\x81\x00\xc5\x00\x01x", id="a byte string header longer than needed"),
        pytest.param(b"\x82\x02\xc4\x01x\x00\xc4\x01x", id="keys out of order"),
        pytest.param(b"\x82\x00\xc4\x01x\x00\xc4\x01y", id="a key twice"),
        pytest.param(b"\x81\xff\xc4\x01x", id="a negative key"),
        pytest.param(b"\x81\xcc\x80\xc4\x01x", id="a key over 127"),
        pytest.param(b"\x81\xa1a\xc4\x01x", id="a text as key"),
        pytest.param(b"\x81\x90\xc4\x01x", id="a list as key"),
        pytest.param(b"\x81\xc0\xc4\x01x", id="nil as key"),
        pytest.param(b"\x81\xc3\xc4\x01x", id="true as key"),
        pytest.param(b"\x81\x00\xa1x", id="a text where bytes are expected"),
        pytest.param(b"\x81\x00\x90", id="a list where bytes are expected"),
        pytest.param(b"\x81\x00\xc4\x01x\x00", id="a byte behind the end"),
        pytest.param(b"\xc1", id="the byte that MessagePack never uses"),
        pytest.param(b"\x91\x00", id="a list at the top"),
        pytest.param(b"\x81\x00" + b"\x91" * 2_000 + b"\x00", id="nested 2,000 deep"),
    ],
)
def test_malformed_maps(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        read_map(raw)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        pytest.param(int, b"\xc3", id="true is no integer"),
        pytest.param(int, b"\xca\x3f\x80\x00\x00", id="1.0 is no integer"),
        pytest.param(int, b"\xcd\x00\x01", id="1 in three bytes"),
        pytest.param(int, b"\xd1\x00\x80", id="128 as a signed integer"),
        pytest.param(str, b"\xd9\x01x", id="a text header longer than needed"),
        pytest.param(str, b"\xa2\xff\xfe", id="invalid UTF-8"),
        pytest.param(str, b"\xa3\xed\xa0\x80", id="a surrogate in UTF-8"),
        pytest.param(bytes, b"\xd4\x01x", id="an extension type"),
        pytest.param(bytes, b"\xd4\xffx", id="a timestamp of a wrong length"),
        pytest.param(bytes, b"\xc0", id="nil"),
    ],
)
def test_malformed_scalars(kind: type, raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Reader(raw).scalar(kind)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(encode([0]), id="no map"),
        pytest.param(b"\xde\x00\x01\x00\x01", id="a header longer than needed"),
        pytest.param(b"\x81\x00\x81\xa1a\x01", id="a text as key inside"),
        pytest.param(b"\x81\x00\x82\x02\x01\x00\x01", id="keys out of order inside"),
        pytest.param(b"\x81\x00\xdc\x00\x01\x01", id="a list header longer than needed inside"),
        pytest.param(b"\x81\x00\xca\x3f\x80\x00\x00", id="a float of 4 bytes, which encodes as 8"),
        pytest.param(encode({0: [1] * 65}), id="a list of more than 64 items"),
        pytest.param(b"\x81\x00" + b"\x91" * 600 + b"\x00", id="nested 600 deep"),
        pytest.param(b"\x81\x00" + b"\x91" * MAX_DEPTH + b"\x00", id="nested one too deep"),
        pytest.param(b"\x81\x00" + b"\xdd\x00\x00\xff\xff" * 90, id="a promise of 65,535 items"),
    ],
)
def test_malformed_small_maps(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Reader(raw).small_map(1_000)


def test_nesting_up_to_the_limit_is_let_pass() -> None:
    raw = b"\x81\x01" + b"\x91" * (MAX_DEPTH - 1) + b"\x00"
    assert list(Reader(raw).small_map(len(raw))) == [1]


def test_limits_are_kept_to_the_item_and_the_byte() -> None:
    with pytest.raises(MalformedError, match="over the limit of 1"):
        Reader(encode([0, 0])).array_length(1)
    raw = encode({0: "x" * 20})
    assert Reader(raw).small_map(len(raw)) == {0: "x" * 20}
    with pytest.raises(MalformedError, match="over the limit"):
        Reader(raw).small_map(len(raw) - 1)
    assert MAX_KEY == 127


def test_list_headers_must_be_the_shortest() -> None:
    with pytest.raises(MalformedError):
        Reader(b"\xdc\x00\x01\x00").array_length(5)
    with pytest.raises(MalformedError):
        Reader(b"\xa1x").array_length(5)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"\xdd\x00\xff\xff\xff" * 1_000, id="nested promises of 16 million items"),
        pytest.param(b"\xdd\x00\x10\x00\x00" + b"\x90" * (1 << 20), id="a million empty lists"),
        pytest.param(b"\xdf\x00\x08\x00\x00" + b"\x00\x80" * (1 << 19), id="half a million empty maps"),
    ],
)
def test_no_input_costs_more_than_a_few_times_its_own_bytes(bomb: bytes) -> None:
    raw = b"\x81\x00" + bomb
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError):
            read_map(raw)
        with pytest.raises(MalformedError):
            Reader(raw).small_map(8_192)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(raw) + (1 << 20)


def test_encode_is_messagepack_in_its_shortest_form() -> None:
    value = {0: 1, 2: "file", 4: 1 << 20, 6: b"\0" * 32}
    assert encode(value) == msgpack.packb(value, use_bin_type=True)
    assert encode({0: 1}) == b"\x81\x00\x01"
