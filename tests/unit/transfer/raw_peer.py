"""A peer made by hand: it speaks frames over a blocking-free stream and does exactly what a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from dhtshare.network import Address
from dhtshare.transfer.codec import Unknown, decode_header, encode
from dhtshare.transfer.messages import PREFIX_BYTES, Has, Hello, Message
from tests.unit.transfer.transfer_fakes import NETWORK


class RawPeer:
    """One connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, message: Message, payload: bytes = b"") -> None:
        self.writer.write(encode(message, len(payload)) + payload)

    def hello(self, network: bytes = NETWORK, nonce: bytes = b"n" * 16) -> None:
        self.say(Hello(network, nonce, "raw"))

    async def hear(self) -> tuple[Message | Unknown, bytes]:
        """The next frame. Raises IncompleteReadError at the end."""
        async with asyncio.timeout(20):
            prefix = await self.reader.readexactly(PREFIX_BYTES)
            header = await self.reader.readexactly(int.from_bytes(prefix[:4], "big"))
            return decode_header(header), await self.reader.readexactly(int.from_bytes(prefix[4:], "big"))

    async def hear_a(self, kind: type[Message]) -> tuple[Message | Unknown, bytes]:
        """The next frame of this kind; others are passed over."""
        while True:
            message, payload = await self.hear()
            if isinstance(message, kind):
                return message, payload

    async def ended(self) -> bool:
        """Whether the other side ends the connection, after whatever it still says."""
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass
        return True


async def dial(address: Address) -> RawPeer:
    """A connection to an exchange; nothing is said yet."""
    return RawPeer(*await asyncio.open_connection(*address))


@contextlib.asynccontextmanager
async def dialled(address: Address) -> AsyncIterator[RawPeer]:
    """The same, closed at the end."""
    raw = await dial(address)
    try:
        yield raw
    finally:
        raw.writer.close()
        with contextlib.suppress(ConnectionError):
            await raw.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(
    behave: Callable[[RawPeer], Awaitable[None]], host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[Address]:
    """A listener that treats every connection by `behave`; over TLS where there is a context."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behave(RawPeer(reader, writer))
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()
        except asyncio.CancelledError:
            writer.transport.abort()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    try:
        yield Address(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def claim_all(raw: RawPeer, chunks: int, descriptor: int = 100) -> None:
    """Say hello and claim to hold everything."""
    await raw.hear_a(Hello)
    raw.hello()
    while True:
        message, _ = await raw.hear()
        if type(message).__name__ == "Ask":
            raw.say(Has(message.request, chunks, chunks, "claimed", descriptor))  # type: ignore[union-attr]
            return
