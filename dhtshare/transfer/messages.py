"""The messages between two peers. This text is the specification of the TCP protocol.

**Frame.** Two unsigned 32-bit big-endian numbers, the length of the header (1 to 4,096 bytes) and of the
payload (0 to 1,048,576 bytes); then the header, a MessagePack map with small integer keys; then the payload,
raw. Key 0 of every header is the version of the message (1), key 2 its type. A receiver ignores an odd key
that it does not know and refuses an even one; a message of a type that it does not know is skipped, and
answered with REFUSED(unsupported) if it carries a request number under key 4.

**Opening.** The dialler speaks first. Over TLS 1.3 its first byte is 0x16, plain it is 0x00 (headers are
shorter than 16 MiB), so one port serves both. Plain is for loopback addresses of the LAN scope, or where both
sides are told never to encrypt; a listener that wants TLS answers a plain opening with REFUSED(encrypt) to
request 0 and closes, and the dialler may come back with TLS. The first frame of each side is HELLO; the dialler
sends its requests right behind it, without waiting for the answer. HELLO of another network closes the
connection. Whoever sees its own nonce come in talks to itself and closes.

**Identity.** The listener proves its peer id by its TLS certificate, or on a plain connection by the proof in
its HELLO: the peer key's signature, purpose 'hello', over the dialler's nonce. The dialler presents none.

**Requests** go both ways whoever dialled. Each carries a number (below 2^32, chosen by the asker, not used by
another request in flight on this connection) and gets exactly one answer with that number: the answer of its
kind, or REFUSED. Answers come in any order. At most 256 requests are in flight in each direction.

  ASK             → HAS            what the peer holds of a content; with `follow` its HAVEs come until the end
  GET_DESCRIPTOR  → DESCRIPTOR     a range of a descriptor, of the content or of one file of a collection
  GET_MEMBERS     → MEMBERS        the descriptors of several files of a collection, those that fit one answer
  GET             → DATA           bytes of chunks: a range of one chunk, or a run of whole chunks

A whole seed tells those who follow a content, by GIVEN, which chunks it gives to others: who has a choice asks it
for different ones, so that a swarm of fetchers draws each chunk from its seed about once. Who asks for one that was
given to another a moment ago may be answered with REFUSED(given), once: asked again, it comes.

Chunks are counted through all files of a content in the order of its descriptor, from 0; a file of n bytes has
⌈n / chunk size⌉ of them. A run of chunks is one request: up to 8 MiB where they follow each other in one file, so
that a fast line is not held up by questions, up to 1 MiB where they are many small files. What is longer than 1 MiB
comes in several DATA with the request's number, one behind the other, 1 MiB each and the last one what is left; a
REFUSED instead of one of them ends the answer.

**Choking.** A connection starts unchoked. CHOKE says that requests of data will be refused (those in flight are
answered with REFUSED(choked)) until UNCHOKE; having asked is what shows interest. CANCEL withdraws a request that
was not answered yet: it is answered all the same, with REFUSED(cancelled) or, too late, its DATA.

**Times.** HELLO comes within 10 s of the connection; whoever neither asks nor answers for 120 s may be dropped;
PING, which is not answered, prevents that. A frame that was begun goes on: nothing of it for 9 s, or less than 4 KiB
a second over 20 s, ends the connection.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from dhtshare.transfer.schema import Field, flag, integer, numbers, raw, text

VERSION = 1
PREFIX_BYTES = 8
MAX_HEADER_BYTES = 4096
MAX_PAYLOAD_BYTES = 1 << 20
#: What one GET may ask for.
MAX_RUN_BYTES = 8 << 20
#: First byte of a TLS ClientHello record; a plain opening starts with 0x00.
TLS_FIRST_BYTE = 0x16

HASH_BYTES = 32
NONCE_BYTES = 16
TAG_BYTES = 8
MAX_AGENT_BYTES = 64
MAX_NAME_BYTES = 255
MAX_REQUEST = (1 << 32) - 1
MAX_REQUESTS_IN_FLIGHT = 256
#: Files of a collection times chunks of a file, both at their limits.
MAX_CHUNKS = 100_000 * 65_536
MAX_FILES = 100_000
MAX_DESCRIPTOR_BYTES = 16 << 20
#: A descriptor travels in ranges of this size; a member's that is longer is not part of MEMBERS.
DESCRIPTOR_RANGE_BYTES = 64 << 10
MAX_MEMBERS = 256
MAX_RUNS = 128
#: Chunks of one GET; bounds what answering it costs.
MAX_RUN_CHUNKS = 512
MAX_CHUNK_BYTES = 16 << 20
#: What a bitfield of one HAS can tell of; chunks beyond are told by HAVE.
MAX_BITFIELD_CHUNKS = MAX_PAYLOAD_BYTES * 8

HELLO_PURPOSE = b"hello"

_REQUEST = Field(4, "request", integer(MAX_REQUEST))
_CONTENT = Field(6, "content", raw(HASH_BYTES))


class Reason(enum.IntEnum):
    """Why a request was refused. A number that is not listed reads as FAILED."""

    FAILED = 0
    NOT_FOUND = 1
    CHOKED = 2
    CANCELLED = 3
    UNSUPPORTED = 4
    ENCRYPT = 5
    TOO_MANY = 6
    GIVEN = 7


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of each side. `peer_id` and `proof` come from the listener on a plain connection."""

    network: bytes
    nonce: bytes
    agent: str = ""
    peer_id: bytes = b""
    proof: bytes = b""

    TYPE: ClassVar[int] = 1
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(4, "network", raw(4)),
        Field(6, "nonce", raw(NONCE_BYTES)),
        Field(3, "agent", text(MAX_AGENT_BYTES), ""),
        Field(5, "peer_id", raw(32), b""),
        Field(7, "proof", raw(64), b""),
    )


