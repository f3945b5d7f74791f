"""UDP sockets on the event loop: one per address family, drained in batches. Knows no message.

asyncio's own datagram transport reads one datagram per wake-up and treats some errors of `sendto` as the
socket's death. Here up to 64 are read per wake-up, and an error of sending costs a counter.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from dhtshare.network import Address, parse_ip

DRAIN = 64
_BUFFER_BYTES = 2048  # longer than any datagram of ours, so that a longer one is seen to be too long


class UdpTransport:
    """Sends through the socket of the address's family; hands every datagram received to `receive`.

    The sockets are bound and non-blocking, IPv6 ones for IPv6 only; `close` closes them.
    """

    def __init__(self, sockets: Sequence[socket.socket], receive: Callable[[bytes, Address], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._sockets = list(sockets)
        self._ipv4 = next((s for s in sockets if s.family == socket.AF_INET), None)
        self._ipv6 = next((s for s in sockets if s.family == socket.AF_INET6), None)
        self.send_errors = 0
        self.receive_errors = 0
        for sock in self._sockets:
            self._loop.add_reader(sock, self._drain, sock)

    def sendto(self, data: bytes, address: Address) -> None:
        """Send, or drop where the family has no socket, the buffer is full or the network says no."""
        sock = self._ipv6 if ":" in address.host else self._ipv4
        try:
            if sock is not None:
                sock.sendto(data, address)
                return
        except (OSError, OverflowError):
            pass
        self.send_errors += 1

    def close(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self._ipv4 = self._ipv6 = None

    def _drain(self, sock: socket.socket) -> None:
        for _ in range(DRAIN):
            try:
                data, source = sock.recvfrom(_BUFFER_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self.receive_errors += 1  # ICMP errors of earlier sends arrive here on some systems
                return
            host = source[0]
            self._receive(data, Address(_canonical(host) if ":" in host else host, source[1]))
            if not self._sockets:
                return  # the receiver closed us


def _canonical(host: str) -> str:
    """The kernel writes literals canonically; only IPv6 ones may differ from ours, and carry a zone we refuse."""
    ip = parse_ip(host)
    return host if ip is None else str(ip)
