"""Our TLS transport behaves towards its protocol as asyncio's does, and talks with asyncio's on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from dhtshare.transfer.lines import CERTIFICATE, LINE
from dhtshare.transfer.tls import peer_id_of
from dhtshare.transfer.tls_transport import TlsTransport, begin_tls
from tests.unit.transfer.line_fakes import CLIENT, SERVER

MIB = 1 << 20


class Listener(asyncio.BufferedProtocol):
    """Keeps all that it is told."""

    def __init__(self) -> None:
        self.transport: TlsTransport
        self.data = bytearray()
        self.told: list[str] = []
        self.error: Exception | None = None
        self.lost = asyncio.Event()
        self.news = asyncio.Event()
        self._buffer = bytearray(50_000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self._buffer[:nbytes]
        self.news.set()

    def pause_writing(self) -> None:
        self.told.append("full")

    def resume_writing(self) -> None:
        self.told.append("room")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc
        self.lost.set()

    async def has(self, count: int) -> bytes:
        async with asyncio.timeout(20):
            while len(self.data) < count:
                self.news.clear()
                await self.news.wait()
        return bytes(self.data)


@contextlib.asynccontextmanager
async def asyncio_peer(
    *, serves: bool = False
) -> AsyncIterator[tuple[Listener, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Our transport on one side, asyncio's streams on the other; `serves`: we are the server."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    context = SERVER if serves else CLIENT
    beginning = asyncio.create_task(begin_tls(ours, context, Listener, server_side=serves))
    if serves:
        reader, writer = await asyncio.open_connection(sock=theirs, ssl=CLIENT, server_hostname="")
    else:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, theirs, ssl=SERVER)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    listener = await beginning
    try:
        yield listener, reader, writer
    finally:
        listener.transport.abort()
        await listener.lost.wait()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("serves", [True, False])
async def test_asyncio_understands_us_and_we_it(serves: bool) -> None:
    data = random.Random(1).randbytes(2 * MIB)
    async with asyncio_peer(serves=serves) as (listener, reader, writer):
        writer.write(data)
        listener.transport.write(data)
        assert await reader.readexactly(len(data)) == data
        assert await listener.has(len(data)) == data
        assert "full" in listener.told
        assert listener.told.count("full") == listener.told.count("room")


async def test_the_dialler_learns_whose_certificate_it_was() -> None:
    async with asyncio_peer() as (listener, _, _):
        assert len(peer_id_of(listener.transport.get_extra_info(CERTIFICATE))) == 32
    async with asyncio_peer(serves=True) as (listener, _, _):
        assert listener.transport.get_extra_info(CERTIFICATE) is None


async def test_who_paused_gets_nothing_and_then_all_that_waited() -> None:
    async with asyncio_peer() as (listener, _, writer):
        writer.write(b"x" * 20_000)
        await listener.has(20_000)
        listener.transport.pause_reading()
        writer.write(b"y" * 20_000)
        await asyncio.sleep(0.05)
        assert len(listener.data) == 20_000
        listener.transport.resume_reading()
        await listener.has(40_000)


async def test_what_was_deciphered_by_nobody_is_read_after_a_pause_in_the_middle() -> None:
    """Wire bytes wait in the session, where the socket tells nothing of them."""
    async with asyncio_peer() as (listener, _, writer):
        update = listener.buffer_updated

        def once(nbytes: int) -> None:
            listener.transport.pause_reading()
            update(nbytes)

        listener.buffer_updated = once  # type: ignore[method-assign]
        writer.write(b"z" * 30_000)
        seen = -1
        while len(listener.data) < 30_000:
            async with asyncio.timeout(20):
                while len(listener.data) == seen:
                    await asyncio.sleep(0.001)
            seen = len(listener.data)
            listener.transport.resume_reading()
            await asyncio.sleep(0.001)
        assert bytes(listener.data) == b"z" * 30_000


async def test_what_was_written_goes_out_before_a_polite_end() -> None:
    data = random.Random(2).randbytes(4 * MIB)
    async with asyncio_peer() as (listener, reader, _):
        listener.transport.write(data)
        assert listener.told == ["full"]
        listener.transport.close()
        listener.transport.write(b"too late")
        assert listener.transport.is_closing()
        assert await reader.read(-1) == data
        await listener.lost.wait()
        assert listener.told == ["full", "lost"]
        assert listener.error is None


async def test_an_end_comes_once_however_often_it_is_asked_for() -> None:
    async with asyncio_peer() as (listener, reader, _):
        listener.transport.abort()
        listener.transport.abort()
        listener.transport.close()
        listener.transport.resume_reading()
        await listener.lost.wait()
        assert listener.told == ["lost"]
        assert await reader.read(-1) == b""


async def test_the_other_sides_end_is_ours() -> None:
    for polite in (True, False):
        async with asyncio_peer() as (listener, _, writer):
            if polite:
                writer.close()
            else:
                writer.transport.abort()
            async with asyncio.timeout(20):
                await listener.lost.wait()


async def test_a_line_outlives_its_transport() -> None:
    """A thread may be in the middle of a turn: its socket stays its own."""
    async with asyncio_peer() as (listener, _, _):
        line = listener.transport.get_extra_info(LINE)()
        listener.transport.abort()
        await listener.lost.wait()
        with pytest.raises(BlockingIOError):
            line.receive((memoryview(bytearray(10)),))
        line.close()


async def test_a_bug_in_the_protocol_ends_this_connection_and_is_told() -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with asyncio_peer() as (listener, _, writer):

        def broken(nbytes: int) -> None:
            raise KeyError("bug")

        listener.buffer_updated = broken  # type: ignore[method-assign]
        writer.write(b"x")
        await listener.lost.wait()
    assert isinstance(told[0]["exception"], KeyError)


@pytest.mark.parametrize("answer", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(60)])
async def test_no_handshake_no_connection_and_the_socket_stays_the_callers(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(answer)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await begin_tls(ours, CLIENT, Listener, server_side=False)
        assert ours.fileno() >= 0


async def test_a_handshake_that_is_given_up_leaves_no_watch_behind() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await begin_tls(ours, CLIENT, Listener, server_side=False)
        assert not asyncio.get_running_loop().remove_reader(ours)
