"""Datagrams that may never change, byte by byte: requests of every method, answers, refusals, every form of address.

`dht_datagrams.json` was written once by this program. If one of these fails, the protocol was broken: a node of today
could not read one of yesterday. What bodies about records hold is frozen in `records_vectors.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest

from dhtshare.dht.compact import pack_address, pack_contacts, unpack_address, unpack_contacts
from dhtshare.dht.contact import Contact
from dhtshare.dht.messages import Body, Code, Method
from dhtshare.dht.nodeid import is_bound
from dhtshare.dht.records.methods import RecordMethod
from dhtshare.dht.wire import (
    MAX_DATAGRAM_BYTES,
    TYPE_ARRIVAL,
    TYPE_REQUEST,
    TYPE_RESPONSE,
    UNPROVED_REQUEST_BYTES,
    RequestMessage,
    ResponseMessage,
    UnsupportedError,
    datagram_type,
    decode_request,
    decode_response,
    encode_arrival,
    encode_request,
    encode_response,
    message_id,
)
from dhtshare.errors import MalformedError
from dhtshare.network import Address, network_id

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("dht_datagrams.json").read_text(encoding="ascii"))
NETWORK = network_id("dhtshare")
IDENTIFIER = bytes(range(20))
ID = bytes(range(40, 60))
TARGET = bytes(range(60, 80))
TOKEN = b"tokentok"
NONCE = bytes(range(80, 100))
WALL = 1_800_000_000
LOOPBACK, LAN, PUBLIC = Address("127.0.0.1", 4470), Address("192.168.1.7", 65535), Address("81.2.3.4", 1024)
LOOPBACK6, UNIQUE_LOCAL, PUBLIC6 = Address("::1", 1), Address("fd00::7", 4470), Address("2a00:1450::5", 50000)
ADDRESSES = {
    "loopback": LOOPBACK,
    "lan": LAN,
    "ipv4": PUBLIC,
    "ipv6 loopback": LOOPBACK6,
    "ipv6 lan": UNIQUE_LOCAL,
    "ipv6": PUBLIC6,
}
BODIES: dict[int, Body] = {
    Method.PING: {},
    Method.FIND_NODE: {2: TARGET},
    Method.PROBE: {2: 4470, 4: NONCE},
    Method.RELAY: {2: pack_address(PUBLIC), 4: NONCE},
    Method.PROBED: {2: NONCE, 4: True},
    **{method: {2: TARGET} for method in RecordMethod},
}


def requests() -> dict[str, RequestMessage]:
    """A proved one for each method; of a ping also the padded ones, and each address that can be dialled."""
    plain = {
        f"{Method(method).name if method in set(Method) else RecordMethod(method).name}": RequestMessage(
            method, ID, body, False, TOKEN, PUBLIC
        )
        for method, body in BODIES.items()
    }
    forms = {f"dialled at {name}": RequestMessage(1, ID, {}, False, TOKEN, place) for name, place in ADDRESSES.items()}
    return {
        **plain,
        **forms,
        "of a client": RequestMessage(Method.PING, ID, {}, True, TOKEN),
        "padded": RequestMessage(Method.PING, ID, {}),
        "padded, of a client that knows whom it dialled": RequestMessage(
            Method.FIND_NODE, ID, {2: TARGET}, True, b"", LAN
        ),
        "padded a little": RequestMessage(Method.PING, ID, {3: bytes(300)}),
        "too long to be padded": RequestMessage(Method.PING, ID, {3: bytes(380)}),
    }


def responses() -> dict[str, ResponseMessage]:
    """Success with and without contacts, in parts, each refusal, each address that can be seen."""
    four = pack_contacts([Contact(ID, PUBLIC), Contact(TARGET, LAN)])[0]
    six = pack_contacts([Contact(ID, PUBLIC6), Contact(TARGET, UNIQUE_LOCAL)])[1]
    forms = {
        f"seen at {name}": ResponseMessage(ID, {}, token=TOKEN, seen=at, wall=WALL) for name, at in ADDRESSES.items()
    }
    failures = {f"refused: {code.name}": ResponseMessage(ID, {}, code, 0, TOKEN, wall=WALL) for code in Code}
    return {
        **forms,
        **failures,
        "nothing but the least": ResponseMessage(ID, {}),
        "busy for a while": ResponseMessage(ID, {}, Code.BUSY, 86_400, TOKEN, seen=PUBLIC, wall=WALL),
        "with IPv4 contacts": ResponseMessage(ID, {}, 0, 0, TOKEN, four, b"", PUBLIC, WALL),
        "with IPv6 contacts": ResponseMessage(ID, {}, 0, 0, TOKEN, b"", six, PUBLIC6, WALL),
        "with both, as in a home network": ResponseMessage(ID, {2: b"body"}, 0, 0, TOKEN, four, six, LAN, WALL),
        "twenty contacts": ResponseMessage(ID, {}, 0, 0, TOKEN, four * 10, b"", PUBLIC, WALL),
        "first part of three": ResponseMessage(ID, {2: b"one"}, 0, 0, TOKEN, four, b"", PUBLIC, WALL, 0, 3),
        "last part of sixteen": ResponseMessage(ID, {2: b"last"}, 0, 0, TOKEN, b"", b"", PUBLIC, WALL, 15, 16),
    }


REQUESTS, RESPONSES = requests(), responses()


def test_every_method_and_every_refusal_is_frozen() -> None:
    assert set(BODIES) == {*Method, *RecordMethod}
    assert VECTORS["requests"].keys() == REQUESTS.keys()
    assert VECTORS["responses"].keys() == RESPONSES.keys()


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_frozen(name: str) -> None:
    raw = bytes.fromhex(VECTORS["requests"][name])
    assert encode_request(NETWORK, IDENTIFIER, REQUESTS[name]) == raw
    assert datagram_type(raw, NETWORK) == TYPE_REQUEST
    assert message_id(raw) == IDENTIFIER
    assert decode_request(raw) == REQUESTS[name]
    assert len(raw) <= MAX_DATAGRAM_BYTES
    assert REQUESTS[name].token or len(raw) >= UNPROVED_REQUEST_BYTES


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_are_frozen(name: str) -> None:
    raw = bytes.fromhex(VECTORS["responses"][name])
    assert encode_response(NETWORK, IDENTIFIER, RESPONSES[name]) == raw
    assert datagram_type(raw, NETWORK) == TYPE_RESPONSE
    assert message_id(raw) == IDENTIFIER
    assert decode_response(raw) == RESPONSES[name]


def test_arrivals_are_frozen() -> None:
    raw = bytes.fromhex(VECTORS["arrival"])
    assert encode_arrival(NETWORK, NONCE) == raw
    assert len(raw) == 25
    assert datagram_type(raw, NETWORK) == TYPE_ARRIVAL
    assert message_id(raw) == NONCE


@pytest.mark.parametrize("name", ADDRESSES)
def test_packed_addresses_are_frozen(name: str) -> None:
    raw = bytes.fromhex(VECTORS["addresses"][name])
    assert pack_address(ADDRESSES[name]) == raw
    assert unpack_address(raw) == ADDRESSES[name]
    contact = Contact(ID, ADDRESSES[name])
    assert list(unpack_contacts(*pack_contacts([contact]))) == [contact]


def test_the_places_of_an_address_are_frozen() -> None:
    for host, places in VECTORS["places"].items():
        for r, prefix in enumerate(places):
            node_id = bytes.fromhex(prefix) + bytes(16) + bytes((r,))
            assert is_bound(node_id, host), (host, r)
            flipped = bytes((node_id[0] ^ 0x80,)) + node_id[1:]
            assert not is_bound(flipped, host)
            assert not is_bound(node_id[:2] + bytes((node_id[2] ^ 8,)) + node_id[3:], host), "21 bits, no fewer"
            assert is_bound(node_id[:2] + bytes((node_id[2] ^ 7,)) + node_id[3:], host), "and no more"


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("key", [9, 11, 999])
def test_what_a_newer_version_adds_is_ignored_where_it_may_be(name: str, key: int) -> None:
    """A request of tomorrow, made of one of today: an odd key is passed over, an even one refuses the whole."""
    raw = bytes.fromhex(VECTORS["requests"][name])
    fields = msgpack.unpackb(raw[25:], strict_map_key=False)
    grown = raw[:25] + msgpack.packb({**fields, key: ["later"]})
    assert decode_request(grown) == REQUESTS[name]
    with pytest.raises(UnsupportedError):
        decode_request(raw[:25] + msgpack.packb({**fields, key + 1: ["later"]}))


@pytest.mark.parametrize("name", [*REQUESTS, *RESPONSES])
def test_a_datagram_cut_anywhere_is_none(name: str) -> None:
    decode, raw = (
        (decode_request, bytes.fromhex(VECTORS["requests"][name]))
        if name in REQUESTS
        else (decode_response, bytes.fromhex(VECTORS["responses"][name]))
    )
    for length in range(25, len(raw)):
        with pytest.raises(MalformedError):
            decode(raw[:length])
    with pytest.raises(MalformedError):
        decode(raw + b"\0")
