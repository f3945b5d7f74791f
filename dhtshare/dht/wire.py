"""The datagram, byte by byte. Pure: bytes in, frozen messages out; raises MalformedError and nothing else.

    network id (4) | type (1) | message id (20) | MessagePack map with small integer keys

Type 0 is a request, 1 a response: rpcudp's framing behind the network id. Type 2, an arrival, ends after
the message id, which is the nonce of a probe; it is never answered. In every map key 0 is the
version, an unknown even key refuses the message and an unknown odd key is ignored. A response repeats
the message id; one that needs several datagrams numbers them from 0 and says how many there are.

Request:  2 method · 4 node id · 6 body · 1 client (true, or absent) · 3 token · 5 address dialled ·
          7 padding
Response: 2 body · 4 node id · 6 failure code · 8 seconds to wait · 1 token · 3 IPv4 contacts ·
          5 address seen · 7 Unix seconds · 9 part · 11 parts · 13 IPv6 contacts ·
          15 client (true, or absent)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import msgpack

from dhtshare.dht.compact import CONTACT4_BYTES, CONTACT6_BYTES, pack_address, unpack_address
from dhtshare.dht.contact import ID_BYTES
from dhtshare.dht.messages import Body
from dhtshare.errors import MalformedError
from dhtshare.network import NETWORK_ID_BYTES, Address

VERSION = 1
MAX_DATAGRAM_BYTES = 1200  # fits IPv6's minimum MTU of 1,280
MESSAGE_ID_BYTES = 20
HEADER_BYTES = NETWORK_ID_BYTES + 1 + MESSAGE_ID_BYTES
TOKEN_BYTES = 8
UNPROVED_REQUEST_BYTES = 400  # a request without token is padded to this, so that an answer fits 3 × its size
AMPLIFICATION = 3  # QUIC's limit, RFC 9000 section 8.1
MAX_PARTS = 16
MAX_CONTACTS = 20
ENVELOPE_BYTES = 112  # more than header and all response fields but body and contacts ever take
TYPE_REQUEST = 0
TYPE_RESPONSE = 1
TYPE_ARRIVAL = 2

_MAX_METHOD = 0xFFFF
_TOKEN_LENGTHS = (0, TOKEN_BYTES)
_MAX_WALL = 1 << 40
_MAX_WAIT = 86_400
_REQUEST_EVEN = frozenset((0, 2, 4, 6))
_RESPONSE_EVEN = frozenset((0, 2, 4, 6, 8))
_DECODE_ERRORS = (ValueError, TypeError, OverflowError, msgpack.UnpackException)


class RequestMessage(NamedTuple):
    """A request on the wire. `token` is empty where none is known."""

    method: int
    node_id: bytes
    body: Body
    client: bool = False
    token: bytes = b""
    dialled: Address | None = None


class ResponseMessage(NamedTuple):
    """One datagram of a response. `code` is 0 for success; contacts are still packed."""

    node_id: bytes
    body: Body
    code: int = 0
    retry_after: int = 0
    token: bytes = b""
    contacts4: bytes = b""
    contacts6: bytes = b""
    seen: Address | None = None
    wall: int = 0
    part: int = 0
    parts: int = 1
    client: bool = False


class UnsupportedError(MalformedError):
    """A message whose unknown even key says that it must not be half understood."""


_packer = msgpack.Packer()  # `msgpack.packb` makes one for every call, which takes as long as packing does


def pack(value: object) -> bytes:
    """MessagePack bytes of maps, lists, ints, bytes, strings, booleans and None."""
    return cast(bytes, _packer.pack(value))


def unpack(raw: bytes) -> object:
    """The value of exactly these bytes. Sizes are bounded by the bytes themselves (≤ 1,200)."""
    try:
        return msgpack.unpackb(raw, strict_map_key=False)
    except _DECODE_ERRORS as error:
        raise MalformedError("The datagram is not MessagePack.") from error


def check_keys(fields: Mapping[int, object], known_even: frozenset[int]) -> None:
    """The growth rule. Raises MalformedError for keys that are no ints, UnsupportedError for unknown even ones."""
    for key in fields:
        if type(key) is not int:
            raise MalformedError("A key of the message is not a number.")
        if not key & 1 and key not in known_even:
            raise UnsupportedError("The message was made by a newer version.")


def datagram_type(data: bytes, network: bytes) -> int:
    """The type byte. Raises MalformedError unless length, network and type are right; decodes nothing."""
    if not HEADER_BYTES <= len(data) <= MAX_DATAGRAM_BYTES or data[:NETWORK_ID_BYTES] != network:
        raise MalformedError("The datagram has a wrong length or network.")
    kind = data[NETWORK_ID_BYTES]
    if kind > TYPE_ARRIVAL or (kind == TYPE_ARRIVAL) != (len(data) == HEADER_BYTES):
        raise MalformedError("The datagram has an unknown type, or a length that its type never has.")
    return kind


def message_id(data: bytes) -> bytes:
    """The 20 bytes that tie a response to its request."""
    return data[NETWORK_ID_BYTES + 1 : HEADER_BYTES]


def encode_request(network: bytes, identifier: bytes, message: RequestMessage) -> bytes:
    """The datagram; one without token is padded to 400 bytes. Raises ValueError where it would pass 1,200."""
    fields: dict[int, object] = {0: VERSION, 2: message.method, 4: message.node_id, 6: message.body}
    if message.client:
        fields[1] = True
    if message.token:
        fields[3] = message.token
    if message.dialled is not None:
        fields[5] = pack_address(message.dialled)
    header = network + b"\0" + identifier
    data = header + pack(fields)
    if not message.token and len(data) < UNPROVED_REQUEST_BYTES:
        # key, type and length of the padding take 3 bytes below 256, 4 above; one more is no harm
        fields[7] = bytes(max(0, UNPROVED_REQUEST_BYTES - len(data) - 3))
        data = header + pack(fields)
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ValueError(f"a request of {len(data)} bytes does not fit a datagram")
    return data


def encode_arrival(network: bytes, nonce: bytes) -> bytes:
    """The 25 bytes that show a prober's relay to be able to reach somebody."""
    return network + b"\2" + nonce


