"""What finds ask and answer: providers of a content, entries under a word. Pure; limits stand beside fields.

FIND_PROVIDERS  asks    2 content key · 8 datagrams wanted
                answers 2 IPv4 providers · 4 IPv6 providers, packed as `provider.py` says
FIND_ENTRIES    asks    2 keyword key · 4 words · 6 cursor · 8 datagrams wanted ·
                        3 kind · 5 extension · 7 least size · 9 largest size
                answers 2 digest of the candidates · 4 their count · 6 cursor, where there is more · 8 records;
                        further datagrams carry 8 alone

The filters have odd keys because the searcher checks every entry itself: a holder that ignores one only
sends too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhtshare.content.format import Kind
from dhtshare.content.keys import KEY_BYTES
from dhtshare.content.keywords import MAX_WORD_BYTES
from dhtshare.dht.messages import TARGET_KEY, Body
from dhtshare.dht.records.entry import MAX_SIZE
from dhtshare.dht.records.fields import Fields, check_bytes, check_text
from dhtshare.dht.records.paging import CURSOR_BYTES, DIGEST_BYTES
from dhtshare.dht.records.provider import ANSWER4_BYTES, ANSWER6_BYTES, Provider, read_answers
from dhtshare.dht.records.query import MAX_EXTENSION_BYTES, MAX_SENT_WORDS, Query
from dhtshare.dht.records.signed import HEAD_BYTES, MAX_RECORD_BYTES
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES, MAX_PARTS
from dhtshare.network import Scope

PAGE_HEAD_BYTES = DIGEST_BYTES + CURSOR_BYTES + 24  # all fields of an answer beside the records
PART_HEAD_BYTES = 8  # map, key and list of a further datagram
MAX_COUNT = 1 << 31

_PROVIDERS_ASKED = frozenset((TARGET_KEY, 8))
_PROVIDERS_ANSWERED = frozenset((2, 4))
_ENTRIES_ASKED = frozenset((TARGET_KEY, 4, 6, 8))
_ENTRIES_ANSWERED = frozenset((2, 4, 6, 8))
_KINDS = (Kind.FILE, Kind.COLLECTION)


@dataclass(frozen=True, slots=True)
class FindProviders:
    """Who holds the content of this key? `parts`: datagrams that the asker would take."""

    key: bytes
    parts: int = 1

    def body(self) -> Body:
        return {TARGET_KEY: self.key, 8: self.parts}

    @classmethod
    def read(cls, body: Body) -> FindProviders:
        fields = Fields(body, _PROVIDERS_ASKED)
        return cls(fields.raw(TARGET_KEY, KEY_BYTES, KEY_BYTES), fields.number(8, 1, MAX_PARTS, 1))


def read_providers(body: Body, scope: Scope) -> list[Provider]:
    """The providers in one datagram of an answer. Raises MalformedError."""
    fields = Fields(body, _PROVIDERS_ANSWERED)
    ipv4 = fields.raw(2, 0, MAX_DATAGRAM_BYTES, b"")
    ipv6 = fields.raw(4, 0, MAX_DATAGRAM_BYTES, b"")
    return list(read_answers(ipv4, ipv6, scope))


def providers_body(answers: Sequence[bytes]) -> Body:
    """One datagram of an answer, of providers packed one by one."""
    body: Body = {}
    ipv4 = b"".join(raw for raw in answers if len(raw) == ANSWER4_BYTES)
    ipv6 = b"".join(raw for raw in answers if len(raw) == ANSWER6_BYTES)
    if ipv4:
        body[2] = ipv4
    if ipv6:
        body[4] = ipv6
    return body


@dataclass(frozen=True, slots=True)
class FindEntries:
    """Which entries under this key match the query? An empty cursor asks for the first page."""

    key: bytes
    query: Query
    cursor: bytes = b""
    parts: int = 1

    def body(self) -> Body:
        query = self.query
        body: Body = {TARGET_KEY: self.key, 4: list(query.sent), 8: self.parts}
        if self.cursor:
            body[6] = self.cursor
        if query.kind is not None:
            body[3] = _KINDS.index(Kind(query.kind))
        if query.extension is not None and len(query.extension.encode()) <= MAX_EXTENSION_BYTES:
            body[5] = query.extension
        if query.min_size is not None:
            body[7] = min(query.min_size, MAX_SIZE)
        if query.max_size is not None:
            body[9] = min(query.max_size, MAX_SIZE)
        return body

    @classmethod
    def read(cls, body: Body) -> FindEntries:
        fields = Fields(body, _ENTRIES_ASKED)
        kind = fields.optional_number(3, 0, len(_KINDS) - 1)
        query = Query(
            tuple(check_text(word, MAX_WORD_BYTES) for word in fields.items(4, MAX_SENT_WORDS)),
            None if kind is None else _KINDS[kind],
            fields.optional_text(5, MAX_EXTENSION_BYTES),
            fields.optional_number(7, 0, MAX_SIZE),
            fields.optional_number(9, 0, MAX_SIZE),
        )
        return cls(
            fields.raw(TARGET_KEY, KEY_BYTES, KEY_BYTES),
            query,
            fields.raw(6, CURSOR_BYTES, CURSOR_BYTES, b""),
            fields.number(8, 1, MAX_PARTS, 1),
        )


@dataclass(frozen=True, slots=True)
class FoundEntries:
    """The answer, all its datagrams together. The records are as they came, nothing in them is checked."""

    digest: bytes
    count: int
    cursor: bytes
    raws: tuple[bytes, ...]

    @classmethod
    def read(cls, parts: Sequence[Body]) -> FoundEntries:
        fields = Fields(parts[0], _ENTRIES_ANSWERED)
        raws = tuple(
            check_bytes(raw, HEAD_BYTES, MAX_RECORD_BYTES)
            for part in parts
            for raw in Fields(part, _ENTRIES_ANSWERED).items(8, MAX_DATAGRAM_BYTES // HEAD_BYTES)
        )
        return cls(
            fields.raw(2, DIGEST_BYTES, DIGEST_BYTES, b""),
            fields.number(4, 0, MAX_COUNT, 0),
            fields.raw(6, CURSOR_BYTES, CURSOR_BYTES, b""),
            raws,
        )


def entries_bodies(digest: bytes, count: int, cursor: bytes, parts: Sequence[Sequence[bytes]]) -> list[Body]:
    """The datagrams of an answer."""
    first: Body = {2: digest, 4: count}
    if cursor:
        first[6] = cursor
    if parts[0]:
        first[8] = list(parts[0])
    bodies = [first]
    bodies += [{8: list(part)} for part in parts[1:]]
    return bodies
