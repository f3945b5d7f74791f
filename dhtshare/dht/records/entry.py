"""Keyword entries and withdrawals: what a publisher signs. Pure; never decides whether to keep one.

Both begin as `signed.py` says. An entry goes on with 10 kind · 12 size · 14 name · 16 words; a withdrawal
ends after the head, and its signature has another purpose, so that neither can pass for the other. An
unknown even key refuses the record, an unknown odd key is ignored, and the bytes are kept and passed on as
they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgpack

from dhtshare.content.canonical import Reader, encode
from dhtshare.content.format import HASH_BYTES, Kind
from dhtshare.content.keywords import MAX_WORD_BYTES, MAX_WORDS
from dhtshare.dht.records.signed import (
    MAX_EXPIRES,
    MAX_RECORD_BYTES,
    MAX_SEQUENCE,
    MIN_EXPIRES,
    MIN_SEQUENCE,
    VERSION,
    check_head,
    content_of,
    expires_of,
    publisher_of,
    sequence_of,
)
from dhtshare.errors import MalformedError
from dhtshare.identity import SIGNATURE_BYTES, SigningKey, verify

ENTRY_PURPOSE = b"entry"
WITHDRAWAL_PURPOSE = b"withdrawal"
MAX_NAME_BYTES = 255
MAX_SIZE = (1 << 63) - 1

_KINDS = (Kind.FILE, Kind.COLLECTION)  # by their numbers on the wire; 2 is reserved for nested collections
_ENTRY_EVEN = frozenset((0, 2, 4, 6, 8, 10, 12, 14, 16))
_HEAD_EVEN = frozenset((0, 2, 4, 6, 8))
_KIND, _SIZE, _NAME, _WORDS = 10, 12, 14, 16


@dataclass(frozen=True, slots=True)
class Entry:
    """A publisher says: this content exists under these words. `raw` is the record as it travels.

    `expires` in Unix seconds, `size` in bytes; the words are the publisher's, holders never make any.
    """

    content_hash: bytes
    publisher: bytes
    sequence: int
    expires: int
    kind: Kind
    size: int
    name: str
    words: tuple[str, ...]
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A publisher says: my entry for this content, of this sequence number or a lower one, is void."""

    content_hash: bytes
    publisher: bytes
    sequence: int
    expires: int
    raw: bytes = field(repr=False)


SignedRecord = Entry | Withdrawal


def sign_entry(
    key: SigningKey,
    network: bytes,
    *,
    content_hash: bytes,
    sequence: int,
    expires: int,
    kind: Kind,
    size: int,
    name: str,
    words: Sequence[str],
) -> bytes:
    """The record's bytes. Words that do not fit into 1,000 bytes are left out, the last ones first.

    Raises MalformedError for what no holder would take: no words, a name over 255 bytes, numbers out of range.
    """
    kept = list(words)
    while True:
        fields = _head(key, content_hash, sequence, expires)
        fields |= {_KIND: _KINDS.index(kind), _SIZE: size, _NAME: name, _WORDS: kept}
        payload = encode(fields)
        if len(payload) + SIGNATURE_BYTES <= MAX_RECORD_BYTES or not kept:
            break
        kept.pop()
    raw = key.sign(ENTRY_PURPOSE, network, payload) + payload
    decode_record(raw)
    return raw


def sign_withdrawal(key: SigningKey, network: bytes, *, content_hash: bytes, sequence: int, expires: int) -> bytes:
    """The withdrawal's bytes. `expires` is not before the expiry of the entry that it takes back."""
    payload = encode(_head(key, content_hash, sequence, expires))
    raw = key.sign(WITHDRAWAL_PURPOSE, network, payload) + payload
    decode_record(raw)
    return raw


def decode_record(raw: bytes) -> SignedRecord:
    """The record of these bytes, its form checked but not its signature. Raises MalformedError."""
    check_head(raw)
    reader = Reader(raw[SIGNATURE_BYTES:])
    fields = reader.small_map(MAX_RECORD_BYTES)
    reader.finish()
    known = _ENTRY_EVEN if _KIND in fields else _HEAD_EVEN
    if any(not key & 1 and key not in known for key in fields):
        raise MalformedError("The record was made by a newer version.")
    if _KIND not in fields:
        return Withdrawal(content_of(raw), publisher_of(raw), sequence_of(raw), expires_of(raw), raw)
    _check_entry(fields)
    return _entry(raw, fields)


def reread(raw: bytes) -> SignedRecord:
    """`decode_record` for bytes that have passed it before: no checks, several times as fast."""
    fields = cast("dict[int, Any]", msgpack.unpackb(raw[SIGNATURE_BYTES:], strict_map_key=False))
    if _KIND not in fields:
        return Withdrawal(content_of(raw), publisher_of(raw), sequence_of(raw), expires_of(raw), raw)
    return _entry(raw, fields)


def is_signed(record: SignedRecord, network: bytes) -> bool:
    """Whether the publisher named in the record signed it for this network. Takes about 0.1 ms."""
    purpose = ENTRY_PURPOSE if isinstance(record, Entry) else WITHDRAWAL_PURPOSE
    raw = record.raw
    return verify(record.publisher, raw[:SIGNATURE_BYTES], purpose, network, raw[SIGNATURE_BYTES:])


def _head(key: SigningKey, content_hash: bytes, sequence: int, expires: int) -> dict[int, object]:
    if len(content_hash) != HASH_BYTES:
        raise MalformedError("A content hash has 32 bytes.")
    if not MIN_SEQUENCE <= sequence <= MAX_SEQUENCE or not MIN_EXPIRES <= expires <= MAX_EXPIRES:
        raise MalformedError("A sequence number or expiry is out of range.")
    return {0: VERSION, 2: content_hash, 4: key.public, 6: sequence, 8: expires}


def _check_entry(fields: dict[int, Any]) -> None:
    kind, size, name, words = (fields.get(key) for key in (_KIND, _SIZE, _NAME, _WORDS))
    if type(kind) is not int or not 0 <= kind < len(_KINDS):
        raise MalformedError("The entry is of a kind that this version does not know.")
    if type(size) is not int or not 0 <= size <= MAX_SIZE:
        raise MalformedError("The size of the entry is out of range.")
    if type(name) is not str or not 0 < len(name.encode()) <= MAX_NAME_BYTES:
        raise MalformedError("The name of the entry is none.")
    if type(words) is not list or not 0 < len(words) <= MAX_WORDS:
        raise MalformedError("The entry has no words, or too many.")
    if any(type(word) is not str or not 0 < len(word.encode()) <= MAX_WORD_BYTES for word in words):
        raise MalformedError("A word of the entry is none.")
    if len(set(words)) != len(words):
        raise MalformedError("The entry lists a word twice.")


def _entry(raw: bytes, fields: dict[int, Any]) -> Entry:
    return Entry(
        content_of(raw),
        publisher_of(raw),
        sequence_of(raw),
        expires_of(raw),
        _KINDS[fields[_KIND]],
        fields[_SIZE],
        fields[_NAME],
        tuple(fields[_WORDS]),
        raw,
    )
