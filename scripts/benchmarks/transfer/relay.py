"""A long line: a process that passes TCP connections on, each direction at a rate and after a delay.

Holds what is on its way and one line's worth more, and then reads no further, as the queue of a router fills.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection

PIECE = 16 << 10
LEAST_QUEUE = 256 << 10


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float, delay: float) -> None:
    """One direction, `rate` bytes a second, `delay` seconds later; its end, too."""
    loop = asyncio.get_running_loop()
    on_the_way: deque[tuple[float, bytes]] = deque()
    queued, most = 0, max(LEAST_QUEUE, int(2 * rate * delay))
    news, room = asyncio.Event(), asyncio.Event()

    async def take() -> None:
        nonlocal queued
        free_at = loop.time()
        while True:
            data = await reader.read(PIECE)
            free_at = max(free_at, loop.time()) + len(data) / rate
            on_the_way.append((free_at + delay, data))
            queued += len(data)
            news.set()
            if not data:
                return
            while queued >= most:
                room.clear()
                await room.wait()

    async def give() -> None:
        nonlocal queued
        while True:
            while not on_the_way:
                news.clear()
                await news.wait()
            at, data = on_the_way.popleft()
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            queued -= len(data)
            room.set()
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    with contextlib.suppress(OSError):
        await asyncio.gather(take(), give())


async def _serve(listener: socket.socket, target: int, rate: float, delay: float) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pass_on(reader, far_writer, rate, delay), pass_on(far_reader, writer, rate, delay))
        for one in (writer, far_writer):
            one.close()

    server = await asyncio.start_server(meet, sock=listener)
    await server.serve_forever()


def _run(listener: socket.socket, target: int, rate: float, delay: float, parent: Connection) -> None:
    parent.send("ready")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(listener, target, rate, delay))


@contextlib.contextmanager
def relay(target: int, *, rate: float, round_trip: float) -> Iterator[int]:
    """The loopback port of a line to the port `target`; bytes a second, and seconds there and back."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        process = spawn.Process(target=_run, args=(listener, target, rate, round_trip / 2, there), daemon=True)
        process.start()
        here.recv()
        try:
            yield int(listener.getsockname()[1])
        finally:
            process.terminate()
            process.join()
