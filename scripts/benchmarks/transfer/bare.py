"""The least that a transfer can be: file → socket → BLAKE3 → pwrite in threads, without protocol or swarm.

The yardstick: it runs under the same load, with the same files, congestion control, fsync and rename.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from blake3 import blake3

from dhtshare.identity import SigningKey
from dhtshare.transfer.lines import Line, Patience, PlainLine, twin
from dhtshare.transfer.tls import client_context, server_context
from dhtshare.transfer.tls_line import TlsLine, TlsSession
from scripts.benchmarks.transfer.contest import Run
from scripts.benchmarks.transfer.ground import cpu_seconds

CHUNK = 1 << 20
DEPTH = 4
CONNECTIONS = 2
FOREVER = 60.0
HANDSHAKE_BYTES = 16 << 10


class Bare:
    """A seed and a fetcher, a process each, for the length of one run."""

    def __init__(self, source: Path, *, in_place: bool = False, tls: bool = False) -> None:
        self.name = "bare TLS" if tls else "bare"
        self._source = source
        self._tls = tls
        self._in_place = in_place

    def run(self, folder: Path) -> Run:
        """Fetch the source into the folder."""
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        part, target = folder / "bare.part", folder / "bare.bin"
        if self._in_place and target.exists():
            target.rename(part)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            seeding = spawn.Process(target=_seed, args=(listener, self._source, self._tls, there))
            seeding.start()
            here.recv()
            seed_before = cpu_seconds(seeding.pid or 0)
            chunks = self._source.stat().st_size // CHUNK
            port = listener.getsockname()[1]
            fetching = spawn.Process(target=_fetch, args=(port, self._tls, part, target, chunks, there))
            fetching.start()
            seconds, fetcher_cpu = here.recv()
            seed_cpu = cpu_seconds(seeding.pid or 0) - seed_before
            here.send("over")
        fetching.join()
        seeding.join()
        if not self._in_place:
            target.unlink()
        return Run(seconds, seed_cpu, fetcher_cpu)

    def stop(self) -> None:
        """Nothing is left between runs."""


def _line(sock: socket.socket, *, tls: bool, server_side: bool) -> Line:
    """After the handshake, if there is one."""
    if not tls:
        sock.setblocking(False)
        return PlainLine(twin(sock))
    context = server_context(SigningKey.from_seed(b"bare" * 8)) if server_side else client_context()
    session = TlsSession(context, server_side=server_side)
    while True:
        through = session.shake_hands()
        sock.sendall(session.take())
        if through:
            break
        session.feed(memoryview(sock.recv(HANDSHAKE_BYTES)))
    sock.setblocking(False)
    return TlsLine(twin(sock), session)


def _read(line: Line, buffer: memoryview) -> bool:
    """Fill the buffer; False at the end of the connection."""
    filled = 0
    while filled < len(buffer):
        try:
            came = line.receive((buffer[filled:],))
        except BlockingIOError:
            line.wait_for_bytes(FOREVER)
            continue
        if not came:
            return False
        filled += came
    return True


def _seed(listener: socket.socket, source: Path, tls: bool, parent: Connection) -> None:
    """Serve chunks by number (8 bytes each) to CONNECTIONS connections."""
    fd = os.open(source, os.O_RDONLY)
    parent.send("ready")
    threads = []
    for _ in range(CONNECTIONS):
        sock, _ = listener.accept()
        threads.append(threading.Thread(target=_serve, args=(sock, tls, fd)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    parent.recv()


def _serve(sock: socket.socket, tls: bool, fd: int) -> None:
    question = memoryview(bytearray(8))
    with sock:
        line = _line(sock, tls=tls, server_side=True)
        while _read(line, question):
            at, sent = int.from_bytes(question, "big") * CHUNK, 0
            while sent < CHUNK or not line.flush(Patience(FOREVER)):
                sent += line.send_file(fd, at + sent, CHUNK - sent, Patience(FOREVER))
        line.close()


def _fetch(port: int, tls: bool, part: Path, target: Path, chunks: int, parent: Connection) -> None:
    before, begun = cpu_seconds(os.getpid()), time.perf_counter()
    fd = os.open(part, os.O_RDWR | os.O_CREAT)
    numbers, lock = iter(range(chunks)), threading.Lock()
    socks = [_dial(port) for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=_take, args=(sock, tls, fd, numbers, lock)) for sock in socks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fsync(fd)
    os.close(fd)
    part.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    parent.send((time.perf_counter() - begun, cpu_seconds(os.getpid()) - before))


def _dial(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _take(sock: socket.socket, tls: bool, fd: int, numbers: Iterator[int], lock: threading.Lock) -> None:
    buffer, asked = memoryview(bytearray(CHUNK)), []
    with sock:
        line = _line(sock, tls=tls, server_side=False)

        def ask() -> None:
            with lock:
                number = next(numbers, None)
            if number is not None:
                line.send(memoryview(number.to_bytes(8, "big")), Patience(FOREVER))
                asked.append(number)

        for _ in range(DEPTH):
            ask()
        while asked:
            number = asked.pop(0)
            _read(line, buffer)
            ask()
            blake3(buffer).digest()
            os.pwrite(fd, buffer, number * CHUNK)
        line.close()
