"""One UDP socket that speaks as ten thousand: each datagram leaves from an address of 127/8 of its own."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

IP_PKTINFO = 8  # Linux; the socket module does not name it
RECEIVED = socket.CMSG_SPACE(12)
BUFFER = 4 << 20
LOST_SECONDS = 0.2
PAUSE_SECONDS = 0.002  # an asker that waits for each answer has the node wake it up each time


def apart(number: int) -> str:
    """The address of source `number`, each in a /24 of its own as far as there are so many."""
    return f"127.{1 + number % 200}.{number // 200 % 250}.{1 + number // 50_000}"


def together(number: int) -> str:
    """Two hundred addresses in each /24, none of which `apart` uses."""
    return f"127.{250 + number // 200}.0.{1 + number % 200}"


class Sources:
    """`count` addresses on one port."""

    def __init__(self, count: int, host_of: Callable[[int], str] = apart) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.hosts = [host_of(number) for number in range(count)]
        self.number_of = {socket.inet_aton(host): number for number, host in enumerate(self.hosts)}
        self._from = [
            [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, socket.inet_aton(host), bytes(4)))]
            for host in self.hosts
        ]

    def send(self, number: int, data: bytes, target: tuple[str, int]) -> bool:
        """As that source. False where the kernel had no room."""
        try:
            self.socket.sendmsg((data,), self._from[number], 0, target)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> tuple[int, bytes, tuple[str, int]] | None:
        """To which source, what, from where; None when nothing is there."""
        try:
            data, control, _, sender = self.socket.recvmsg(2048, RECEIVED)
        except BlockingIOError:
            return None
        packed = control[0][2][8:12]
        return self.number_of.get(packed, -1), data, sender

    def wait(self, seconds: float) -> bool:
        """Until something comes. False if nothing did."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def exchange(
        self,
        datagrams: Sequence[bytes],
        target: tuple[str, int],
        seconds: float,
        window: int,
        good: Callable[[bytes], bool],
    ) -> tuple[int, int, float]:
        """Keep `window` requests under way for so long, each source in turn. Good answers, others, seconds."""
        answered = others = under_way = number = 0
        began = heard = now = time.perf_counter()
        while now - began < seconds:
            while under_way < window and self.send(number, datagrams[number], target):
                number = (number + 1) % len(datagrams)
                under_way += 1
            time.sleep(PAUSE_SECONDS)
            now = time.perf_counter()
            try:
                while True:
                    if good(self.socket.recv(2048)):
                        answered += 1
                    else:
                        others += 1
                    under_way = max(0, under_way - 1)
                    heard = now
            except BlockingIOError:
                if now - heard > LOST_SECONDS:
                    under_way = 0  # what was lost is not waited for
        return answered, others, now - began

    def close(self) -> None:
        self.socket.close()
