"""Contents in memory and on disk, peers that serve them over real sockets, and peers that do not behave."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

from blake3 import blake3

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.chunks import chunk_count, chunk_length, chunk_size
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.content.open_chunk import OpenChunk
from dhtshare.identity import SigningKey
from dhtshare.listening import listen
from dhtshare.network import Address, ScopeRules, network_id
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.ratelimit import Limits

NETWORK = network_id("transfer test")


def describe(data: bytes) -> FileDescriptor:
    size = len(data)
    step = chunk_size(size)
    hashes = b"".join(
        blake3(data[at * step : at * step + chunk_length(size, at)]).digest() for at in range(chunk_count(size))
    )
    return FileDescriptor(size, hashes)


class FileOffer:
    """One file of the disk, served whole or in part; `descriptor` may describe other bytes than lie there."""

    at_hand = True

    def __init__(self, path: Path, descriptor: FileDescriptor, have: Bitfield | None = None) -> None:
        self.path = path
        self.content_hash = descriptor.content_hash
        self.descriptor = descriptor.encode()
        self.name = path.name
        self.layout = Layout.of(descriptor)
        self.have = have

    def open_chunk(self, index: int) -> OpenChunk:
        slot = self.layout.slot(index)
        return OpenChunk(os.open(self.path, os.O_RDONLY), slot.offset, slot.length)

    def close_chunk(self, chunk: OpenChunk) -> None:
        os.close(chunk.fd)

    def member_descriptor(self, file: int) -> bytes:
        raise AssertionError("a file has no members")


class Shelf:
    """What a peer serves."""

    def __init__(self, *offers: FileOffer) -> None:
        self.offers = {offer.content_hash: offer for offer in offers}

    def offer(self, content_hash: bytes) -> FileOffer | None:
        return self.offers.get(content_hash)


class MemorySink:
    """Where verified chunks go."""

    def __init__(self, layout: Layout) -> None:
        self.have = Bitfield(layout.chunk_count)
        self.data = bytearray(layout.size)
        self._layout = layout

    def store(self, index: int, data: memoryview) -> None:
        slot = self._layout.slot(index)
        self.data[slot.offset : slot.offset + slot.length] = data
        self.have.add(index)


@contextlib.asynccontextmanager
async def peer(
    *offers: FileOffer,
    upload: int = 0,
    download: int = 0,
    seed: int = 1,
    rules: ScopeRules | None = None,
    encryption: str = "auto",
) -> AsyncIterator[tuple[Exchange, Address]]:
    """An exchange that listens on loopback."""
    listening = listen("127.0.0.1", 0)
    exchange = Exchange(
        network=NETWORK,
        key=SigningKey.from_seed(seed.to_bytes(32, "big")),
        rules=rules or ScopeRules(),
        shelf=Shelf(*offers),
        limits=Limits(upload, download),
        encryption=encryption,
        rng=random.Random(seed),
    )
    await exchange.start(listening.tcp)
    try:
        yield exchange, Address("127.0.0.1", listening.port)
    finally:
        await exchange.stop()
        listening.close()
