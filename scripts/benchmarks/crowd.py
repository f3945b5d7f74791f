"""Many hostile peers at once against one listening node, in a process of their own: python -m scripts.benchmarks.crowd.

    crowd KIND HOST:PORT NETWORK CONTENT [--count N] [--tls] [--hosts N]

Kinds: idle (connect, say nothing), greeted (say HELLO, then nothing), slow (HELLO byte by byte), takers (ask for
chunks, read nothing), resets (ask, then reset, again and again), frames (mutated frames). Prints `ready` when the
crowd stands, and a JSON object when its standard input ends (frames: when all are sent).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import socket
import ssl
import struct
import sys
import time
from collections.abc import Awaitable, Callable

from dhtshare.errors import MalformedError
from dhtshare.network import network_id, split_host_port
from dhtshare.transfer.codec import Frame, FrameReader, encode
from dhtshare.transfer.messages import (
    Ask,
    Cancel,
    Choke,
    Data,
    Descriptor,
    Get,
    GetDescriptor,
    GetMembers,
    Has,
    Have,
    Hello,
    Members,
    Ping,
    Refused,
    Unchoke,
)
from dhtshare.transfer.tls import client_context
from tests.fuzz.mutate import mutations

MIB = 1 << 20
CLOSE_SECONDS = 15.0
FRAMES_A_CONNECTION = 25
AT_ONCE = 120  # half a frame is waited for 10 s


class Crowd:
    """One kind of peers, `count` of them, from `hosts` loopback addresses in turn."""

    def __init__(self, address: str, network: str, content: bytes, *, count: int, tls: bool, hosts: int) -> None:
        self.host, self.port = split_host_port(address)
        self.network = network_id(network)
        self.content = content
        self.count = count
        self.hosts = hosts
        self.context: ssl.SSLContext | None = client_context() if tls else None
        self.made = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, *, encrypted: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """One more connection, from the next address."""
        self.made += 1
        source = f"127.{100 + self.made % self.hosts // 250}.0.{1 + self.made % self.hosts % 250}"
        return await asyncio.open_connection(
            self.host,
            self.port,
            local_addr=(source, 0) if self.hosts > 1 else None,
            ssl=self.context if encrypted else None,
            server_hostname="" if encrypted and self.context else None,
        )

    def hello(self) -> bytes:
        return encode(Hello(self.network, random.randbytes(16), "crowd"))

    async def stand(
        self, act: Callable[[asyncio.StreamWriter], Awaitable[None]], *, encrypted: bool, again: bool = False
    ) -> None:
        """`count` connections that act and stay; with `again` those that the node ends come back, a second later."""

        async def one() -> None:
            while True:
                with contextlib.suppress(OSError, ssl.SSLError):
                    reader, writer = await self.connect(encrypted=encrypted)
                    self.writers.append(writer)
                    try:
                        await act(writer)
                        if act is not self.take:
                            while await reader.read(65536):
                                pass
                        else:
                            await asyncio.sleep(1e6)
                    finally:
                        self.writers.remove(writer)
                        writer.close()
                if not again:
                    return
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as group:
            for number in range(self.count):
                group.create_task(one())
                if number % 20 == 19:
                    await asyncio.sleep(0.05)
            print("ready", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            print(json.dumps({"connections_made": self.made, "open_now": len(self.writers)}), flush=True)
            raise SystemExit

    async def nothing(self, writer: asyncio.StreamWriter) -> None:
        """Say nothing."""

    async def greet(self, writer: asyncio.StreamWriter) -> None:
        """Say HELLO."""
        writer.write(self.hello())

    async def drip(self, writer: asyncio.StreamWriter) -> None:
        """HELLO, a byte a second."""
        for byte in self.hello():
            writer.write(bytes((byte,)))
            await asyncio.sleep(1.0)

    async def take(self, writer: asyncio.StreamWriter) -> None:
        """Ask for chunks and never read one."""
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        wanted = b"".join(encode(Get(number + 1, self.content, number, MIB)) for number in range(16))
        writer.write(self.hello() + wanted)

    async def reset(self) -> None:
        """Ask, and reset, without end."""
        print("ready", flush=True)
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not over.done():
            with contextlib.suppress(OSError, ssl.SSLError):
                _, writer = await self.connect()
                writer.write(self.hello() + encode(Get(1, self.content, 0, MIB)))
                await asyncio.sleep(0.02)
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        print(json.dumps({"connections_made": self.made}), flush=True)

    async def frames(self, seed: int) -> None:
        """`count` mutated frames over as many connections as it takes; how long the node keeps a bad one."""
        print("ready", flush=True)
        rng = random.Random(seed)
        frames = mutations(self._well_formed(), rng)
        sent, bad, slowest, kept, connections = 0, 0, 0.0, 0, 0

        async def one() -> None:
            nonlocal sent, bad, slowest, kept, connections
            while sent < self.count:
                stream = [self.hello()] if rng.random() < 0.9 else []
                stream += [next(frames) for _ in range(FRAMES_A_CONNECTION)]
                sent += FRAMES_A_CONNECTION
                connections += 1
                is_bad = not _may_stay(b"".join(stream))
                bad += is_bad
                with contextlib.suppress(OSError, ssl.SSLError):
                    reader, writer = await self.connect()
                    begun = time.monotonic()
                    for frame in stream:
                        writer.write(frame)
                    closed = False
                    with contextlib.suppress(TimeoutError, ConnectionError):
                        async with asyncio.timeout(CLOSE_SECONDS if is_bad else 0.05):
                            while await reader.read(65536):
                                pass
                            closed = True
                    if is_bad:
                        slowest = max(slowest, time.monotonic() - begun)
                        kept += not closed and time.monotonic() - begun >= CLOSE_SECONDS
                    writer.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(one())
        report = {"frames": sent, "connections": connections, "bad": bad, "slowest_close_s": round(slowest, 3)}
        print(json.dumps({**report, "bad_kept": kept, "seed": seed}), flush=True)

    def _well_formed(self) -> list[bytes]:
        content = self.content
        messages = [
            *(Ask(1, content, True), Ask(2, bytes(32)), Get(3, content, 0, MIB), Get(4, content, 1, 5, 1, 7)),
            *(GetDescriptor(5, content), GetMembers(6, content, (0, 1)), Have(content, (0, 3)), Cancel(3), Ping()),
            *(Choke(), Unchoke(), Refused(9, 1), Has(9, 8, 8, "x", 100), Hello(self.network, bytes(16))),
        ]
        frames = [encode(message) for message in messages]
        frames += [encode(Data(9), 5) + b"bytes", encode(Descriptor(9, 5), 5) + b"bytes", encode(Members(9, (5,)), 5)]
        frames += [bytes.fromhex(prefix) for prefix in ("0000000000000000", "ffffffff00000000", "00000001ffffffff")]
        return [*frames, b"\x00\x00\x10\x00\x00\x00\x00\x00" + b"\x91" * 4096, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"]


def _may_stay(stream: bytes) -> bool:
    """Whether a node may keep a connection that said this: by the frames' form, the last one whole, and HELLO once,
    first."""
    reader = FrameReader(lambda message, length: None)
    first = True
    try:
        for start in range(0, len(stream), 4096):
            piece = stream[start : start + 4096]
            while piece:
                buffer = reader.get_buffer()
                buffer[: len(piece)] = piece[: len(buffer)]
                taken = min(len(piece), len(buffer))
                for frame in reader.advance(taken):
                    if not _is_due(frame, first=first):
                        return False
                    first = False
                piece = piece[taken:]
    except MalformedError:
        return False
    return not first and not reader.begun  # one that never says HELLO is ended, too


def _is_due(frame: Frame, *, first: bool) -> bool:
    if isinstance(frame.message, Hello):
        return first
    return not first and not isinstance(frame.message, Data | Has | Descriptor | Members | Refused)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("idle", "greeted", "slow", "takers", "resets", "frames"))
    parser.add_argument("address")
    parser.add_argument("network")
    parser.add_argument("content", type=bytes.fromhex)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of every write to a connection that is gone
    crowd = Crowd(given.address, given.network, given.content, count=given.count, tls=given.tls, hosts=given.hosts)
    acts = {
        "idle": lambda: crowd.stand(crowd.nothing, encrypted=False),
        "greeted": lambda: crowd.stand(crowd.greet, encrypted=True),
        "slow": lambda: crowd.stand(crowd.drip, encrypted=True, again=True),
        "takers": lambda: crowd.stand(crowd.take, encrypted=True, again=True),
        "resets": crowd.reset,
        "frames": lambda: crowd.frames(given.seed or random.SystemRandom().randrange(1, 1 << 32)),
    }
    with contextlib.suppress(BaseExceptionGroup, KeyboardInterrupt):
        asyncio.run(acts[given.kind]())


if __name__ == "__main__":
    main()
