"""What a holder answers to a query: which records, in which order, and where the next page begins. Pure.

The order is dealt over the networks that stored the records: the first of each network, then the second of
each, so that a thousand entries from one network stand behind the first of every other. Within a round
records stand by place. A cursor is round and place of the last record sent, so a page can be continued at
any holder and after any change, and no offset has to be right.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgpack
from blake3 import blake3

from dhtshare.dht.records.entry import Withdrawal, reread
from dhtshare.dht.records.held import Held, HeldSet, HeldWithdrawal
from dhtshare.dht.records.query import Query
from dhtshare.dht.records.signed import PLACE_BYTES, place_of
from dhtshare.identity import SIGNATURE_BYTES

DIGEST_BYTES = 16
CURSOR_BYTES = 4 + PLACE_BYTES
ITEM_OVERHEAD = 3  # MessagePack header of a byte string
START = b"\0" * CURSOR_BYTES  # before every record
MAX_READ = 1000  # records decoded for one page; a filter that matches nothing must not cost more


@dataclass(frozen=True, slots=True)
class Page:
    """`parts`: records for each datagram. `cursor`: where to go on, empty at the end. `count`: candidates in all.

    `digest` is that of all candidates, whatever the page.
    """

    parts: list[list[bytes]]
    cursor: bytes
    count: int
    digest: bytes


def candidates(members: HeldSet, words: Sequence[str], now: float) -> list[Held]:
    """Records not past that may carry all words, found without decoding them; withdrawals always may."""
    patterns = [msgpack.packb(word) for word in words]
    return [
        held
        for held in members
        if held.deadline > now
        and (isinstance(held, HeldWithdrawal) or all(pattern in held.raw for pattern in patterns))
    ]


def digest(members: Iterable[Held]) -> bytes:
    """16 bytes that differ when any record does. Members come by place."""
    signatures = b"".join(held.raw[:SIGNATURE_BYTES] for held in members)
    return blake3(signatures).digest(length=DIGEST_BYTES)


def digest_of_raw(raws: Iterable[bytes]) -> bytes:
    """The same of records that travelled here, in any order; a record that came twice counts once."""
    ordered = sorted(set(raws), key=lambda raw: (place_of(raw), raw))
    return blake3(b"".join(raw[:SIGNATURE_BYTES] for raw in ordered)).digest(length=DIGEST_BYTES)


def dealt(members: Iterable[Held]) -> list[tuple[bytes, Held]]:
    """The records in the order of pages, each with its cursor."""
    rounds: defaultdict[bytes, int] = defaultdict(int)
    order: list[tuple[bytes, Held]] = []
    for held in members:
        number = rounds[held.tag]
        rounds[held.tag] = number + 1
        order.append((number.to_bytes(4, "big") + place_of(held.raw), held))
    order.sort(key=lambda item: item[0])
    return order


def page(members: HeldSet, query: Query, cursor: bytes, rooms: Sequence[int], now: float) -> Page:
    """The records behind the cursor that match, as many as fit into datagrams with `rooms` bytes for them.

    `rooms` has one number at least; a page may be empty and yet go on, where its first record found no room.
    """
    matching = candidates(members, query.words, now)
    order = dealt(matching)
    start = bisect_right(order, cursor, key=lambda item: item[0])
    parts: list[list[bytes]] = [[]]
    left = rooms[0]
    last, complete = cursor or START, True
    for number, (at, held) in enumerate(order[start:]):
        record = reread(held.raw)
        size = len(held.raw) + ITEM_OVERHEAD
        if isinstance(record, Withdrawal) or query.matches(record):
            while size > left and len(parts) < len(rooms):
                left = rooms[len(parts)]
                parts.append([])
            if size > left:
                complete = False
                break
            parts[-1].append(held.raw)
            left -= size
        elif number >= MAX_READ:
            complete = False
            break
        last = at
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return Page(parts, b"" if complete else last, len(matching), digest(matching))
