"""Hostile peers for real fetchers: listeners on a thread of their own, each treating its connections as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future

from dhtshare.identity import SigningKey
from dhtshare.network import Address, network_id
from dhtshare.transfer.messages import Ask, Descriptor, GetDescriptor, Has, Hello
from dhtshare.transfer.tls import server_context
from tests.unit.transfer.raw_peer import RawPeer, serving

Behaviour = Callable[[RawPeer], Awaitable[None]]


@contextlib.contextmanager
def listeners(*behaviours: Behaviour, encrypted: bool = False) -> Iterator[list[str]]:
    """One listener each; their addresses as host:port. Encrypted ones have a network (/24) of loopback each."""
    started: Future[list[Address]] = Future()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    context = server_context(SigningKey.from_seed(bytes(32))) if encrypted else None
    hosts = [f"127.20.{number}.1" if encrypted else "127.0.0.1" for number in range(len(behaviours))]

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                serve = zip(behaviours, hosts, strict=True)
                contexts = [stack.enter_async_context(serving(behave, host, context)) for behave, host in serve]
                started.set_result([await one for one in contexts])
            except OSError as error:
                started.set_exception(error)
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    try:
        yield [str(address) for address in started.result(10)]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def describing(
    network: str, descriptor: bytes, *, chunks: int, name: str = "", agent: str = "raw"
) -> Callable[[RawPeer], AsyncIterator[object]]:
    """A peer that says HELLO, claims to hold everything and sends this descriptor; yields what else is asked of it."""

    async def behave(raw: RawPeer) -> AsyncIterator[object]:
        await raw.hear_a(Hello)
        raw.say(Hello(network_id(network), b"n" * 16, agent))
        while True:
            message, _ = await raw.hear()
            if isinstance(message, Ask):
                raw.say(Has(message.request, chunks, chunks, name, len(descriptor)))
            elif isinstance(message, GetDescriptor):
                part = descriptor[message.offset : message.offset + (64 << 10)]
                raw.say(Descriptor(message.request, len(descriptor)), part)
            else:
                yield message

    return behave
