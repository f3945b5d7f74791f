"""The least that a transfer can be: sendfile → receive → BLAKE3 → pwrite in threads, without protocol or swarm.

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

from scripts.benchmarks.transfer.contest import Run
from scripts.benchmarks.transfer.ground import cpu_seconds

CHUNK = 1 << 20
DEPTH = 4
CONNECTIONS = 2


class Bare:
    """A seed and a fetcher, a process each, for the length of one run."""

    name = "bare"

    def __init__(self, source: Path, *, in_place: bool = False) -> None:
        self._source = source
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
            seeding = spawn.Process(target=_seed, args=(listener, self._source, there))
            seeding.start()
            here.recv()
            seed_before = cpu_seconds(seeding.pid or 0)
            chunks = self._source.stat().st_size // CHUNK
            fetching = spawn.Process(target=_fetch, args=(listener.getsockname()[1], part, target, chunks, there))
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


def _seed(listener: socket.socket, source: Path, parent: Connection) -> None:
    """Serve chunks by number (8 bytes each) to CONNECTIONS connections."""
    fd = os.open(source, os.O_RDONLY)
    parent.send("ready")
    threads = []
    for _ in range(CONNECTIONS):
        sock, _ = listener.accept()
        threads.append(threading.Thread(target=_serve, args=(sock, fd)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    parent.recv()


def _serve(sock: socket.socket, fd: int) -> None:
    with sock, sock.makefile("rb") as questions:
        while len(question := questions.read(8)) == 8:
            at = int.from_bytes(question, "big") * CHUNK
            end = at + CHUNK
            while at < end:
                at += os.sendfile(sock.fileno(), fd, at, end - at)


def _fetch(port: int, part: Path, target: Path, chunks: int, parent: Connection) -> None:
    before, begun = cpu_seconds(os.getpid()), time.perf_counter()
    fd = os.open(part, os.O_RDWR | os.O_CREAT)
    numbers, lock = iter(range(chunks)), threading.Lock()
    socks = [_dial(port) for _ in range(CONNECTIONS)]
    threads = [threading.Thread(target=_take, args=(sock, fd, numbers, lock)) for sock in socks]
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


def _take(sock: socket.socket, fd: int, numbers: Iterator[int], lock: threading.Lock) -> None:
    buffer, asked = memoryview(bytearray(CHUNK)), []
    with sock:

        def ask() -> None:
            with lock:
                number = next(numbers, None)
            if number is not None:
                sock.sendall(number.to_bytes(8, "big"))
                asked.append(number)

        for _ in range(DEPTH):
            ask()
        while asked:
            number = asked.pop(0)
            sock.recv_into(buffer, CHUNK, socket.MSG_WAITALL)
            ask()
            blake3(buffer).digest()
            os.pwrite(fd, buffer, number * CHUNK)
