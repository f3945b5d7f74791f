"""The codec of datagrams: limits, padding, and what it says to bytes that are none. Golden bytes: tests/golden."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from dhtshare.dht.compact import unpack_address, unpack_contacts
from dhtshare.dht.messages import Method
from dhtshare.dht.wire import (
    ENVELOPE_BYTES,
    HEADER_BYTES,
    MAX_CONTACTS,
    MAX_DATAGRAM_BYTES,
    MAX_PARTS,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    UnsupportedError,
    datagram_type,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    pack,
    unpack,
)
from dhtshare.errors import MalformedError
from dhtshare.network import Address, network_id

NETWORK = network_id("wire")
IDENTIFIER, ID = bytes(20), b"i" * 20
HEADER = NETWORK + b"\0" + IDENTIFIER
REQUEST: dict[int, Any] = {0: 1, 2: 1, 4: ID, 6: {}}
RESPONSE: dict[int, Any] = {0: 1, 2: {}, 4: ID, 7: 0}


def request_of(fields: object) -> RequestMessage:
    return decode_request(HEADER + msgpack.packb(fields))


def response_of(fields: object) -> ResponseMessage:
    return decode_response(HEADER + msgpack.packb(fields))


# ---- the first look ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        NETWORK,
        HEADER[:-1],
        network_id("other") + HEADER[4:] + b"\x80",
        NETWORK + b"\3" + IDENTIFIER + b"\x80",
        NETWORK + b"\xff" + IDENTIFIER + b"\x80",
        NETWORK + b"\0" + IDENTIFIER + bytes(MAX_DATAGRAM_BYTES - HEADER_BYTES + 1),
        NETWORK + b"\2" + IDENTIFIER + b"x",  # an arrival with something behind it
        NETWORK + b"\0" + IDENTIFIER,  # a request with nothing behind it, but as long as an arrival
    ],
    ids=["empty", "network", "cut", "other network", "type 3", "type 255", "too long", "arrival +", "request -"],
)
def test_length_network_and_type_are_checked_before_anything_is_decoded(data: bytes) -> None:
    with pytest.raises(MalformedError):
        datagram_type(data, NETWORK)


def test_the_longest_datagram_is_let_in() -> None:
    assert datagram_type(HEADER + bytes(MAX_DATAGRAM_BYTES - HEADER_BYTES), NETWORK) == 0


# ---- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", range(0, 1140, 7))
def test_a_request_without_token_is_padded_so_that_its_answer_fits(room: int) -> None:
    data = encode_request(NETWORK, IDENTIFIER, RequestMessage(1, ID, {3: bytes(room)}))
    assert UNPROVED_REQUEST_BYTES <= len(data) <= max(UNPROVED_REQUEST_BYTES + 1, room + 60)
    assert decode_request(data).body == {3: bytes(room)}


def test_a_request_with_token_is_not_padded() -> None:
    assert len(encode_request(NETWORK, IDENTIFIER, RequestMessage(1, ID, {}, token=bytes(8)))) < 100


def test_what_does_not_fit_is_the_callers_fault() -> None:
    for room in range(1050, 1200):
        try:
            data = encode_request(NETWORK, IDENTIFIER, RequestMessage(1, ID, {3: bytes(room)}))
        except ValueError as error:
            assert "does not fit" in str(error)
            break
        assert len(data) <= MAX_DATAGRAM_BYTES
    else:
        raise AssertionError("1,200 bytes of body went into 1,200 bytes of datagram")
    with pytest.raises(ValueError, match="does not fit"):
        encode_response(NETWORK, IDENTIFIER, ResponseMessage(ID, {3: bytes(1180)}))


def test_the_envelope_is_never_larger_than_what_is_reckoned_for_it() -> None:
    """`room` of a handler is what 1,200 leaves beside ENVELOPE_BYTES: the worst of all fields must fit."""
    seen = Address("2a00:1450:1234:5678:9abc:def0:1234:5678", 65535)
    worst = ResponseMessage(ID, {}, 0, 0, bytes(8), b"", b"", seen, 1 << 40, MAX_PARTS - 1, MAX_PARTS)
    assert len(encode_response(NETWORK, IDENTIFIER, worst)) <= ENVELOPE_BYTES
    refused = ResponseMessage(ID, {}, 6, 86_400, bytes(8), b"", b"", seen, 1 << 40)
    assert len(encode_response(NETWORK, IDENTIFIER, refused)) <= ENVELOPE_BYTES


def test_twenty_contacts_and_the_envelope_leave_room_for_a_body() -> None:
    seen = Address("2a00::1", 65535)
    message = ResponseMessage(ID, {}, 0, 0, bytes(8), b"", bytes(38 * MAX_CONTACTS), seen, 1 << 33)
    assert len(encode_response(NETWORK, IDENTIFIER, message)) <= MAX_DATAGRAM_BYTES - 250


# ---- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        "map",
        7,
        {},
        {**REQUEST, 2: -1},
        {**REQUEST, 2: 1 << 16},
        {**REQUEST, 2: True},
        {**REQUEST, 2: 1.0},
        {**REQUEST, 2: "ping"},
        {**REQUEST, 3: b"short"},
        {**REQUEST, 3: "eight---"},
        {**REQUEST, 3: None},
        {**REQUEST, 4: bytes(19)},
        {**REQUEST, 4: bytes(21)},
        {**REQUEST, 4: "i" * 20},
        {**REQUEST, 4: None},
        {**REQUEST, 6: None},
        {**REQUEST, 6: []},
        {**REQUEST, 6: {"key": 1}},
        {**REQUEST, 6: {b"key": 1}},
        {**REQUEST, 6: {None: 1}},
        {**REQUEST, "0": 1},
        {**REQUEST, None: 1},
        {**REQUEST, 1.5: 1},
        *({key: value for key, value in REQUEST.items() if key != missing} for missing in (2, 4, 6)),
    ],
    ids=repr,
)
def test_requests_that_are_none(fields: object) -> None:
    with pytest.raises(MalformedError):
        request_of(fields)


@pytest.mark.parametrize("fields", [{**REQUEST, 8: 1}, {**REQUEST, -2: 1}, {**REQUEST, 0: 2}, {**REQUEST, 0: None}])
def test_requests_of_another_version_say_so(fields: object) -> None:
    with pytest.raises(UnsupportedError):
        request_of(fields)


@pytest.mark.parametrize("hint", [b"", b"12345", bytes(6), bytes(18), bytes(7), "127.0.0.1", 7, None, [1]], ids=repr)
def test_an_address_that_is_none_is_left_out(hint: object) -> None:
    assert request_of({**REQUEST, 5: hint}).dialled is None
    assert response_of({**RESPONSE, 5: hint}).seen is None


@pytest.mark.parametrize("value", [1, "yes", b"\1", None, 0, False])
def test_only_true_makes_a_client(value: object) -> None:
    assert not request_of({**REQUEST, 1: value}).client
    assert request_of({**REQUEST, 1: True}).client


def test_padding_of_any_kind_is_ignored() -> None:
    assert request_of({**REQUEST, 7: "x" * 300}) == request_of(REQUEST)


# ---- responses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {**RESPONSE, 1: b"nine bytes"},
        {**RESPONSE, 2: None},
        {**RESPONSE, 2: {"text": 1}},
        {**RESPONSE, 3: bytes(25)},
        {**RESPONSE, 3: bytes(26 * (MAX_CONTACTS + 1))},
        {**RESPONSE, 3: [bytes(26)]},
        {**RESPONSE, 13: bytes(26)},
        {**RESPONSE, 13: bytes(38 * (MAX_CONTACTS + 1))},
        {**RESPONSE, 4: bytes(19)},
        {**RESPONSE, 6: -1},
        {**RESPONSE, 6: True},
        {**RESPONSE, 6: 4, 8: 86_401},
        {**RESPONSE, 6: 4, 8: -1},
        {**RESPONSE, 7: -1},
        {**RESPONSE, 7: (1 << 40) + 1},
        {**RESPONSE, 7: 1.5},
        {**RESPONSE, 9: 0, 11: 0},
        {**RESPONSE, 9: 0, 11: MAX_PARTS + 1},
        {**RESPONSE, 9: 2, 11: 2},
        {**RESPONSE, 9: 1},
        *({key: value for key, value in RESPONSE.items() if key != missing} for missing in (2, 4, 7)),
    ],
    ids=repr,
)
def test_responses_that_are_none(fields: object) -> None:
    with pytest.raises(MalformedError):
        response_of(fields)


def test_a_refusal_needs_no_body_and_an_unknown_code_is_still_one() -> None:
    refused = response_of({0: 1, 4: ID, 6: 4711, 7: 5, 8: 60})
    assert (refused.code, refused.retry_after, refused.body) == (4711, 60, {})


def test_odd_keys_of_tomorrow_pass_and_even_ones_refuse() -> None:
    assert response_of({**RESPONSE, 15: "later", 999: None}) == response_of(RESPONSE)
    for key in (10, 12, 14, 1000):
        with pytest.raises(UnsupportedError):
            response_of({**RESPONSE, key: 1})


# ---- MessagePack ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x82\x00\x01",
        b"\x80\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\x91" * 1100,
        b"\x81\x00" * 550,
        b"\x81\x90\x00",
        b"\x81\x80\x00",
        b"\xa2\xff\xfe",
        b"\xd6\xff\x00\x00\x00",
        b"\xc7\x0c\xff" + b"\xff" * 12,
    ],
    ids=lambda raw: raw[:6].hex(),
)
def test_bytes_that_are_no_messagepack(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        unpack(raw)


@pytest.mark.parametrize("value", [{}, {0: 1}, [1, [2, [3]]], "text", b"bytes", None, True, -1, (1 << 64) - 1, 1.5])
def test_what_is_packed_comes_back(value: object) -> None:
    assert unpack(pack(value)) == value


@pytest.mark.parametrize("decode", [decode_request, decode_response])
def test_noise_is_malformed_and_nothing_else(decode: Callable[[bytes], object]) -> None:
    rng = random.Random(3)
    good = msgpack.packb(REQUEST if decode is decode_request else RESPONSE)
    for _ in range(5000):
        raw = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            decode(HEADER + bytes(raw))
        except MalformedError:
            continue


# ---- contacts ------------------------------------------------------------------------------------


def test_a_bad_contact_drops_itself_alone() -> None:
    good = ID + bytes((81, 2, 3, 4, 4, 0))
    no_port = ID + bytes((81, 2, 3, 5, 0, 0))
    found = list(unpack_contacts(good + no_port + good + b"torn", b""))
    assert [str(contact.address) for contact in found] == ["81.2.3.4:1024", "81.2.3.4:1024"]


def test_an_ipv4_address_in_ipv6s_clothes_is_the_ipv4_address() -> None:
    mapped = bytes(10) + b"\xff\xff" + bytes((81, 2, 3, 4)) + b"\x04\x00"
    assert unpack_address(mapped) == Address("81.2.3.4", 1024)


def test_methods_are_even_for_the_core_and_numbers_of_records_stand_above() -> None:
    assert [int(method) for method in Method] == [1, 2, 4, 6, 8]
