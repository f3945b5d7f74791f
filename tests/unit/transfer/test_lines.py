"""Lines carry bytes and files unchanged, plain and over TLS, and never wait for a peer longer than they may."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from dhtshare.transfer.lines import Line, Patience
from dhtshare.transfer.tls_line import MOST_OWN_BYTES, TlsSession
from tests.unit.transfer.line_fakes import SERVER, lines, sessions

MIB = 1 << 20
LONG = 10.0


@pytest.fixture(params=["plain", "tls"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Line, Line]]:
    with lines(request.param) as both:
        yield both


def take(line: Line, count: int, *, at_a_time: int = 64 << 10) -> bytes:
    """So many bytes; a buffer is filled in the steps that the line makes."""
    buffer = memoryview(bytearray(count))
    filled = 0
    while filled < count:
        try:
            came = line.receive((buffer[filled : filled + at_a_time],))
        except BlockingIOError:
            assert line.wait_for_bytes(LONG)
            continue
        assert came
        filled += came
    return bytes(buffer)


def send_all(line: Line, data: bytes) -> None:
    sent = 0
    while sent < len(data) or not line.flush(Patience(LONG)):
        sent += line.send(memoryview(data)[sent:], Patience(LONG))


def test_nothing_here_is_no_end_and_the_end_is_one(ends: tuple[Line, Line]) -> None:
    near, far = ends
    with pytest.raises(BlockingIOError):
        far.receive((memoryview(bytearray(10)),))
    assert not far.wait_for_bytes(0)
    send_all(near, b"last")
    assert take(far, 4) == b"last"


def test_an_end_is_told_again_and_again() -> None:
    for kind in ("plain", "tls"):
        with lines(kind) as (near, far):
            send_all(near, b"last")
            near._socket.shutdown(1)  # type: ignore[attr-defined]
            assert take(far, 4) == b"last"
            assert [far.receive((memoryview(bytearray(10)),)) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("at_a_time", [1, 777, 16 << 10, 3 * MIB])
def test_buffers_of_any_size_get_the_same_bytes(ends: tuple[Line, Line], at_a_time: int) -> None:
    near, far = ends
    data = random.Random(1).randbytes(50_000 if at_a_time == 1 else 3 * MIB)
    sender = threading.Thread(target=send_all, args=(near, data))
    sender.start()
    assert take(far, len(data), at_a_time=at_a_time) == data
    sender.join()


def test_a_peer_that_does_not_read_is_waited_for_no_longer_than_allowed(ends: tuple[Line, Line]) -> None:
    near, far = ends
    data = random.Random(2).randbytes(4 * MIB)
    sent = near.send(memoryview(data), Patience(0))
    assert 0 < sent < len(data)
    assert near.send(memoryview(data)[sent:], Patience(0)) == 0
    near.flush(Patience(0))
    received = take(far, sent // 2)
    rest = threading.Thread(target=send_all, args=(near, data[sent:]))
    rest.start()
    assert received + take(far, len(data) - len(received)) == data
    rest.join()


def test_a_head_and_a_stretch_of_a_file_follow_each_other(ends: tuple[Line, Line], tmp_path: Path) -> None:
    near, far = ends
    data = random.Random(3).randbytes(2 * MIB)
    path = tmp_path / "file"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)

    def send() -> None:
        assert near.send(memoryview(b"head"), Patience(LONG), more=True) == 4
        sent = 0
        while sent < MIB:
            sent += near.send_file(fd, 1000 + sent, MIB - sent, Patience(LONG))
        assert near.flush(Patience(LONG))

    sender = threading.Thread(target=send)
    sender.start()
    assert take(far, 4 + MIB) == b"head" + data[1000 : 1000 + MIB]
    sender.join()
    os.close(fd)


def test_a_file_that_ends_too_early_is_told(ends: tuple[Line, Line], tmp_path: Path) -> None:
    near, _ = ends
    path = tmp_path / "file"
    path.write_bytes(b"short")
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(EOFError):
        near.send_file(fd, 0, 10, Patience(LONG))
    os.close(fd)


def test_both_directions_at_once_in_threads(ends: tuple[Line, Line]) -> None:
    """TLS keeps one state for both directions: two threads that tore it would break the next record."""
    data = {line: random.Random(number).randbytes(16 * MIB) for number, line in enumerate(ends)}
    got: dict[Line, bytes] = {}

    def receive(line: Line, count: int) -> None:
        got[line] = take(line, count)

    near, far = ends
    threads = [threading.Thread(target=send_all, args=(line, data[line])) for line in ends]
    threads += [threading.Thread(target=receive, args=(line, 16 * MIB)) for line in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {near: data[far], far: data[near]}


def test_a_session_says_what_came_however_it_is_cut() -> None:
    client, server = sessions()
    data = random.Random(4).randbytes(100_000)
    client.encipher(memoryview(data))
    wire = client.take()
    for cut in (1, 5, 16_405, len(wire) - 1):
        one, other = sessions()
        one.encipher(memoryview(data))
        wire = one.take()
        target = memoryview(bytearray(len(data) + 10))
        other.feed(wire[:cut])
        came = other.decipher(target)
        other.feed(wire[cut:])
        came += other.decipher(target[came:])
        assert bytes(target[:came]) == data
        assert not other.ended
    assert server.decipher(memoryview(bytearray(10))) == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="only the openssl command can ask for new keys")
def test_who_asks_for_new_keys_without_end_is_stopped() -> None:
    """Each answer would wait in memory until we have something to send."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.getsockname()[1]}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, **quiet) as asking:  # type: ignore[call-overload]
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(20)
                session = shake_hands_on(sock)
                said = threading.Thread(target=ask_for_keys, args=(asking.stdin,))
                said.start()
                with pytest.raises(ssl.SSLError, match="new keys"):
                    while wire := sock.recv(1 << 16):
                        session.feed(memoryview(wire))
                        session.decipher(memoryview(bytearray(1000)))
                assert len(session.take()) <= MOST_OWN_BYTES + (1 << 16)
            said.join()
            asking.kill()


def ask_for_keys(keyboard: IO[bytes]) -> None:
    """As somebody types it: new keys, and new ones; a word now and then, without which OpenSSL takes offence."""
    with contextlib.suppress(OSError):
        for number in range(1000):
            keyboard.write(b"K\n" if number % 20 else b"word\n")
            time.sleep(0.001)  # one line is one read there


def shake_hands_on(sock: socket.socket) -> TlsSession:
    session = TlsSession(SERVER, server_side=True)
    while True:
        through = session.shake_hands()
        sock.sendall(session.take())
        if through:
            return session
        session.feed(memoryview(sock.recv(1 << 16)))


def test_a_forged_record_is_an_error() -> None:
    client, server = sessions()
    client.encipher(memoryview(b"a" * 100))
    wire = bytearray(client.take())
    wire[-1] ^= 1
    server.feed(memoryview(wire))
    with pytest.raises(ssl.SSLError):
        server.decipher(memoryview(bytearray(1000)))
