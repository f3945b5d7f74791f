"""The least that a transfer can be: sendfile → receive → BLAKE3 → pwrite in threads, without protocol or swarm.

The yardstick of the wire benchmark: both run under the same load, with the same files and congestion control.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

from blake3 import blake3

CHUNK = 1 << 20
DEPTH = 4


def seed(listener: socket.socket, source: Path, connections: int) -> None:
    """Serve chunks by number (8 bytes each) to so many connections, then return."""
    fd = os.open(source, os.O_RDONLY)
    threads = []
    for _ in range(connections):
        sock, _ = listener.accept()
        threads.append(threading.Thread(target=_serve, args=(sock, fd)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    os.close(fd)


def _serve(sock: socket.socket, fd: int) -> None:
    with sock, sock.makefile("rb") as questions:
        while len(question := questions.read(8)) == 8:
            at = int.from_bytes(question, "big") * CHUNK
            end = at + CHUNK
            while at < end:
                at += os.sendfile(sock.fileno(), fd, at, end - at)


def fetch(port: int, target: Path, chunks: int, connections: int) -> float:
    """Seconds to fetch, hash and write everything."""
    fd = os.open(target, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, chunks * CHUNK)
    numbers, lock = iter(range(chunks)), threading.Lock()
    socks = [_dial(port) for _ in range(connections)]
    threads = [threading.Thread(target=_take, args=(sock, fd, numbers, lock)) for sock in socks]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    os.close(fd)
    return seconds


def _dial(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _take(sock: socket.socket, fd: int, numbers: object, lock: threading.Lock) -> None:
    buffer, asked = memoryview(bytearray(CHUNK)), []
    with sock:

        def ask() -> None:
            with lock:
                number = next(numbers, None)  # type: ignore[call-overload]
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