@dataclass(frozen=True, slots=True)
class Ask:
    """What do you hold of this content? With `follow`, tell me too what you get from now on.

    `tag`, by chance, names one fetch for as long as it runs: two connections on which the same one comes in lead to
    the same fetch, and both sides leave the one that the lesser tag's fetch opened.
    """

    request: int
    content: bytes
    follow: bool = False
    tag: bytes = b""

    TYPE: ClassVar[int] = 2
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _REQUEST,
        _CONTENT,
        Field(8, "follow", flag(), False),
        Field(3, "tag", raw(TAG_BYTES), b""),
    )


@dataclass(frozen=True, slots=True)
class Has:
    """Answer to ASK. `held` of `chunks` are here; unless all, the payload is the bitfield of the first 2^23.

    `name` is what the peer calls the content, `descriptor` the length of its descriptor in bytes, `size` that of the
    content where it has one chunk: such a file can be taken without its descriptor, which its bytes make. The payload's
    bit i is bit i % 8 (least significant first) of byte i // 8.
    """

    request: int
    chunks: int
    held: int
    name: str
    descriptor: int
    size: int = 0

    TYPE: ClassVar[int] = 3
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _REQUEST,
        Field(6, "chunks", integer(MAX_CHUNKS)),
        Field(8, "held", integer(MAX_CHUNKS)),
        Field(10, "name", text(MAX_NAME_BYTES), ""),
        Field(12, "descriptor", integer(MAX_DESCRIPTOR_BYTES)),
        Field(13, "size", integer(MAX_CHUNK_BYTES), 0),
    )

    @property
    def complete(self) -> bool:
        """Whether the peer holds every chunk."""
        return self.held == self.chunks


@dataclass(frozen=True, slots=True)
class Have:
    """Chunks verified since: first, count, first, count, … Unasked, to those who follow the content."""

    content: bytes
    runs: tuple[int, ...]

    TYPE: ClassVar[int] = 4
    FIELDS: ClassVar[tuple[Field, ...]] = (_CONTENT, Field(8, "runs", numbers(MAX_CHUNKS, 2 * MAX_RUNS)))


@dataclass(frozen=True, slots=True)
class GetDescriptor:
    """Up to 64 KiB of a descriptor from `offset`: the content's, or that of file `file` (from 1) if not 0."""

    request: int
    content: bytes
    offset: int = 0
    file: int = 0

    TYPE: ClassVar[int] = 5
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _REQUEST,
        _CONTENT,
        Field(8, "offset", integer(MAX_DESCRIPTOR_BYTES), 0),
        Field(10, "file", integer(MAX_FILES), 0),
    )


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Answer to GET_DESCRIPTOR: the payload is the range, `total` the length of the whole."""

    request: int
    total: int

    TYPE: ClassVar[int] = 6
    FIELDS: ClassVar[tuple[Field, ...]] = (_REQUEST, Field(6, "total", integer(MAX_DESCRIPTOR_BYTES)))


@dataclass(frozen=True, slots=True)
class GetMembers:
    """The descriptors of these files (numbers in the collection's order, from 0)."""

    request: int
    content: bytes
    files: tuple[int, ...]

    TYPE: ClassVar[int] = 7
    FIELDS: ClassVar[tuple[Field, ...]] = (_REQUEST, _CONTENT, Field(8, "files", numbers(MAX_FILES, MAX_MEMBERS)))


@dataclass(frozen=True, slots=True)
class Members:
    """Answer to GET_MEMBERS: in the order asked, the lengths; the payload is the descriptors one after another.

    Length 0: not here, or longer than a range, or no room in this answer; ask again.
    """

    request: int
    lengths: tuple[int, ...]

    TYPE: ClassVar[int] = 8
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _REQUEST,
        Field(6, "lengths", numbers(DESCRIPTOR_RANGE_BYTES, MAX_MEMBERS)),
    )


