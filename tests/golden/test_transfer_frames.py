"""The bytes of every message, frozen: a peer of today and one of tomorrow must read each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dhtshare.transfer.codec import decode_header, encode
from dhtshare.transfer.messages import (
    KINDS,
    PREFIX_BYTES,
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
    Reason,
    Refused,
    Unchoke,
)

CONTENT = bytes(range(32))
EXAMPLES: dict[str, tuple[Message, int]] = {
    "hello of a dialler": (Hello(b"\x01\x02\x03\x04", bytes(16), "dhtshare/1"), 0),
    "hello of a plain listener": (Hello(b"\x01\x02\x03\x04", bytes(16), "", b"\x05" * 32, b"\x06" * 64), 0),
    "ask": (Ask(1, CONTENT), 0),
    "ask and follow": (Ask(1, CONTENT, True), 0),
    "ask with a tag": (Ask(1, CONTENT, True, b"\x07" * 8), 0),
    "has all": (Has(1, 1024, 1024, "ubuntu.iso", 32803), 0),
    "has a file of one chunk": (Has(1, 1, 1, "notes.txt", 47, 5000), 0),
    "has some": (Has(1, 9, 3, "", 326), 2),
    "have": (Have(CONTENT, (0, 2, 7, 1)), 0),
    "get descriptor": (GetDescriptor(2, CONTENT), 0),
    "get a range of a member's": (GetDescriptor(2, CONTENT, 65536, 3), 0),
    "descriptor": (Descriptor(2, 326), 326),
    "get members": (GetMembers(3, CONTENT, (0, 5, 99999)), 0),
    "members": (Members(3, (102, 0, 70)), 172),
    "get a chunk": (Get(4, CONTENT, 17, 1048576), 0),
    "get a range of a chunk": (Get(4, CONTENT, 17, 1048576, 1, 2097152), 0),
    "get a run": (Get(4, CONTENT, 17, 262144, 64), 0),
    "data": (Data(4), 1048576),
    "cancel": (Cancel(4), 0),
    "refused": (Refused(4, Reason.NOT_FOUND), 0),
    "choke": (Choke(), 0),
    "unchoke": (Unchoke(), 0),
    "ping": (Ping(), 0),
    "given": (Given(CONTENT, (0, 2, 7, 1)), 0),
}
FROZEN: dict[str, str] = json.loads(Path(__file__).with_name("transfer_frames.json").read_text())


def test_there_is_an_example_of_every_message() -> None:
    assert {type(message) for message, _ in EXAMPLES.values()} == set(KINDS.values())
    assert FROZEN.keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bytes_are_frozen(name: str) -> None:
    message, payload_length = EXAMPLES[name]
    raw = bytes.fromhex(FROZEN[name])
    assert encode(message, payload_length) == raw
    assert decode_header(raw[PREFIX_BYTES:]) == message
