"""A command's side of the control socket: ask the running node of a home and read what it answers.

Synchronous, and imports only what starts quickly: it is on the path of every command.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from dhtshare.control.protocol import MAX_ANSWER_BYTES, Answer, End, Request, decode_answer, encode_request
from dhtshare.errors import DhtshareError, MalformedError

WENT_AWAY = "The running node went away before it was done. See its messages, and run the command again."


def connect(path: Path) -> Client | None:
    """A connection to the node whose control socket is `path`, or None where none runs.

    Raises DhtshareError when one runs and may not be talked to, or does not listen.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None  # a node that was killed leaves its socket behind: nobody listens on it
    except OSError as error:
        connection.close()
        raise DhtshareError(f"Cannot talk to the running node at {path}: {error.strerror or error}.") from error
    return Client(connection)


class Client:
    """One connection, for one request."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: Request) -> Iterator[Answer]:
        """What the node answers, as it comes; the last is an End. A node that dies ends with code 1."""
        try:
            with contextlib.suppress(BrokenPipeError):  # it refused before it read everything: it still says why
                self._connection.sendall(encode_request(request))
            with self._connection.makefile("rb") as lines:
                while (line := lines.readline(MAX_ANSWER_BYTES)).endswith(b"\n"):
                    answer = decode_answer(line)
                    yield answer
                    if isinstance(answer, End):
                        return
        except (OSError, MalformedError):
            pass
        yield End(1, WENT_AWAY)

    def cancel(self) -> None:
        """Ask the node to stop what it does for us. It still says how it ended; may be called in a signal handler."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
