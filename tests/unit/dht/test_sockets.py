"""UDP sockets on the loop, real ones: batches, errors of sending and receiving, closing from inside."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dhtshare.dht.sockets import DRAIN, UdpTransport
from dhtshare.network import Address


def udp(host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


@contextmanager
def opened(receive: Callable[[bytes, Address], None], *hosts: str) -> Iterator[tuple[UdpTransport, Address]]:
    sockets = [udp(host) for host in hosts or ("127.0.0.1",)]
    place = Address(*sockets[0].getsockname()[:2])
    transport = UdpTransport(sockets, receive)
    try:
        yield transport, place
    finally:
        transport.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_what_is_sent_arrives_with_its_source() -> None:
    heard: list[tuple[bytes, Address]] = []
    with opened(lambda data, sender: heard.append((data, sender))) as (transport, place):
        transport.sendto(b"to myself", place)
        await until(lambda: bool(heard))
        assert heard == [(b"to myself", place)]
        assert type(heard[0][1]) is Address


async def test_a_wake_up_reads_a_batch_and_no_more() -> None:
    heard: list[bytes] = []
    turns: list[int] = []
    with opened(lambda data, sender: heard.append(data)) as (_, place):
        with udp() as sender:
            for number in range(DRAIN + 20):
                sender.sendto(number.to_bytes(2, "big"), place)
        while len(heard) < DRAIN + 20:
            await asyncio.sleep(0)
            if not turns or turns[-1] != len(heard):
                turns.append(len(heard))
    assert max(after - before for before, after in zip([0, *turns], turns, strict=False)) == DRAIN
    assert heard == [number.to_bytes(2, "big") for number in range(DRAIN + 20)]


async def test_a_datagram_longer_than_any_of_ours_is_seen_to_be_too_long() -> None:
    heard: list[bytes] = []
    with opened(lambda data, sender: heard.append(data)) as (transport, place):
        transport.sendto(bytes(9000), place)
        await until(lambda: bool(heard))
        assert 1200 < len(heard[0]) <= 2048


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (b"x", Address("127.0.0.1", 70000)),
        (b"x", Address("127.0.0.1", -1)),
        (b"x", Address("::1", 4470)),  # no socket of that family
        (b"x", Address("255.255.255.255", 4470)),  # not allowed
        (bytes(70_000), Address("127.0.0.1", 4470)),  # too long for UDP
    ],
    ids=["high port", "low port", "no family", "broadcast", "too long"],
)
async def test_what_cannot_be_sent_costs_a_counter(data: bytes, address: Address) -> None:
    heard: list[bytes] = []
    with opened(lambda data, sender: heard.append(data)) as (transport, place):
        transport.sendto(data, address)
        assert transport.send_errors == 1
        transport.sendto(b"alive", place)
        await until(lambda: heard == [b"alive"])


async def test_a_port_where_nobody_listens_ends_nothing() -> None:
    """On Linux the ICMP answer to an earlier datagram may come up at the next call of either kind."""
    heard: list[bytes] = []
    with udp() as gone:
        nobody = Address(*gone.getsockname())
    with opened(lambda data, sender: heard.append(data)) as (transport, place):
        for _ in range(20):
            transport.sendto(b"x", nobody)
        transport.sendto(b"alive", place)
        await until(lambda: heard == [b"alive"])


async def test_an_error_of_receiving_is_counted_and_the_next_datagram_read() -> None:
    heard: list[bytes] = []

    class Failing(socket.socket):
        failures = 3

        def recvfrom(self, *arguments: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise OSError(errno.ECONNREFUSED, "from an earlier send")
            return super().recvfrom(*arguments)

    sock = Failing(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    transport = UdpTransport([sock], lambda data, sender: heard.append(data))
    try:
        transport.sendto(b"alive", Address(*sock.getsockname()))
        await until(lambda: heard == [b"alive"])
        assert transport.receive_errors == 3
    finally:
        transport.close()


async def test_a_full_buffer_drops() -> None:
    class Full(socket.socket):
        def sendto(self, *arguments: Any) -> Any:
            raise BlockingIOError

    sock = Full(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    transport = UdpTransport([sock], lambda data, sender: None)
    transport.sendto(b"x", Address("127.0.0.1", 4470))
    assert transport.send_errors == 1
    transport.close()


async def test_who_receives_may_close() -> None:
    heard: list[bytes] = []

    def receive(data: bytes, sender: Address) -> None:
        heard.append(data)
        transport.close()

    sock = udp()
    place = Address(*sock.getsockname())
    transport = UdpTransport([sock], receive)
    with udp() as sender:
        for _ in range(5):
            sender.sendto(b"x", place)
    await until(lambda: bool(heard))
    await asyncio.sleep(0.05)
    assert heard == [b"x"]
    transport.close()
    transport.sendto(b"after", place)
    assert transport.send_errors == 1
    assert sock.fileno() == -1
