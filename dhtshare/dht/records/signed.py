"""The fixed beginning of every signed record, readable without decoding the rest. Pure.

    signature (64) | canonical MessagePack map: 0 version · 2 content hash · 4 publisher key ·
                     6 sequence number · 8 expiry · …

The map is canonical (ascending keys, shortest forms, at most 15 pairs), sequence numbers need 64 bits and
expiries 32, so these fields stand at the same offsets in every record of every version. A holder compares,
sorts and counts tens of thousands of records by them without keeping anything decoded. The signature is
made over the bytes of the map as they travel.
"""

from __future__ import annotations

from dhtshare.errors import MalformedError
from dhtshare.identity import SIGNATURE_BYTES

VERSION = 1
MAX_RECORD_BYTES = 1000  # signature included; fits one datagram of 1,200 bytes with everything around it
MIN_SEQUENCE = 1 << 32  # sequence numbers are Unix milliseconds or more
MAX_SEQUENCE = (1 << 63) - 1
MIN_EXPIRES = 1 << 16
MAX_EXPIRES = (1 << 32) - 1  # Unix seconds, until 2106

_HEAD = b"\x00\x01\x02\xc4\x20"
_CONTENT = slice(70, 102)
_TO_PUBLISHER = b"\x04\xc4\x20"
_PUBLISHER = slice(105, 137)
_TO_SEQUENCE = b"\x06\xcf"
_SEQUENCE = slice(139, 147)
_TO_EXPIRES = b"\x08\xce"
_EXPIRES = slice(149, 153)
_PLACE = slice(_CONTENT.start, _PUBLISHER.stop)  # with the three constant bytes between them
PLACE_BYTES = _PLACE.stop - _PLACE.start
HEAD_BYTES = _EXPIRES.stop
_MAX_FIXMAP = 0x8F


def check_head(raw: bytes) -> None:
    """Raises MalformedError unless all fixed fields stand where they must, within their limits."""
    if not HEAD_BYTES <= len(raw) <= MAX_RECORD_BYTES:
        raise MalformedError(f"A record of {len(raw)} bytes is none.")
    if (
        not 0x80 <= raw[SIGNATURE_BYTES] <= _MAX_FIXMAP
        or raw[65:70] != _HEAD
        or raw[102:105] != _TO_PUBLISHER
        or raw[137:139] != _TO_SEQUENCE
        or raw[147:149] != _TO_EXPIRES
        or not MIN_SEQUENCE <= sequence_of(raw) <= MAX_SEQUENCE
        or expires_of(raw) < MIN_EXPIRES
    ):
        raise MalformedError("The record does not begin as signed records do, or was made by a newer version.")


def content_of(raw: bytes) -> bytes:
    """The content hash, 32 bytes."""
    return raw[_CONTENT]


def publisher_of(raw: bytes) -> bytes:
    """The publisher key, 32 bytes."""
    return raw[_PUBLISHER]


def sequence_of(raw: bytes) -> int:
    """The sequence number: of two records in one place the higher one counts."""
    return int.from_bytes(raw[_SEQUENCE], "big")


def expires_of(raw: bytes) -> int:
    """Unix seconds, signed by the publisher; no holder ever prolongs it."""
    return int.from_bytes(raw[_EXPIRES], "big")


def expiry_of(raw: bytes) -> bytes:
    """The same as it stands there, 4 bytes."""
    return raw[_EXPIRES]


def place_of(raw: bytes) -> bytes:
    """What a publisher can fill only once in a set: content and publisher. Sorts as (content, publisher) does."""
    return raw[_PLACE]


def place(content_hash: bytes, publisher: bytes) -> bytes:
    """The place of a record that is not at hand."""
    return content_hash + _TO_PUBLISHER + publisher
