"""What a hostile peer may cost: false lengths, requests that nobody reads, numbers too large to count to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import ssl
import sys
from pathlib import Path

import pytest

from dhtshare.content.descriptor import content_hash
from dhtshare.errors import NetworkError
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer.choker import SLOTS
from dhtshare.transfer.codec import encode
from dhtshare.transfer.dialler import PeerAddress
from dhtshare.transfer.guests import MAX_GUESTS, MAX_PER_IP
from dhtshare.transfer.messages import (
    DESCRIPTOR_RANGE_BYTES,
    MAX_DESCRIPTOR_BYTES,
    Ask,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    Has,
    Hello,
    Message,
    Reason,
    Refused,
    Unchoke,
)
from dhtshare.transfer.outbox import MAX_SMALL_BYTES, Outbox
from dhtshare.transfer.sockets import acknowledged
from dhtshare.transfer.tls import client_context
from tests.unit.transfer.raw_peer import RawPeer, dialled, serving
from tests.unit.transfer.transfer_fakes import NETWORK, FileOffer, describe, peer

MIB = 1 << 20
DATA = random.Random(12).randbytes(8 * MIB)
DESCRIPTOR = describe(DATA)
CONTENT = DESCRIPTOR.content_hash
PUBLIC = ScopeRules([ipaddress.ip_network("127.0.0.0/8")])


@pytest.fixture
def offer(tmp_path: Path) -> FileOffer:
    path = tmp_path / "served.bin"
    path.write_bytes(DATA)
    return FileOffer(path, DESCRIPTOR)


async def test_a_descriptor_that_grows_after_it_was_announced_is_not_taken() -> None:
    """Small ones are asked of many at once; one that then claims 16 MiB would be held that many times."""
    ranges: list[int] = []

    async def grow(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, 8, 8, "grows", 100))
            elif isinstance(message, GetDescriptor):
                ranges.append(message.offset)
                raw.say(Descriptor(message.request, MAX_DESCRIPTOR_BYTES), bytes(DESCRIPTOR_RANGE_BYTES))

    async with serving(grow) as address, peer() as (fetcher, _own):
        with pytest.raises(NetworkError):
            await fetcher.fetch_descriptor(CONTENT, [PeerAddress(address)], timeout=5.0)
    assert ranges == [0]


async def test_who_trickles_a_long_descriptor_does_not_keep_the_honest_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dhtshare.transfer.asking.LONG_SECONDS", 0.3)
    raw_descriptor = random.Random(3).randbytes(4 * DESCRIPTOR_RANGE_BYTES)

    async def trickle(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, 8, 8, "trickles", MAX_DESCRIPTOR_BYTES))
            elif isinstance(message, GetDescriptor):
                await asyncio.sleep(1.0)
                raw.say(Descriptor(message.request, MAX_DESCRIPTOR_BYTES), bytes(DESCRIPTOR_RANGE_BYTES))

    async def honest(raw: RawPeer) -> None:
        await raw.hear_a(Hello)
        raw.hello()
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, 8, 8, "honest", len(raw_descriptor)))
            elif isinstance(message, GetDescriptor):
                part = raw_descriptor[message.offset : message.offset + DESCRIPTOR_RANGE_BYTES]
                raw.say(Descriptor(message.request, len(raw_descriptor)), part)

    async with contextlib.AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving(behave)) for behave in (*[trickle] * 4, honest)]
        fetcher, _own = await stack.enter_async_context(peer())
        leads = [PeerAddress(address) for address in addresses]
        found = await fetcher.fetch_descriptor(content_hash(raw_descriptor), leads, timeout=10.0)
    assert found.raw == raw_descriptor


async def test_a_taker_that_does_not_read_gives_way(offer: FileOffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for a chunk and leaving it unread must not hold a place as a running transfer does."""
    monkeypatch.setattr("dhtshare.transfer.uptake.STUCK_SECONDS", 0.5)
    monkeypatch.setattr("dhtshare.transfer.ratelimit.Meter.SPAN", 0.1)
    async with peer(offer, rules=PUBLIC, encryption="never") as (_, address):
        stuck = [await _stuck(address) for _ in range(MAX_PER_IP)]
        try:
            await asyncio.sleep(1.0)
            async with dialled(address) as raw:
                raw.hello()
                raw.say(Ask(1, CONTENT))
                message, _ = await raw.hear_a(Has)
                assert message == Has(1, 8, 8, "served.bin", len(offer.descriptor))
        finally:
            for one in stuck:
                one.close()


