"""A simulated network of streams in virtual time: real exchanges on it, each host behind a line of its own.

Everything above the sockets is the program's own code: connections, outbox, seeder, choker, meetings, pipeline, swarm.
Replaced are the sockets (by streams that take turns on the lines), the threads (what they would do is done at once,
and takes no virtual time) and TLS (a certificate without a cipher).
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import sys
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from dhtshare.content.bitfield import Bitfield
from dhtshare.content.descriptor import FileDescriptor
from dhtshare.content.layout import Layout
from dhtshare.dht.simulation import VirtualLoop
from dhtshare.errors import NetworkError
from dhtshare.identity import SigningKey
from dhtshare.network import Address, ScopeRules
from dhtshare.transfer import exchange as exchange_module
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.dialler import CONNECT_SECONDS, HANDSHAKE_SECONDS, PeerAddress
from dhtshare.transfer.dials import Attempts
from dhtshare.transfer.exchange import Exchange
from dhtshare.transfer.lines import CERTIFICATE, LINE, Patience
from dhtshare.transfer.ratelimit import Limits
from dhtshare.transfer.swarm import Swarm, SwarmOptions, SwarmResult
from dhtshare.transfer.tls import certificate
from dhtshare.transfer.workers import Job, Then, Workers
from tests.unit.transfer.transfer_fakes import NETWORK, FileOffer, Shelf

PORT = 4470
SEGMENT_SECONDS = 0.01
LEAST_SEGMENT, MOST_SEGMENT = 4 << 10, 64 << 10
"""Streams of a host take turns on its line, so many bytes at a time."""

PIECE_BYTES = 256 << 10
"""What a stream takes of a sender that is ahead of the line."""

WINDOW_BYTES = 4 << 20
"""What a stream has on its way at most, as a kernel's buffers would."""

T = TypeVar("T")


class InlineWorkers(Workers):
    """No threads: a job is done in the loop's next turn."""

    def hand_on(self, job: Job) -> None:
        asyncio.get_running_loop().call_soon(job)

    def post(self, call: Callable[[], object], *, soon: Callable[[], bool] | None = None) -> None:
        asyncio.get_running_loop().call_soon(call)

    def submit(self, job: Job, then: Then) -> None:
        asyncio.get_running_loop().call_soon(self._run, job, then)

    @staticmethod
    def _run(job: Job, then: Then) -> None:
        try:
            result = job()
        except BaseException as error:  # as the threads do: raised again where the result is used
            then(None, error)
        else:
            then(result, None)


class Line:
    """One direction of a host's line: serves what waits, a segment of each stream in turn. `rate` 0 = unlimited."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.carried = 0
        self.stopped = False
        self._waiting: deque[tuple[Stream, Callable[[], None]]] = deque()
        self._busy = False

    @property
    def segment(self) -> int:
        """How many bytes pass at a time."""
        return int(max(LEAST_SEGMENT, min(MOST_SEGMENT, self.rate * SEGMENT_SECONDS))) if self.rate else MOST_SEGMENT

    def serve(self, stream: Stream, length: int, done: Callable[[], None]) -> None:
        """`done` once `length` bytes of the stream have passed."""
        self._waiting.append((stream, lambda: self._pass(length, done)))
        self._next()

    def stop(self, stopped: bool = True) -> None:
        """Nothing passes any more, or again."""
        self.stopped = stopped
        self._next()

    def _next(self) -> None:
        if not self._busy and not self.stopped and self._waiting:
            self._busy = True
            _, start = self._waiting.popleft()
            start()

    def _pass(self, length: int, done: Callable[[], None]) -> None:
        def passed() -> None:
            self._busy = False
            self.carried += length
            done()
            self._next()

        loop = asyncio.get_running_loop()
        if self.rate:
            loop.call_later(length / self.rate, passed)
        else:
            loop.call_soon(passed)


class _Socket:
    """All of a socket that a connection looks at: what the peer has acknowledged, where the kernel tells it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def getsockopt(self, _level: int, _option: int, length: int) -> bytes:
        return self._stream.acknowledged.to_bytes(8, sys.byteorder).rjust(length, b"\0")


