"""A file of one chunk needs no descriptor: take the bytes, rebuild the descriptor, compare (design.md, section 4).

The size that makes it possible is the peer's word. A false one costs a chunk: what was rebuilt then has another hash,
nothing of it is used, and the descriptor is asked for as that of any other content.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from blake3 import blake3

from dhtshare.content.chunks import chunk_count
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.errors import MalformedError, NetworkError, NotFoundError
from dhtshare.network import Address
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import HASH_BYTES, MAX_PAYLOAD_BYTES, Data, Get, Has
from dhtshare.transfer.missing import Missing
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.replies import ask, blame
from dhtshare.transfer.report import OnEvent, Report, SwarmResult


class Whole(NamedTuple):
    """All bytes of a file, verified, and who gave them."""

    data: bytes
    giver: Address


def may_be_one_chunk(has: Has) -> bool:
    """Whether the peer holds all of what may be a file of one chunk; a collection's descriptor is longer."""
    return (
        has.chunks == has.held == 1
        and 0 < has.size <= MAX_PAYLOAD_BYTES
        and chunk_count(has.size) == 1
        and has.descriptor == len(FileDescriptor(has.size, bytes(HASH_BYTES)).encode())
    )


async def take_whole(connection: Connection, content: bytes, size: int, timeout: float) -> tuple[bytes, Whole] | None:
    """The descriptor of this content and its bytes; None where the peer gives others, or none in `timeout` seconds.

    Raises RemoteProtocolError.
    """
    try:
        _, data = await ask(connection, lambda number: Get(number, content, 0, size), Data, timeout)
    except (NetworkError, NotFoundError):
        return None  # it may choke us, and still send the descriptor
    if len(data) != size:
        raise blame(connection, MalformedError(f"it gives {len(data)} bytes where {size} were asked for"))
    descriptor = FileDescriptor(size, blake3(data).digest())
    if descriptor.content_hash != content:
        return None
    return descriptor.encode(), Whole(data, connection.address)


def told(layout: Layout, whole: Whole, on_event: OnEvent, now: float) -> SwarmResult:
    """What a fetch tells that was over before it began: the same events and sums as any other."""
    report = Report(layout, Picker(1, 0, random.Random(0), have=1), Missing.of(layout, [0]), on_event, now)
    report.started()
    report.connected(whole.giver, 1, "descriptor")
    report.chunk_stored(whole.giver, 0, len(whole.data), now)
    report.progress(now, 0.0, 1, last=True)
    return report.result(now)