async def _stuck(address: Address) -> socket.socket:
    """A connection whose peer asked for everything and reads nothing."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await loop.sock_connect(sock, tuple(address))
    wanted = b"".join(encode(Get(number + 1, CONTENT, number, MIB)) for number in range(8))
    await loop.sock_sendall(sock, encode(Hello(NETWORK, b"n" * 16)) + wanted)
    return sock


async def test_refusals_that_nobody_reads_are_few(offer: FileOffer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a connection keeps for a peer that does not read is counted with what Python adds to each frame."""
    most = 0
    send = Outbox.send

    def watched(outbox: Outbox, message: Message) -> None:
        nonlocal most
        try:
            send(outbox, message)
        finally:
            most = max(most, sum(map(sys.getsizeof, outbox._small)))

    monkeypatch.setattr(Outbox, "send", watched)
    async with peer(offer) as (_, address):
        sock = await _stuck(address)
        flood = b"".join(encode(Ask(number, b"u" * 32)) for number in range(1, 2000))
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    await asyncio.get_running_loop().sock_sendall(sock, flood)
        sock.close()
    assert 0.5 * MAX_SMALL_BYTES < most <= 1.1 * MAX_SMALL_BYTES
    assert MAX_SMALL_BYTES * MAX_GUESTS <= 64 * MIB, "all guests together"


async def test_takers_that_read_nothing_do_not_hold_the_slots(
    offer: FileOffer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All slots go to those who came first; an honest peer behind them gets one when they are seen to be stuck."""
    monkeypatch.setattr("dhtshare.transfer.seeder.STUCK_SECONDS", 0.5)
    async with peer(offer) as (_, address):
        stuck = [await _stuck(address) for _ in range(SLOTS + 4)]
        try:
            await asyncio.sleep(0.3)
            async with dialled(address) as raw, asyncio.timeout(15):
                raw.hello()
                raw.say(Get(1, CONTENT, 0, MIB))
                assert (await raw.hear_a(Refused))[0] == Refused(1, Reason.CHOKED)
                await raw.hear_a(Unchoke)
                raw.say(Get(2, CONTENT, 0, MIB))
                assert (await raw.hear_a(Data))[1] == DATA[:MIB]
        finally:
            for one in stuck:
                one.close()


async def _more_than_fit(address: Address) -> list[socket.socket]:
    """So many connections that all places are asked for, and more."""
    socks = []
    for _ in range(MAX_GUESTS + 60):
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, tuple(address))
        socks.append(sock)
    await asyncio.sleep(0.3)
    return socks


async def test_a_burst_of_arrivals_is_counted_at_the_door(offer: FileOffer) -> None:
    """They are inside from their acceptance on, not from when somebody looks after them."""
    async with peer(offer) as (exchange, address):
        socks = await _more_than_fit(address)
        assert exchange._doorway.guests == MAX_GUESTS
        for sock in socks:
            sock.close()
        async with asyncio.timeout(10):
            while exchange._doorway.guests:
                await asyncio.sleep(0.05)


async def test_arrivals_end_no_transfer_of_which_all_was_sent_but_not_all_read(offer: FileOffer) -> None:
    """A peer that reads at its own limit has seconds of the transfer in the buffers of both systems."""
    async with peer(offer) as (_, address), dialled(address) as raw:
        raw.hello()
        raw.say(Get(1, CONTENT, 0, MIB))
        await asyncio.sleep(0.5)
        socks = await _more_than_fit(address)
        assert (await raw.hear_a(Data))[1] == DATA[:MIB]
        raw.say(Get(2, CONTENT, 1, MIB))
        assert (await raw.hear_a(Data))[1] == DATA[MIB : 2 * MIB]
        for sock in socks:
            sock.close()


async def test_what_a_peer_took_is_known_by_its_acknowledgements() -> None:
    if sys.platform != "linux":
        return
    ours, theirs = socket.socket(), socket.socket()
    with ours, theirs, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours.connect(listener.getsockname())
        taken, _ = listener.accept()
        before = acknowledged(ours)
        assert before is not None
        ours.sendall(b"x" * 1000)
        await asyncio.sleep(0.1)
        assert acknowledged(ours) == before + 1000
        taken.close()
    assert acknowledged(ours) is None, "closed"


async def test_guests_that_leave_in_the_middle_of_tls_tear_nobody_away(offer: FileOffer) -> None:
    """Whoever gets the number of a socket that was closed under its transport would be."""
    context = client_context()
    hello = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x").do_handshake()
    opening = hello.read()[:100]  # the beginning of a ClientHello: the handshake waits for the rest
    loop = asyncio.get_running_loop()
    async with peer(offer, rules=PUBLIC) as (_, address), peer(seed=2, rules=PUBLIC) as (fetcher, _own):
        half = []
        for number in range(5 * MAX_PER_IP):  # each beyond the eighth takes the place of another
            sock = socket.socket()
            sock.setblocking(False)
            sock.bind(("127.0.0.9", 0))
            await loop.sock_connect(sock, tuple(address))
            await loop.sock_sendall(sock, opening)
            half.append(sock)
            await asyncio.sleep(0.01)
            if number % 8 == 7:
                assert (await fetcher.ask_have(PeerAddress(address), CONTENT)).complete
        for sock in half:
            sock.close()
