"""Fuzz targets of what strangers send: datagrams, records, frames, descriptors.

Invariant of all: the outcome is a typed message or MalformedError, never another exception, and what was accepted
survives being encoded again.
"""

from __future__ import annotations

import contextlib

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import CollectionDescriptor, CollectionEntry, FileDescriptor, decode
from dhtshare.content.layout import Layout
from dhtshare.dht.compact import unpack_contacts
from dhtshare.dht.messages import Body, Method
from dhtshare.dht.records.copies import Pull, Pulled, Survey, Surveyed
from dhtshare.dht.records.entry import Entry, decode_record, is_signed, reread, sign_entry, sign_withdrawal
from dhtshare.dht.records.finds import FindEntries, FindProviders, FoundEntries, read_providers
from dhtshare.dht.records.stores import (
    Check,
    Gone,
    StoreEntries,
    StoreProviders,
    Withdraw,
    read_check,
    read_verdicts,
)
from dhtshare.dht.wire import (
    MAX_CONTACTS,
    TYPE_REQUEST,
    RequestMessage,
    ResponseMessage,
    datagram_type,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    pack,
    unpack,
)
from dhtshare.errors import MalformedError
from dhtshare.identity import SigningKey
from dhtshare.network import Address, Scope
from dhtshare.transfer.codec import Frame, FrameReader, encode
from dhtshare.transfer.messages import (
    Ask,
    Cancel,
    Choke,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    GetMembers,
    Given,
    Has,
    Have,
    Hello,
    Members,
    Message,
    Ping,
    Refused,
    Unchoke,
)
from tests.fuzz.target import Target
from tests.unit.records.test_bodies import REQUESTS

NETWORK = b"fuzz"
KEY = SigningKey.from_seed(bytes(range(32)))
HASH = bytes(range(32))


def datagram(data: bytes) -> None:
    """A datagram of our network: request or response."""
    data = NETWORK + data
    with contextlib.suppress(MalformedError):
        if datagram_type(data, NETWORK) == TYPE_REQUEST:
            request = decode_request(data)
            assert len(request.node_id) == 20
        else:
            response = decode_response(data)
            assert response.part < response.parts
            contacts = list(unpack_contacts(response.contacts4, response.contacts6))
            assert len(contacts) <= 2 * MAX_CONTACTS
            assert all(0 < contact.address.port < 1 << 16 for contact in contacts)


def record(data: bytes) -> None:
    """A keyword entry or withdrawal, as stored, pulled or found."""
    with contextlib.suppress(MalformedError):
        decoded = decode_record(data)
        assert decoded.raw == data, "kept and passed on as received"
        assert reread(data) == decoded
        if isinstance(decoded, Entry):
            assert 0 < len(decoded.words) <= 32
        is_signed(decoded, NETWORK)


_REQUEST_BODIES = (FindProviders, FindEntries, StoreProviders, StoreEntries, Withdraw, Gone, Check, Survey, Pull)


def body(data: bytes) -> None:
    """The body of any request or answer about records, read as each of them: whoever sends it chooses the method."""
    with contextlib.suppress(MalformedError):
        fields = unpack(data)
        if type(fields) is not dict or any(type(key) is not int for key in fields):
            return  # the envelope refuses it
        for kind in _REQUEST_BODIES:
            with contextlib.suppress(MalformedError):
                read = kind.read(fields)
                again = unpack(pack(read.body()))
                assert isinstance(again, dict)
                assert kind.read(again) == read, "what was accepted is asked again the same"
        _answers(fields)


def _answers(fields: Body) -> None:
    for scope in Scope:
        with contextlib.suppress(MalformedError):
            assert all(0 < provider.address.port < 1 << 16 for provider in read_providers(fields, scope))
    for parts in ([fields], [fields, fields]):
        for kind in (FoundEntries, Surveyed, Pulled):
            with contextlib.suppress(MalformedError):
                kind.read(parts)
    with contextlib.suppress(MalformedError):
        assert len(read_verdicts(fields, 2)) == 2
    with contextlib.suppress(MalformedError):
        assert len(read_check(fields, 2)) == 2


def bitfield(data: bytes) -> None:
    """The payload of a HAS; the first byte says how many chunks there are."""
    if not data:
        return
    chunks, raw = data[0], data[1:]
    with contextlib.suppress(MalformedError):
        have = Bitfield.from_bytes(chunks, raw)
        assert have.to_bytes() == raw
        assert len(have) == sum(1 for _ in have)
        assert all(0 <= chunk < chunks for chunk in have)


def frames(data: bytes) -> None:
    """What a peer sends on a TCP connection; the first byte says where the stream is cut."""
    if not data:
        return
    step, stream = data[0] + 1, data[1:]
    (whole, fault), (cut, cut_fault) = _read(stream, len(stream) or 1), _read(stream, step)
    assert fault == cut_fault
    # A fault ends the connection, and with it what came in the same read.
    assert whole == (cut[: len(whole)] if fault else cut), "wherever the stream is split, the events are the same"