def encode_response(network: bytes, identifier: bytes, message: ResponseMessage) -> bytes:
    """The datagram. Raises ValueError where it would pass 1,200 bytes."""
    node_id, body, code, retry_after, token, contacts4, contacts6, seen, wall, part, parts, client = message
    fields: dict[int, object] = {0: VERSION, 4: node_id, 7: wall}
    if code:
        fields[6] = code
        if retry_after:
            fields[8] = retry_after
    else:
        fields[2] = body
    if token:
        fields[1] = token
    if contacts4:
        fields[3] = contacts4
    if seen is not None:
        fields[5] = pack_address(seen)
    if parts > 1:
        fields[9] = part
        fields[11] = parts
    if contacts6:
        fields[13] = contacts6
    if client:
        fields[15] = True
    data = network + b"\1" + identifier + pack(fields)
    if len(data) > MAX_DATAGRAM_BYTES:
        raise ValueError(f"a response of {len(data)} bytes does not fit a datagram")
    return data


def _fields(data: bytes, known_even: frozenset[int]) -> dict[int, object]:
    fields = unpack(data[HEADER_BYTES:])
    if type(fields) is not dict:
        raise MalformedError("The datagram is not a map.")
    check_keys(fields, known_even)
    if fields.get(0) != VERSION:
        raise UnsupportedError("The message has another version.")
    return fields


def _number(value: object, lowest: int, highest: int) -> int:
    if type(value) is not int or not lowest <= value <= highest:
        raise MalformedError("A number of the message is out of range.")
    return value


def _bytes(value: object, lengths: tuple[int, ...]) -> bytes:
    if type(value) is not bytes or len(value) not in lengths:
        raise MalformedError("A byte string of the message has a wrong length.")
    return value


def _address(value: object) -> Address | None:
    """An address is a hint: absent or impossible, it is None."""
    return unpack_address(value) if type(value) is bytes else None


def _body(value: object) -> Body:
    if type(value) is not dict:
        raise MalformedError("The body is not a map.")
    for key in value:
        if type(key) is not int:
            raise MalformedError("A key of the body is not a number.")
    return value


def _contacts(value: object, width: int) -> bytes:
    if type(value) is not bytes or len(value) % width or len(value) > MAX_CONTACTS * width:
        raise MalformedError("The contacts have a wrong length.")
    return value


def decode_request(data: bytes) -> RequestMessage:
    """The request of a datagram that passed `datagram_type`. Raises MalformedError."""
    get = _fields(data, _REQUEST_EVEN).get
    method, node_id, token = get(2), get(4), get(3, b"")
    if (  # in one place rather than three, for each datagram that a stranger sends comes by here
        type(method) is not int
        or not 0 <= method <= _MAX_METHOD
        or type(node_id) is not bytes
        or len(node_id) != ID_BYTES
        or type(token) is not bytes
        or len(token) not in _TOKEN_LENGTHS
    ):
        raise MalformedError("The method, the id or the token of a request is none.")
    return RequestMessage(method, node_id, _body(get(6)), get(1) is True, token, _address(get(5)))


def decode_response(data: bytes) -> ResponseMessage:
    """The response of a datagram that passed `datagram_type`. Raises MalformedError."""
    fields = _fields(data, _RESPONSE_EVEN)
    code = _number(fields.get(6, 0), 0, _MAX_METHOD)
    parts = _number(fields.get(11, 1), 1, MAX_PARTS)
    return ResponseMessage(
        _bytes(fields.get(4), (ID_BYTES,)),
        {} if code else _body(fields.get(2)),
        code,
        _number(fields.get(8, 0), 0, _MAX_WAIT),
        _bytes(fields.get(1, b""), _TOKEN_LENGTHS),
        _contacts(fields.get(3, b""), CONTACT4_BYTES),
        _contacts(fields.get(13, b""), CONTACT6_BYTES),
        _address(fields.get(5)),
        _number(fields.get(7), 0, _MAX_WALL),
        _number(fields.get(9, 0), 0, parts - 1),
        parts,
        fields.get(15) is True,
    )