class Stream(asyncio.Transport):
    """One end of a connection. Bytes leave over this host's line up, and reach the other over its line down."""

    def __init__(self, host: Host, peer_certificate: bytes | None) -> None:
        super().__init__()
        self.host = host
        self.other: Stream
        self.protocol: Connection
        self._certificate = peer_certificate
        self._loop = asyncio.get_running_loop()
        self._out = bytearray()
        self._on_the_way = self.acknowledged = 0
        self._flying: deque[bytes] = deque()
        self._in: deque[bytes] = deque()
        self._paused_writing = self._reading_paused = self._closing = self._lost = False
        self._sending = False
        self.empty = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return _Socket(self)
        if name == CERTIFICATE:
            return self._certificate
        return partial(StreamLine, self) if name == LINE else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the outbox sets them: full with one byte, and empty when empty."""

    def write(self, data: bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        if self._lost or self._closing:
            return
        self.fill(data)
        if self._out and not self._paused_writing:
            self._paused_writing = True
            self.protocol.pause_writing()

    def fill(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes on their way."""
        self._out += data
        self._send()

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        self._closing = True
        if not self._out:
            self.abort()

    def abort(self) -> None:
        if not self._lost:
            self._end(None)
            # What is on its way arrives before the end does.
            self._loop.call_later(self.host.network.delay, self.other._ended)

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False
        self._loop.call_soon(self._deliver)

    def _send(self) -> None:
        """One segment at a time waits for the line, so that the streams of a host take turns."""
        if self._sending or self._lost or not self._out or self._on_the_way >= WINDOW_BYTES:
            return
        segment = bytes(self._out[: self.host.up.segment])
        self._sending = True
        self._on_the_way += len(segment)

        def left() -> None:
            self._sending = False
            del self._out[: len(segment)]
            self.other._flying.append(segment)
            self._loop.call_later(self.host.network.delay, self.other._arrives)
            self._send()
            if not self._out:
                self.empty.set()
            if not self._out and self._paused_writing:
                self._paused_writing = False
                self.protocol.resume_writing()
            if not self._out and self._closing:
                self.abort()

        self.host.up.serve(self, len(segment), left)

    def _arrives(self) -> None:
        segment = self._flying.popleft()  # timers of one moment come in any order, segments do not

        def received() -> None:
            self._in.append(segment)
            self._deliver()

        self.host.down.serve(self, len(segment), received)

    def _deliver(self) -> None:
        while self._in and not self._reading_paused and not self._lost:
            self.protocol.buffer_updated(self.take(self.protocol.get_buffer(len(self._in[0]))))

    def take(self, buffer: memoryview) -> int:
        """Some of what has arrived."""
        segment = self._in.popleft()
        count = min(len(buffer), len(segment))
        buffer[:count] = segment[:count]
        if count < len(segment):
            self._in.appendleft(segment[count:])
        self._loop.call_later(self.host.network.delay, self.other._acknowledged, count)
        return count

    def _acknowledged(self, count: int) -> None:
        self._on_the_way -= count
        self.acknowledged += count
        self._send()

    def _ended(self) -> None:
        if not self._lost:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        self._lost = True
        self._out.clear()
        self.empty.set()
        self._loop.call_soon(self.protocol.connection_lost, error)


