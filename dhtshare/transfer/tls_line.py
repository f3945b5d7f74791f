"""TLS without a transport around it: a session that is fed and asked, and a line that moves its bytes in any thread.

asyncio's own TLS ciphers on the event loop and keeps 256 KiB for every connection, idle ones too. Here a worker thread
ciphers what it reads from a file or writes into a chunk's buffer, and an idle connection keeps its keys alone.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Sequence

from dhtshare.transfer.lines import Patience, SocketLine

PIECE_BYTES = 128 << 10
"""Enciphered or deciphered at a time: eight records, small enough to stay in a core's cache."""


MOST_OWN_BYTES = 16 << 10
"""What the session itself may have to say at a time. A peer can ask for new keys with every few bytes that it sends;
each answer waits here until we send something, and nobody needs new keys 600 times."""


class TlsSession:
    """One side of a TLS connection as a state machine: wire bytes in and out, plain bytes out and in. No socket.

    One thread may read while another writes: each step holds a lock, for the library's object knows no threads.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._lock = threading.Lock()
        self._own_bytes = 0
        self.unsent = memoryview(b"")
        """Wire bytes that the kernel did not take yet. They belong to whoever writes now."""
        self.ended = False
        """The peer said that it sends no more."""

    def shake_hands(self) -> bool:
        """Go on with the handshake; whether it is through. Raises ssl.SSLError."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def certificate(self) -> bytes | None:
        """The peer's (DER), if it showed one."""
        return self._object.getpeercert(binary_form=True)

    def feed(self, wire: memoryview) -> None:
        """These bytes came."""
        with self._lock:
            self._incoming.write(wire)

    def decipher(self, target: memoryview) -> int:
        """Fill `target` with plain bytes as far as they are here; how many. Raises ssl.SSLError."""
        filled = 0
        with self._lock:
            before = self._outgoing.pending
            try:
                while not self.ended and filled < len(target):
                    count = self._object.read(len(target) - filled, target[filled:])
                    if not count:
                        self.ended = True
                        break
                    filled += int(count)
            except ssl.SSLWantReadError:
                pass
            self._own_bytes += self._outgoing.pending - before
        if self._own_bytes > MOST_OWN_BYTES:
            raise ssl.SSLError("the peer asks for new keys again and again")
        return filled

    def encipher(self, plain: memoryview) -> None:
        """These bytes are to go."""
        with self._lock:
            done = 0
            while done < len(plain):
                done += self._object.write(plain[done:])

    def take(self) -> memoryview:
        """Wire bytes that are to go now: of what was enciphered, or the session's own."""
        with self._lock:
            self._own_bytes = 0
            return memoryview(self._outgoing.read())


class TlsLine(SocketLine):
    """A session on a socket. `most`: wire bytes that are read ahead at a time."""

    def __init__(self, sock: socket.socket, session: TlsSession, most: int = PIECE_BYTES) -> None:
        super().__init__(sock)
        self._session = session
        self._most = most

    def receive(self, buffers: Sequence[memoryview]) -> int:
        session, target = self._session, buffers[0]
        while not (count := session.decipher(target)) and not session.ended:
            wire = _scratch()[: self._most]
            if not (came := self._socket.recv_into(wire)):
                break
            session.feed(wire[:came])
        return count

    def send(self, data: memoryview, patience: Patience, *, more: bool = False) -> int:
        sent = 0
        while sent < len(data) and self._has_room(patience):
            piece = data[sent : sent + PIECE_BYTES]
            self._session.encipher(piece)
            sent += len(piece)
            if not more:
                self.flush(patience)
        return sent

    def send_file(self, source: int, position: int, count: int, patience: Patience) -> int:
        sent = 0
        while sent < count and self._has_room(patience):
            piece = _scratch()[: count - sent]
            came = os.preadv(source, [piece], position + sent)
            if not came:
                raise EOFError
            self._session.encipher(piece[:came])
            sent += came
            self.flush(patience)
        return sent

    def flush(self, patience: Patience) -> bool:
        session = self._session
        while True:
            if not session.unsent:
                session.unsent = session.take()
            if not session.unsent:
                return True
            try:
                session.unsent = session.unsent[self._socket.send(session.unsent) :]
            except BlockingIOError:
                if not patience.wait_for_room(self._socket.fileno()):
                    return False

    def _has_room(self, patience: Patience) -> bool:
        return not self._session.unsent or self.flush(patience)


_of_thread = threading.local()


def _scratch() -> memoryview:
    """PIECE_BYTES of this thread, for wire or file bytes on their way through the cipher."""
    try:
        view: memoryview = _of_thread.view
    except AttributeError:
        view = _of_thread.view = memoryview(bytearray(PIECE_BYTES))
    return view
