"""Frames: what is sent is what is read, what is wrong is the peer's fault, and payloads are not copied."""

from __future__ import annotations

import msgpack
import pytest

from dhtshare.errors import RemoteProtocolError
from dhtshare.transfer.codec import STAGING_BYTES, Frame, FrameReader, Unknown, decode_header, encode
from dhtshare.transfer.messages import (
    KINDS,
    MAX_CHUNKS,
    MAX_HEADER_BYTES,
    MAX_MEMBERS,
    MAX_NAME_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RUN_BYTES,
    MAX_RUNS,
    PREFIX_BYTES,
    Ask,
    Data,
    Get,
    GetMembers,
    Has,
    Have,
    Hello,
    Members,
    Message,
    Ping,
    Refused,
)

CONTENT = bytes(range(32))


def feed(reader: FrameReader, stream: bytes) -> list[Frame]:
    """All at once, as far as its buffers go."""
    frames: list[Frame] = []
    while stream:
        buffer = reader.get_buffer()
        count = min(len(buffer), len(stream))
        buffer[:count] = stream[:count]
        stream = stream[count:]
        frames += reader.advance(count)
    return frames


def frame(fields: object, payload: bytes = b"") -> bytes:
    header = msgpack.packb(fields)
    return len(header).to_bytes(4, "big") + len(payload).to_bytes(4, "big") + header + payload


def skip(message: Message, length: int) -> None:
    return None


def test_a_payload_is_received_into_the_buffer_that_was_named() -> None:
    target = bytearray(100_000)
    reader = FrameReader(lambda message, length: memoryview(target)[:length])
    payload = bytes(range(256)) * 300
    (got,) = feed(reader, encode(Data(7), len(payload)) + payload)
    assert got.message == Data(7)
    assert bytes(target[: len(payload)]) == payload
    assert got.payload is not None
    assert got.payload.obj is target


def test_the_rest_of_a_payload_bypasses_the_staging_buffer() -> None:
    target = bytearray(MAX_PAYLOAD_BYTES)
    reader = FrameReader(lambda message, length: memoryview(target))
    head = encode(Data(1), MAX_PAYLOAD_BYTES)
    reader.get_buffer()[: len(head)] = head
    assert reader.advance(len(head)) == []
    assert len(reader.get_buffer()) == MAX_PAYLOAD_BYTES
    assert reader.get_buffer().obj is target


def test_an_unwanted_payload_is_skipped_and_the_next_frame_is_read() -> None:
    reader = FrameReader(skip)
    stream = encode(Data(1), 3 * STAGING_BYTES) + bytes(3 * STAGING_BYTES) + encode(Ping())
    assert feed(reader, stream) == [Frame(Data(1), None), Frame(Ping(), memoryview(b""))]


def test_data_without_a_payload_is_refused_before_the_next_data_is_taken_for_it() -> None:
    """It stood for the first DATA of a run: the next one, whole, then counted for a chunk of which nothing was here."""
    placed: list[int] = []

    def place(message: Message, length: int) -> memoryview:
        placed.append(length)
        return memoryview(bytearray(length))

    with pytest.raises(RemoteProtocolError, match="without a payload"):
        feed(FrameReader(place), encode(Data(1)) + encode(Data(1), 5) + b"bytes")
    assert placed == []


def test_a_message_of_a_later_version_is_skipped_with_its_payload() -> None:
    later = frame({0: 1, 2: 200, 4: 9, 6: "?"}, b"x" * 50) + frame({0: 2, 2: 15}) + encode(Ping())
    messages = [got.message for got in feed(FrameReader(skip), later)]
    assert messages == [Unknown(9), Unknown(None), Ping()]


def test_an_unknown_odd_field_is_ignored_and_an_even_one_refused() -> None:
    fields: dict[int, object] = {0: 1, 2: Ask.TYPE, 4: 1, 6: CONTENT}
    assert decode_header(msgpack.packb({**fields, 99: "later"})) == Ask(1, CONTENT)
    with pytest.raises(RemoteProtocolError):
        decode_header(msgpack.packb({**fields, 98: "must understand"}))


