"""What a node asks that has become one of the closest to some keys: what do you hold there, give me what I lack. Pure.

SURVEY  asks    2 start of a region (20 bytes) · 4 how many bits of it count · 6 start of the asker's own digest of it
        answers 4 present where the digests agree · 6 present where the region holds too many keys: ask for parts of
                it · else 2 pairs of key (20) and start of the digest of its set (8), joined; further datagrams
                carry 2 alone
PULL    asks    2 list of [key, behind this place, up to this place, marks of what the asker has there, joined]
        answers 2 list of [number of the key in the request, record, network that stored it] ·
                4 present where not everything fitted; further datagrams carry 2 alone

The digest of a region is BLAKE3 of those pairs. A mark is the first 8 bytes of a record's signature. An empty
place leaves that side of a set open; a set too large to name all marks of is pulled range by range. Provider
records are not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from blake3 import blake3

from dhtshare.content.keys import KEY_BYTES
from dhtshare.dht.messages import Body
from dhtshare.dht.records.fields import Fields, check_bytes, check_tuple
from dhtshare.dht.records.region import Region
from dhtshare.dht.records.signed import HEAD_BYTES, MAX_RECORD_BYTES, PLACE_BYTES
from dhtshare.dht.wire import MAX_DATAGRAM_BYTES
from dhtshare.errors import MalformedError

START_BYTES = 8  # of a digest, and of a mark
PAIR_BYTES = KEY_BYTES + START_BYTES
MAX_PAIRS = 36  # in one datagram
MAX_PULLED_KEYS = 32
MAX_MARKS_BYTES = 720
MAX_TAG_BYTES = 16

_SURVEY = frozenset((2, 4, 6))
_EVEN = frozenset((2, 4))


@dataclass(frozen=True, slots=True)
class Survey:
    """Which sets do you hold in this region, if not the same as I?"""

    region: Region
    digest: bytes

    def body(self) -> Body:
        return {2: self.region.start, 4: self.region.bits, 6: self.digest}

    @classmethod
    def read(cls, body: Body) -> Survey:
        fields = Fields(body, _SURVEY)
        region = Region(fields.raw(2, KEY_BYTES, KEY_BYTES), fields.number(4, 0, 8 * KEY_BYTES))
        return cls(region, fields.raw(6, START_BYTES, START_BYTES))


Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Surveyed:
    """Keys in order, each with the start of its set's digest; none where all are the `same` or there are too `many`."""

    pairs: Pairs = ()
    same: bool = False
    many: bool = False

    def bodies(self) -> list[Body]:
        if self.same or self.many:
            return [{4: 1} if self.same else {6: 1}]
        chunks = [self.pairs[start : start + MAX_PAIRS] for start in range(0, len(self.pairs), MAX_PAIRS)]
        return [{2: b"".join(key + start for key, start in chunk)} for chunk in chunks] or [{}]

    @classmethod
    def read(cls, parts: Sequence[Body]) -> Surveyed:
        pairs = [pair for part in parts for pair in Fields(part, _SURVEY).packed(2, PAIR_BYTES, MAX_PAIRS)]
        first = Fields(parts[0], _SURVEY)
        return cls(tuple((pair[:KEY_BYTES], pair[KEY_BYTES:]) for pair in pairs), first.has(4), first.has(6))


def digest_of_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The start of a region's digest; pairs come by key."""
    return blake3(b"".join(key + start for key, start in pairs)).digest(length=START_BYTES)


@dataclass(frozen=True, slots=True)
class Want:
    """A range of one set, places behind `after` up to and with `until`, and the marks of what is not wanted."""

    key: bytes
    marks: bytes = b""
    after: bytes = b""
    until: bytes = b""


@dataclass(frozen=True, slots=True)
class Pull:
    """Give me what you hold in these ranges, but the records whose marks I name."""

    wants: tuple[Want, ...]

    def body(self) -> Body:
        return {2: [[want.key, want.after, want.until, want.marks] for want in self.wants]}

    @classmethod
    def read(cls, body: Body) -> Pull:
        wants = []
        for item in Fields(body, frozenset((2,))).items(2, MAX_PULLED_KEYS):
            key, after, until, marks = check_tuple(item, 4)
            want = Want(
                check_bytes(key, KEY_BYTES, KEY_BYTES),
                check_bytes(marks, 0, MAX_MARKS_BYTES),
                check_bytes(after, 0, PLACE_BYTES),
                check_bytes(until, 0, PLACE_BYTES),
            )
            wants.append(want)
        return cls(tuple(wants))


@dataclass(frozen=True, slots=True)
class Pulled:
    """Records, unchecked, each with the number of the key it was held under and the network that stored it."""

    items: tuple[tuple[int, bytes, bytes], ...]
    more: bool

    @classmethod
    def read(cls, parts: Sequence[Body]) -> Pulled:
        items = []
        for part in parts:
            for item in Fields(part, _EVEN).items(2, MAX_DATAGRAM_BYTES // HEAD_BYTES):
                number, raw, tag = check_tuple(item, 3)
                if type(number) is not int or not 0 <= number < MAX_PULLED_KEYS:
                    raise MalformedError("A pulled record belongs to no key.")
                items.append(
                    (number, check_bytes(raw, HEAD_BYTES, MAX_RECORD_BYTES), check_bytes(tag, 0, MAX_TAG_BYTES))
                )
        return cls(tuple(items), Fields(parts[0], _EVEN).has(4))


def pulled_bodies(parts: Sequence[Iterable[tuple[int, bytes, bytes]]], more: bool) -> list[Body]:
    """The datagrams of an answer to a pull."""
    bodies: list[Body] = [{2: [list(item) for item in part]} for part in parts]
    if more:
        bodies[0][4] = 1
    return bodies
