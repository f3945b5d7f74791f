"""What nodes ask each other and what they answer, as typed values. No bytes here: `wire.py` has them.

A method is a small number, a body is a map with small integer keys. Body key 2 is the target of every
method that walks the DHT; the core answers those with the closest contacts it knows, so that a lookup
moves on whatever else it asks for. The records above the core number their own methods from 16.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from dhtshare.dht.contact import Contact
from dhtshare.errors import NetworkError
from dhtshare.network import Address, Scope

Body = dict[int, object]
TARGET_KEY = 2  # body key of the 20-byte target of a walking method


class Method(enum.IntEnum):
    """Methods of the core. A node that does not know a method answers `unsupported`."""

    PING = 1
    FIND_NODE = 2
    PROBE = 4  # please find out whether I can be reached
    RELAY = 6  # please send this one small datagram to that address
    PROBED = 8  # I dialled your TCP port, and this came of it


FIRST_RECORD_METHOD = 16


class Code(enum.IntEnum):
    """Why a node refused. Numbers are protocol."""

    UNSUPPORTED = 1  # method, or an even key, made by a newer version
    MALFORMED = 2
    UNPROVED = 3  # the request needs a token; this answer carries one
    BUSY = 4  # retry after so many seconds
    FULL = 5
    REFUSED = 6  # understood and declined


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer that says no. `retry_after` is in seconds and goes with BUSY."""

    code: Code
    retry_after: int = 0


Answer = Body | list[Body] | Failure


class Request(NamedTuple):
    """A request as its handler sees it.

    `proved`: its token shows that it really comes from `sender`. `node_id` is only a claim. `dialled` is
    the address of ours that the sender used, by its own word. `room` is how many bytes of packed body fit
    beside the contacts in the first datagram of the answer, `more_room` how many fit in each further one
    (0 for an unproved sender, who gets one datagram only).
    """

    body: Body
    sender: Address
    node_id: bytes
    proved: bool
    client: bool
    dialled: Address | None
    scope: Scope
    room: int
    more_room: int


Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as its asker sees it.

    `parts`: the body of each datagram, in order. `complete` is False where some of them never came.
    `contacts`: at most 20, each one possible in the scope, none believed yet. `seen`: our address as the
    answering node saw it. `wall`: its clock, Unix seconds. `rtt`: seconds from the last sending.
    """

    node_id: bytes
    address: Address
    parts: tuple[Body, ...]
    contacts: tuple[Contact, ...]
    seen: Address | None
    wall: int
    rtt: float
    complete: bool

    @property
    def body(self) -> Body:
        """The first part; the only one of a short answer."""
        return self.parts[0]


class NoAnswer(NetworkError):  # noqa: N818 - an outcome of the network, named as in the protocol
    """A node did not answer within its time, retransmissions included."""


class Refused(NetworkError):  # noqa: N818
    """A node answered with a failure."""

    def __init__(self, code: int, retry_after: int = 0) -> None:
        name = Code(code).name.lower() if code in Code._value2member_map_ else f"code {code}"
        super().__init__(f"The node refused: {name}.")
        self.code = code
        self.retry_after = retry_after