@pytest.mark.parametrize(
    "header",
    [
        b"\xc1",  # no MessagePack
        b"\x80" * 2,  # bytes behind the map
        msgpack.packb([1, 2]),
        msgpack.packb({"0": 1}),
        msgpack.packb({0: 1}),
        msgpack.packb({0: True, 2: 15}),
        msgpack.packb({0: 1, 2: 2.0}),
        msgpack.packb({0: 1, 2: Ask.TYPE, 4: 1}),
        msgpack.packb({0: 1, 2: Ask.TYPE, 4: -1, 6: CONTENT}),
        msgpack.packb({0: 1, 2: Ask.TYPE, 4: 1, 6: CONTENT[:-1]}),
        msgpack.packb({0: 1, 2: Ask.TYPE, 4: True, 6: CONTENT}),
        msgpack.packb({0: 1, 2: Ask.TYPE, 4: 1, 6: CONTENT, 8: 1}),
        msgpack.packb({0: 1, 2: Get.TYPE, 4: 1, 6: CONTENT, 8: 0, 10: 0}),
        msgpack.packb({0: 1, 2: Get.TYPE, 4: 1, 6: CONTENT, 8: 0, 10: MAX_RUN_BYTES + 1}),
        msgpack.packb({0: 1, 2: Get.TYPE, 4: 1, 6: CONTENT, 8: MAX_CHUNKS + 1, 10: 1}),
        msgpack.packb({0: 1, 2: Have.TYPE, 6: CONTENT, 8: [1, 2, "3"]}),
        msgpack.packb({0: 1, 2: Have.TYPE, 6: CONTENT, 8: [1] * (2 * MAX_RUNS + 2)}),
        msgpack.packb({0: 1, 2: Has.TYPE, 4: 1, 6: 1, 8: 1, 10: "é" * MAX_NAME_BYTES, 12: 1}),
        b"\x91" * 2000,  # nested deeper than any message
        b"\x81\x81\x00\x01\x02",  # a map as a key
        b"\xde\xff\xff",  # claims 65,535 pairs
        b"\xc6\xff\xff\xff\xff",  # claims 4 GiB
    ],
)
def test_a_header_that_is_none_is_the_peers_fault(header: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_header(header)


@pytest.mark.parametrize(
    ("header_length", "payload_length"),
    [(0, 0), (MAX_HEADER_BYTES + 1, 0), (10, MAX_PAYLOAD_BYTES + 1), (0x47455420, 0x2F204854)],  # 'GET / HT'
)
def test_lengths_over_the_limit_are_refused_before_anything_is_read(header_length: int, payload_length: int) -> None:
    prefix = header_length.to_bytes(4, "big") + payload_length.to_bytes(4, "big")
    with pytest.raises(RemoteProtocolError):
        feed(FrameReader(skip), prefix)


def test_the_longest_of_every_message_fits_a_header() -> None:
    longest: list[Message] = [
        Hello(b"1234", b"n" * 16, "a" * 64, b"p" * 32, b"s" * 64),
        Has(2**32 - 1, MAX_CHUNKS, MAX_CHUNKS, "n" * MAX_NAME_BYTES, 16 << 20),
        Have(CONTENT, (MAX_CHUNKS,) * (2 * MAX_RUNS)),
        GetMembers(2**32 - 1, CONTENT, (100_000,) * MAX_MEMBERS),
        Members(2**32 - 1, (65_536,) * MAX_MEMBERS),
        Get(2**32 - 1, CONTENT, MAX_CHUNKS, MAX_RUN_BYTES, 512, 16 << 20),
    ]
    for message in longest:
        raw = encode(message)
        assert len(raw) <= PREFIX_BYTES + MAX_HEADER_BYTES
        assert decode_header(raw[PREFIX_BYTES:]) == message


def test_fields_stand_in_the_order_of_the_parameters() -> None:
    for kind in KINDS.values():
        assert tuple(field.name for field in kind.FIELDS) == kind.__match_args__
        keys = [field.key for field in kind.FIELDS]
        assert len(set(keys)) == len(keys)
        assert not {0, 2} & set(keys)


def test_a_default_takes_no_bytes() -> None:
    assert encode(Refused(1, 0)) != encode(Refused(2, 0))
    assert len(encode(Get(1, CONTENT, 5, 100))) < len(encode(Get(1, CONTENT, 5, 100, 2)))
