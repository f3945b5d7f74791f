"""What a publisher asks of holders: keep, withdraw, forget, and say what you keep. Pure.

STORE_PROVIDERS asks 2 content keys, joined · 4 TCP port · 6 start of the peer id · 1 flags · 3 reserved: via
                answers 2 a verdict for each key
STORE_ENTRIES   asks 2 list of [record, numbers of its words as bytes]
                answers 2 a verdict for each word number, in order
WITHDRAW        asks 2 list of [withdrawal, keys joined]
                answers 2 a verdict for each key, in order
GONE            asks 2 content keys, joined; without it everything that this address claimed
                answers 2 how many records went
CHECK           asks 2 publisher · 4 list of [key of one of its words, content hash, numbers of words] ·
                     6 content keys, joined
                answers 2 a byte 0 or 1 for each word number, then for each content key

A verdict is one byte, see `limits.Verdict`. The holder computes the keys from the words that the entry
itself lists, so nobody can list an entry where it does not belong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhtshare.content.format import HASH_BYTES
from dhtshare.content.keys import KEY_BYTES
from dhtshare.content.keywords import MAX_WORDS
from dhtshare.dht.messages import Body
from dhtshare.dht.records.fields import Fields, check_bytes, check_tuple
from dhtshare.dht.records.limits import Verdict
from dhtshare.dht.records.provider import FLAG_PARTIAL, MAX_FLAGS, PEER_BYTES, ProviderClaim
from dhtshare.dht.records.signed import HEAD_BYTES, MAX_RECORD_BYTES
from dhtshare.errors import MalformedError
from dhtshare.identity import KEY_BYTES as PUBLISHER_BYTES

BODY_BYTES = 1080  # of a request's body, so that the datagram stays within 1,200 bytes
MAX_KEYS = 50  # joined in one field: 1,000 bytes
MAX_ITEMS = 32

_EVEN = frozenset((2,))
_PROVIDERS = frozenset((2, 4, 6))
_CHECKS = frozenset((2, 4, 6))


@dataclass(frozen=True, slots=True)
class StoreProviders:
    """I hold the contents of these keys."""

    keys: tuple[bytes, ...]
    claim: ProviderClaim

    def body(self) -> Body:
        body: Body = {2: b"".join(self.keys), 4: self.claim.port, 6: self.claim.peer}
        if self.claim.flags:
            body[1] = self.claim.flags
        return body

    @classmethod
    def read(cls, body: Body) -> StoreProviders:
        fields = Fields(body, _PROVIDERS)
        claim = ProviderClaim(
            fields.number(4, 1, 65535),
            fields.raw(6, PEER_BYTES, PEER_BYTES),
            bool(fields.number(1, 0, MAX_FLAGS, 0) & FLAG_PARTIAL),
        )
        return cls(tuple(fields.packed(2, KEY_BYTES, MAX_KEYS)), claim)


@dataclass(frozen=True, slots=True)
class StoreEntries:
    """Keep each of these records under the words of these numbers."""

    items: tuple[tuple[bytes, bytes], ...]

    def body(self) -> Body:
        return {2: [list(item) for item in self.items]}

    @classmethod
    def read(cls, body: Body) -> StoreEntries:
        return cls(_records(body, 1, MAX_WORDS))


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Put each of these withdrawals where you hold what it takes back, under these keys."""

    items: tuple[tuple[bytes, tuple[bytes, ...]], ...]

    def body(self) -> Body:
        return {2: [[raw, b"".join(keys)] for raw, keys in self.items]}

    @classmethod
    def read(cls, body: Body) -> Withdraw:
        items = _records(body, KEY_BYTES, MAX_KEYS * KEY_BYTES)
        return cls(tuple((raw, split_keys(keys)) for raw, keys in items))


@dataclass(frozen=True, slots=True)
class Gone:
    """I hold these contents no longer; None: nothing at all, I am leaving."""

    keys: tuple[bytes, ...] | None = None

    def body(self) -> Body:
        return {} if self.keys is None else {2: b"".join(self.keys)}

    @classmethod
    def read(cls, body: Body) -> Gone:
        fields = Fields(body, _EVEN)
        return cls(tuple(fields.packed(2, KEY_BYTES, MAX_KEYS)) if fields.has(2) else None)


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """An entry that should be held: the key of one of its words, under which it is looked for, and the content."""

    key: bytes
    content_hash: bytes
    numbers: bytes


@dataclass(frozen=True, slots=True)
class Check:
    """Which of these records do you hold? Entries of that publisher, provider records of this address."""

    publisher: bytes
    entries: tuple[CheckedEntry, ...] = ()
    keys: tuple[bytes, ...] = ()

    def body(self) -> Body:
        body: Body = {2: self.publisher}
        if self.entries:
            body[4] = [[one.key, one.content_hash, one.numbers] for one in self.entries]
        if self.keys:
            body[6] = b"".join(self.keys)
        return body

    @classmethod
    def read(cls, body: Body) -> Check:
        fields = Fields(body, _CHECKS)
        entries = []
        for item in fields.items(4, MAX_ITEMS):
            key, content_hash, numbers = check_tuple(item, 3)
            checked = CheckedEntry(
                check_bytes(key, KEY_BYTES, KEY_BYTES),
                check_bytes(content_hash, HASH_BYTES, HASH_BYTES),
                check_bytes(numbers, 1, MAX_WORDS),
            )
            entries.append(checked)
        publisher = fields.raw(2, PUBLISHER_BYTES, PUBLISHER_BYTES)
        return cls(publisher, tuple(entries), tuple(fields.packed(6, KEY_BYTES, MAX_KEYS)))


def verdicts_body(verdicts: Sequence[Verdict]) -> Body:
    """The answer to a store or a withdrawal."""
    return {2: bytes(verdicts)}


def read_verdicts(body: Body, count: int) -> list[Verdict]:
    """The verdicts of an answer, exactly so many. One that this version does not know is no acknowledgement."""
    raw = Fields(body, _EVEN).raw(2, count, count)
    return [Verdict(code) if code in Verdict._value2member_map_ else Verdict.UNKNOWN for code in raw]


def read_check(body: Body, count: int) -> list[bool]:
    """The answer to a check, exactly so many."""
    return [bool(code) for code in Fields(body, _EVEN).raw(2, count, count)]


def split_keys(joined: bytes) -> tuple[bytes, ...]:
    """Keys of 20 bytes out of one string. Raises MalformedError for a torn end."""
    if len(joined) % KEY_BYTES:
        raise MalformedError("The keys have a torn end.")
    return tuple(joined[start : start + KEY_BYTES] for start in range(0, len(joined), KEY_BYTES))


def _records(body: Body, lowest: int, highest: int) -> tuple[tuple[bytes, bytes], ...]:
    items = []
    for item in Fields(body, _EVEN).items(2, MAX_ITEMS):
        raw, rest = check_tuple(item, 2)
        items.append((check_bytes(raw, HEAD_BYTES, MAX_RECORD_BYTES), check_bytes(rest, lowest, highest)))
    return tuple(items)
