"""Those around a connection: who asks, who answers, who follows what the peer has, and what all connections share.

Declares only what a connection needs of each; does nothing itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dhtshare.errors import NetworkError
from dhtshare.transfer.messages import Answer as AnswerMessage
from dhtshare.transfer.messages import Data, Hello, Request
from dhtshare.transfer.ratelimit import Limits
from dhtshare.transfer.workers import Workers

if TYPE_CHECKING:
    from dhtshare.transfer.connection import Connection


class EncryptionNeededError(NetworkError):
    """The listener answers over TLS only."""


class Landed(Protocol):
    """Whom one DATA is for."""

    def received(self, data: Data, payload: memoryview | None) -> None:
        """The loop received it. Raises RemoteProtocolError."""

    def digest(self, data: Data, payload: memoryview | None) -> Callable[[], None]:
        """A worker thread received it: do there what takes long, return the rest.

        What is returned is called on the loop and may raise RemoteProtocolError.
        """


class Expecting(Protocol):
    """Somebody who made a request."""

    def place(self, length: int) -> memoryview | None:
        """A payload begins: where to put it; None to skip it. In any thread. Raises RemoteProtocolError."""

    def data_came(self) -> tuple[Landed, bool]:
        """DATA is here, whole: who is told so, and whether it ends the answer. In any thread."""

    def answered(self, answer: AnswerMessage, payload: memoryview | None) -> None:
        """An answer is here that is not DATA. Raises RemoteProtocolError."""

    def lost(self, error: Exception) -> None:
        """No answer will come: the connection ended."""


class Handler(Protocol):
    """What a connection asks of the one that owns it."""

    def greeted(self, connection: Connection, hello: Hello | None) -> None:
        """The transport is up (`hello` None), or the peer's HELLO came: say ours, or raise DhtshareError."""

    def requested(self, connection: Connection, request: Request) -> None:
        """The peer asks."""

    def cancelled(self, connection: Connection, request: int) -> None:
        """The peer no longer wants an answer."""

    def closed(self, connection: Connection) -> None:
        """The connection ended."""


class Follower(Protocol):
    """A swarm that uses a connection."""

    def has_more(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        """The peer verified more chunks: first, count, first, count, …"""

    def given(self, connection: Connection, content: bytes, runs: tuple[int, ...]) -> None:
        """The peer gives these chunks to others."""

    def choking(self, connection: Connection) -> None:
        """The peer choked or unchoked us: see `connection.choked`."""

    def closed(self, connection: Connection) -> None:
        """The connection ended."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of an exchange use together."""

    limits: Limits
    senders: Workers
    receivers: Workers
    keep: Callable[[asyncio.Task[None]], None]
    """Takes ownership of a task."""
    refused: Callable[[BaseException], bool] = lambda _: False
    """Is told of errors, and knows whether the system lacks something."""
