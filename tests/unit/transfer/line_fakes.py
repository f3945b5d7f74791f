"""Two ends of a connection as lines, in the clear and over TLS."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from dhtshare.identity import SigningKey
from dhtshare.transfer.lines import Line, PlainLine, twin
from dhtshare.transfer.tls import client_context, server_context
from dhtshare.transfer.tls_line import TlsLine, TlsSession

SERVER, CLIENT = server_context(SigningKey.from_seed(b"s" * 32)), client_context()


def sessions() -> tuple[TlsSession, TlsSession]:
    """Client and server, after the handshake."""
    client, server = TlsSession(CLIENT, server_side=False), TlsSession(SERVER, server_side=True)
    through = False
    while not through:
        through = client.shake_hands()
        server.feed(client.take())
        through = server.shake_hands() and through
        client.feed(server.take())
    return client, server


@contextlib.contextmanager
def lines(kind: str) -> Iterator[tuple[Line, Line]]:
    """Both ends, on a pair of connected sockets."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    with ours, theirs:
        if kind == "plain":
            near: Line = PlainLine(twin(ours))
            far: Line = PlainLine(twin(theirs))
        else:
            client, server = sessions()
            near, far = TlsLine(twin(ours), client), TlsLine(twin(theirs), server)
        try:
            yield near, far
        finally:
            near.close()
            far.close()
