"""A TLS connection on the event loop whose bytes threads may move too, which asyncio's own does not allow."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from dhtshare.transfer.lines import CERTIFICATE, LINE, Patience, twin
from dhtshare.transfer.tls_line import TlsLine, TlsSession

HANDSHAKE_READ_BYTES = 16 << 10
LOOP_READ_BYTES = 32 << 10
"""Read ahead on the loop, which serves small messages and slow lines; what was read ahead once is kept as room."""

READS_AT_ONCE = 4
"""Before other connections have their turn."""

_NO_PATIENCE = Patience(0)

Protocol = TypeVar("Protocol", bound=asyncio.BufferedProtocol)


async def begin_tls(
    sock: socket.socket, context: ssl.SSLContext, make: Callable[[], Protocol], *, server_side: bool
) -> Protocol:
    """Shake hands on a connected, non-blocking socket; the connection object that `make` made, ready.

    Raises OSError (ssl.SSLError among them); until it returns, the socket is the caller's to close.
    """
    loop, session = asyncio.get_running_loop(), TlsSession(context, server_side=server_side)
    while True:
        through = session.shake_hands()
        if wire := session.take():
            await loop.sock_sendall(sock, wire)
        if through:
            break
        if not (came := await loop.sock_recv(sock, HANDSHAKE_READ_BYTES)):
            raise ConnectionResetError("it closed the connection during the handshake")
        session.feed(memoryview(came))
    protocol = make()
    TlsTransport(sock, session, protocol).begin()
    return protocol


class TlsTransport(asyncio.Transport):
    """The socket, after the handshake. Full with one byte that the peer does not take, as the outbox wants it.

    Ends without a word (close_notify): frames tell their length, so a stream that was cut short is known by them.
    """

    def __init__(self, sock: socket.socket, session: TlsSession, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__({"peername": sock.getpeername()})
        self._socket = sock
        self._session = session
        self._line = TlsLine(sock, session, LOOP_READ_BYTES)
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._reading = self._full = self._closing = self._ended = False

    def begin(self) -> None:
        """Tell the protocol, and read: bytes may have come with the handshake's last."""
        self._protocol.connection_made(self)
        self.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == LINE:
            return lambda: TlsLine(twin(self._socket), self._session)
        if name == CERTIFICATE:
            return self._session.certificate()
        if name == "socket" and not self._ended:
            return self._socket
        return super().get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """They are fixed: see the class."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._closing:
            self._session.encipher(memoryview(data))
            self._flush()

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket)

    def resume_reading(self) -> None:
        if not (self._reading or self._closing):
            self._reading = True
            self._loop.add_reader(self._socket, self._read)
            self._loop.call_soon(self._read)  # wire bytes may wait in the session, of which the socket tells nothing

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._stop_reading()
        if not self._full:
            self._end(None)

    def abort(self) -> None:
        self._end(None)

    def _read(self) -> None:
        for _ in range(READS_AT_ONCE):
            if not self._reading:
                return
            try:
                count = self._line.receive((self._protocol.get_buffer(-1),))  # type: ignore[arg-type]
            except BlockingIOError:
                return
            except OSError as error:
                self._end(error)
                return
            if not count:
                self.close()
                return
            try:
                self._protocol.buffer_updated(count)
            except BaseException as error:  # a bug: it ends this connection, and the loop tells of it
                self._end(error if isinstance(error, Exception) else None)
                raise
        self._loop.call_soon(self._read)

    def _flush(self) -> None:
        try:
            through = self._line.flush(_NO_PATIENCE)
        except OSError as error:
            self._end(error)
            return
        if through and self._full:
            self._full = False
            self._loop.remove_writer(self._socket)
            if self._closing:
                self._end(None)
            else:
                self._protocol.resume_writing()
        elif not through and not self._full:
            self._full = True
            self._loop.add_writer(self._socket, self._flush)
            self._protocol.pause_writing()

    def _stop_reading(self) -> None:
        self._reading = False
        self._loop.remove_reader(self._socket)

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._ended = self._closing = True
        self._stop_reading()
        self._loop.remove_writer(self._socket)
        self._loop.call_soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._socket.close()