class StreamLine:
    """A stream as a thread would use it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._head = b""

    def receive(self, buffers: Sequence[memoryview]) -> int:
        if not self._stream._in:
            raise BlockingIOError
        return self._stream.take(buffers[0])

    def wait_for_bytes(self, seconds: float) -> bool:
        return False

    def expect_much(self, much: bool) -> None: ...

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        if self._stream.is_closing():
            raise ConnectionResetError
        if self._stream._out:
            return 0
        if more:
            self._head = bytes(data)
            return len(data)
        piece = data[:PIECE_BYTES]
        self._stream.fill(self._head + piece)
        self._head = b""
        return len(piece)

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        part = os.pread(source, min(count, PIECE_BYTES), position)
        if not part:
            raise EOFError
        return self.send(memoryview(part), patience)

    def flush(self, patience: Patience) -> bool:
        return not self._stream._out

    async def room(self) -> None:
        self._stream.empty.clear()
        if self._stream._out:
            await self._stream.empty.wait()

    def close(self) -> None: ...


class Host:
    """One machine with one exchange."""

    def __init__(self, network: StreamNetwork, ip: str, up: float, down: float, offers: tuple[FileOffer, ...]) -> None:
        self.network = network
        self.address = Address(ip, PORT)
        self.up, self.down = Line(up), Line(down)
        self.frozen = self.dead = False
        self._key = SigningKey.from_seed(bytes(map(int, ip.split("."))) * 8)
        self.certificate = ssl.PEM_cert_to_DER_cert(certificate(self._key).decode())
        self.exchange = Exchange(
            network=NETWORK,
            key=self._key,
            rules=network.rules,
            shelf=Shelf(*offers),
            limits=Limits(),
            rng=random.Random(f"{network.seed} {ip}"),
        )
        dialler = cast("Any", self.exchange._dialler)
        dialler._open_one = self._open_one

    def freeze(self) -> None:
        """The process stands still (SIGSTOP): nothing goes out, nothing is read."""
        self.frozen = True
        self.up.stop()
        self.down.stop()

    def kill(self) -> None:
        """The process is gone: its kernel resets the connections and refuses new ones."""
        self.dead = True
        for connection in list(self.exchange._connections):
            connection.close(NetworkError("killed"))

    async def _open_one(self, peer: PeerAddress, attempts: Attempts | None, *, encrypted: bool) -> Connection:
        """What the dialler does with a socket."""
        if attempts is not None and not attempts.begin(peer.address):
            raise NetworkError(f"{peer.address} was dialled often enough.")
        network = self.network
        network.dials_in_flight += 1
        network.most_dials_in_flight = max(network.most_dials_in_flight, network.dials_in_flight)
        network.dialled[peer.address] += 1
        try:
            other = network.hosts.get(peer.address)
            if other is None:
                await asyncio.sleep(CONNECT_SECONDS)
                raise NetworkError(f"{peer.address} did not answer.")
            await asyncio.sleep(2 * network.delay)
            if other.dead:
                raise NetworkError(f"{peer.address} refused.")
            if other.frozen:
                await asyncio.sleep(HANDSHAKE_SECONDS)
                raise NetworkError(f"{peer.address} did not answer.")
        finally:
            network.dials_in_flight -= 1
        network.port = network.port % 60000 + 1
        near, far = Stream(self, other.certificate), Stream(other, None)
        near.other, far.other = far, near
        far.protocol = other.exchange._make_incoming(Address(self.address.host, network.port), True)
        near.protocol = self.exchange._make_outgoing(peer.address, True, peer.must_be)
        far.protocol.connection_made(far)
        near.protocol.connection_made(near)
        self.exchange._dialler._open[peer.address] = near.protocol
        return near.protocol


class StreamNetwork:
    """All hosts of one simulation. `delay`: seconds one way."""

    def __init__(self, *, seed: int = 1, delay: float = 0.0005, rules: ScopeRules | None = None) -> None:
        self.seed = seed
        self.delay = delay
        self.rules = rules or ScopeRules()
        self.hosts: dict[Address, Host] = {}
        self.port = 1024
        self.dialled: Counter[Address] = Counter()
        self.dials_in_flight = self.most_dials_in_flight = 0

    def host(self, *offers: FileOffer, up: float = 0, down: float = 0, ip: str | None = None) -> Host:
        """One more host; bytes a second, 0 = unlimited."""
        number = len(self.hosts) + 1
        host = Host(self, ip or f"10.1.{number // 250}.{number % 250 + 1}", up, down, offers)
        self.hosts[host.address] = host
        return host


class Fetch:
    """One fetch on a host of its own, serving what it has; `course`: when which chunk was stored."""

    def __init__(
        self, network: StreamNetwork, folder: Path, descriptor: FileDescriptor, *, up: float = 0, down: float = 0
    ) -> None:
        layout = Layout.of(descriptor)
        path = folder / f"fetch{len(network.hosts)}"
        with path.open("wb") as file:
            file.truncate(layout.size)
        self.have = Bitfield(layout.chunk_count)
        self.host = network.host(FileOffer(path, descriptor, self.have), up=up, down=down)
        self.path = path
        self.layout = layout
        self.course: list[tuple[float, int]] = []
        self.events: list[dict[str, Any]] = []
        self.seconds = 0.0

    def store(self, index: int, data: memoryview) -> None:
        """As a sink."""
        assert index not in self.have, "a chunk is stored once"
        slot = self.layout.slot(index)
        with self.path.open("r+b") as file:
            file.seek(slot.offset)
            file.write(data)
        self.have.add(index)
        self.course.append((asyncio.get_running_loop().time(), index))

    async def run(self, peers: list[Address], *, timeout: float = 60.0, after: float = 0.0) -> SwarmResult:
        """From these peers, beginning `after` seconds from now."""
        await asyncio.sleep(after)
        begun = asyncio.get_running_loop().time()
        options = SwarmOptions(timeout=timeout)
        swarm = Swarm(self.host.exchange, self.layout, self, options=options, on_event=self.events.append)
        for address in peers:
            if address != self.host.address:
                swarm.add_peer(address)
        result = await swarm.run()
        self.seconds = asyncio.get_running_loop().time() - begun
        assert self.host.exchange.buffers.promised == 0
        return result

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


def simulate(network: StreamNetwork, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it in virtual time, hosts started before and stopped after. Nothing may be left or go wrong unseen."""

    async def whole() -> T:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        coroutine = make()
        started = list(network.hosts.values())
        for host in started:
            await host.exchange.start()
        try:
            return await coroutine
        finally:
            for host in network.hosts.values():
                host.up.stop(False)
                host.down.stop(False)
                await host.exchange.stop()
            assert not problems, problems

    loop = VirtualLoop()
    try:
        return loop.run_until_complete(whole())
    finally:
        loop.close()


def in_virtual_time(monkeypatch: Any) -> None:
    """For a fixture: exchanges made from now on do threads' work at once."""
    monkeypatch.setattr(exchange_module, "Workers", InlineWorkers)
