"""What transfer needs of others, declared here and handed in: where chunks come from and where they go.

Never implemented here; the library's shelf and unfinished files are shaped like this.
"""

from __future__ import annotations

from typing import Protocol

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.layout import Layout
from dhtshare.content.open_chunk import OpenChunk


class Offer(Protocol):
    """One content that this node serves, whole or in part."""

    @property
    def descriptor(self) -> bytes:
        """The bytes that the content hash is the hash of."""

    @property
    def name(self) -> str:
        """What this node calls it."""

    @property
    def layout(self) -> Layout:
        """Its chunks."""

    @property
    def have(self) -> Bitfield | None:
        """The chunks that are here, growing while a fetch runs; None when all are."""

    @property
    def at_hand(self) -> bool:
        """Whether `layout` and `have` take no time: a large collection's is read and decoded first, in a thread."""

    def open_chunk(self, index: int) -> OpenChunk:
        """Open what holds chunk `index`. Called in a worker thread, paired with `close_chunk`.

        Raises OSError or DiskError where the file is gone or not what was published any more; the owner
        then stops offering it.
        """

    def close_chunk(self, chunk: OpenChunk) -> None:
        """Give back what `open_chunk` gave. Called in a worker thread."""

    def member_descriptor(self, file: int) -> bytes:
        """The descriptor of file number `file` of a collection. Called in a worker thread.

        Raises DiskError when it cannot be read.
        """


class Shelf(Protocol):
    """All that this node serves."""

    def offer(self, content_hash: bytes) -> Offer | None:
        """What is served under this hash, or None. Called on the event loop: quick, touches no disk."""


class Sink(Protocol):
    """Where verified chunks of one fetch go."""

    @property
    def have(self) -> Bitfield:
        """The chunks that are stored already; `store` adds to it."""

    def store(self, index: int, data: memoryview) -> None:
        """Write one verified chunk in its place, and note it in `have`. Called in worker threads, any order.

        `data` is a borrowed buffer, dead after the call. Raises DiskError.
        """