def _read(stream: bytes, step: int) -> tuple[list[object], str]:
    """The frames of a stream that arrives in pieces of `step` bytes, and the fault that ended it, if any."""

    def place(message: Message, length: int) -> memoryview | None:
        return memoryview(bytearray(length)) if length % 2 else None

    reader = FrameReader(place)
    events: list[object] = []
    position = 0
    try:
        while position < len(stream):
            buffer = reader.get_buffer()
            assert len(buffer), "there is always room for the next bytes"
            count = min(step, len(buffer), len(stream) - position)
            buffer[:count] = stream[position : position + count]
            position += count
            events += [_kept(frame) for frame in reader.advance(count)]
    except MalformedError as error:
        return events, str(error)
    return events, ""


def _kept(frame: Frame) -> object:
    return frame.message, None if frame.payload is None else bytes(frame.payload)


def descriptor(data: bytes) -> None:
    """The bytes that a content hash is the hash of."""
    with contextlib.suppress(MalformedError):
        decoded = decode(data)
        assert decoded.encode() == data, "what is passed on keeps its hash"
        layout = Layout.of(decoded)
        assert layout.chunk_count >= 0


def _request(**fields: object) -> bytes:
    message = RequestMessage(Method.FIND_NODE, bytes(20), {2: bytes(20)}, **fields)  # type: ignore[arg-type]
    return encode_request(NETWORK, bytes(20), message)[len(NETWORK) :]


def _response(**fields: object) -> bytes:
    message = ResponseMessage(bytes(20), {2: b"value", 4: [1, 2]}, wall=1_700_000_000, **fields)  # type: ignore[arg-type]
    return encode_response(NETWORK, bytes(20), message)[len(NETWORK) :]


def _frame(message: Message, payload: bytes = b"") -> bytes:
    return encode(message, len(payload)) + payload


#: One of each kind and its payload, in the order of `KINDS`.
MESSAGES: tuple[tuple[Message, bytes], ...] = (
    (Hello(NETWORK, bytes(16), "dhtshare/0", bytes(32), bytes(64)), b""),
    (Ask(1, HASH, True, b"fetchtag"), b""),
    (Has(1, 9, 4, "name", 100), b"\x0f\x00"),
    (Have(HASH, (0, 3, 7, 1)), b""),
    (GetDescriptor(2, HASH, 1 << 16, 3), b""),
    (Descriptor(2, 5), b"bytes"),
    (GetMembers(3, HASH, (0, 2, 5)), b""),
    (Members(3, (2, 0, 3)), b"bytes"),
    (Get(4, HASH, 0, 5, 1, 7), b""),
    (Data(4), b"bytes"),
    (Cancel(4), b""),
    (Refused(5, 1), b""),
    (Choke(), b""),
    (Unchoke(), b""),
    (Ping(), b""),
    (Given(HASH, (4, 2)), b""),
)

_CONTACT = bytes(20) + bytes((127, 0, 0, 1, 17, 118))
_FILE = FileDescriptor(3 << 20, bytes(96))
_EMPTY = FileDescriptor(0, b"")

TARGETS = (
    Target(
        "datagram",
        datagram,
        (
            _request(),
            _request(token=bytes(8), client=True, dialled=Address("127.0.0.1", 4470)),
            _response(contacts4=_CONTACT * 3, token=bytes(8), seen=Address("::1", 4470)),
            _response(part=1, parts=3),
            _response(code=4, retry_after=9),
        ),
    ),
    Target(
        "record",
        record,
        (
            sign_entry(
                KEY,
                NETWORK,
                content_hash=HASH,
                sequence=1 << 41,
                expires=1_700_000_000,
                kind=decode(_FILE.encode()).kind,
                size=3 << 20,
                name="Música.mp3",
                words=["musica", "北京"],
            ),
            sign_withdrawal(KEY, NETWORK, content_hash=HASH, sequence=1 << 41, expires=1_700_000_000),
        ),
    ),
    Target(
        "body", body, (*tuple(pack(request.body()) for request in REQUESTS), pack({2: b"\x00\x01", 8: [b"r" * 150]}))
    ),
    Target("bitfield", bitfield, (b"\x0d\x21\x10", b"\x08\xff", b"\x00")),
    Target(
        "frames",
        frames,
        (
            *(b"\x07" + _frame(*message) for message in MESSAGES),
            b"\xff" + b"".join(_frame(*message) for message in MESSAGES[:4]),
            b"\x00" + b"".join(_frame(*message) for message in MESSAGES[8:12]),
        ),
    ),
    Target(
        "descriptor",
        descriptor,
        (
            _FILE.encode(),
            _EMPTY.encode(),
            CollectionDescriptor.of(
                [
                    CollectionEntry("a/b.txt", 5, HASH),
                    CollectionEntry("a/run.sh", 3 << 20, HASH, executable=True),
                    CollectionEntry("empty/"),
                ]
            ).encode(),
        ),
    ),
)