@dataclass(frozen=True, slots=True)
class Get:
    """`length` bytes: from `offset` of chunk `first`, or (count > 1, offset 0) the whole of `count` chunks.

    More than MAX_PAYLOAD_BYTES only of chunks that follow each other in one file.
    """

    request: int
    content: bytes
    first: int
    length: int
    count: int = 1
    offset: int = 0

    TYPE: ClassVar[int] = 9
    FIELDS: ClassVar[tuple[Field, ...]] = (
        _REQUEST,
        _CONTENT,
        Field(8, "first", integer(MAX_CHUNKS)),
        Field(10, "length", integer(MAX_RUN_BYTES, least=1)),
        Field(12, "count", integer(MAX_RUN_CHUNKS, least=1), 1),
        Field(14, "offset", integer(MAX_CHUNK_BYTES), 0),
    )


@dataclass(frozen=True, slots=True)
class Data:
    """Answer to GET: the payload is exactly the bytes asked for, or the next MAX_PAYLOAD_BYTES of them; never empty."""

    request: int

    TYPE: ClassVar[int] = 10
    FIELDS: ClassVar[tuple[Field, ...]] = (_REQUEST,)


@dataclass(frozen=True, slots=True)
class Cancel:
    """The request is no longer wanted."""

    request: int

    TYPE: ClassVar[int] = 11
    FIELDS: ClassVar[tuple[Field, ...]] = (_REQUEST,)


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer to any request that gets no other."""

    request: int
    reason: int

    TYPE: ClassVar[int] = 12
    FIELDS: ClassVar[tuple[Field, ...]] = (_REQUEST, Field(6, "reason", integer(255)))


@dataclass(frozen=True, slots=True)
class Choke:
    """No data for you for now."""

    TYPE: ClassVar[int] = 13
    FIELDS: ClassVar[tuple[Field, ...]] = ()


@dataclass(frozen=True, slots=True)
class Unchoke:
    """Ask again."""

    TYPE: ClassVar[int] = 14
    FIELDS: ClassVar[tuple[Field, ...]] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """Chunks that this seed gives to others: first, count, … as in HAVE. Unasked, to those who follow the content."""

    content: bytes
    runs: tuple[int, ...]

    TYPE: ClassVar[int] = 16
    FIELDS: ClassVar[tuple[Field, ...]] = (_CONTENT, Field(8, "runs", numbers(MAX_CHUNKS, 2 * MAX_RUNS)))


@dataclass(frozen=True, slots=True)
class Ping:
    """Still here."""

    TYPE: ClassVar[int] = 15
    FIELDS: ClassVar[tuple[Field, ...]] = ()


Request = Ask | GetDescriptor | GetMembers | Get
Answer = Has | Descriptor | Members | Data | Refused
Message = Hello | Request | Answer | Have | Given | Cancel | Choke | Unchoke | Ping

KINDS: dict[int, type[Message]] = {
    kind.TYPE: kind
    for kind in (
        Hello,
        Ask,
        Has,
        Have,
        GetDescriptor,
        Descriptor,
        GetMembers,
        Members,
        Get,
        Data,
        Cancel,
        Refused,
        Choke,
        Unchoke,
        Ping,
        Given,
    )
}

MAX_PAYLOAD: dict[type[Message], int] = {
    Has: MAX_PAYLOAD_BYTES,
    Descriptor: DESCRIPTOR_RANGE_BYTES,
    Members: MAX_PAYLOAD_BYTES,
    Data: MAX_PAYLOAD_BYTES,
}
"""The kinds that carry a payload, and how much."""

M = TypeVar("M", bound=Message)
