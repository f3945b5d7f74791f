"""One request, one awaited answer: for everything but chunks, which have callbacks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from dhtshare.errors import DhtshareError, NetworkError, NotFoundError, RemoteProtocolError
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import Answer, Data, Reason, Refused, Request

Kind = TypeVar("Kind", bound=Answer)


class Reply:
    """Waits for the answer to one request. Never holds more than one payload of that answer's limit."""

    def __init__(self) -> None:
        self.future: asyncio.Future[tuple[Answer, bytes]] = asyncio.get_running_loop().create_future()

    def place(self, length: int) -> memoryview | None:
        """Keep the payload while somebody waits."""
        return None if self.future.done() else memoryview(bytearray(length))

    def answered(self, answer: Answer, payload: memoryview | None) -> None:
        """Wake the one who waits."""
        if not self.future.done():
            self.future.set_result((answer, bytes(payload or b"")))

    def data_came(self) -> tuple[Reply, bool]:
        """Nobody asks for more than one DATA here."""
        return self, True

    def received(self, data: Data, payload: memoryview | None) -> None:
        """As any other answer."""
        self.answered(data, payload)

    def digest(self, data: Data, payload: memoryview | None) -> Callable[[], None]:
        """There is nothing to do with it."""
        return partial(self.answered, data, payload)

    def lost(self, error: Exception) -> None:
        """Pass the error on to the one who waits."""
        if not self.future.done():
            self.future.set_exception(error)


async def ask(
    connection: Connection, make: Callable[[int], Request], kind: type[Kind], timeout: float
) -> tuple[Kind, bytes]:
    """The answer of this kind and its payload.

    Raises NotFoundError when the peer does not hold it, NetworkError when it does not answer in `timeout`
    seconds, refuses otherwise or goes, and whatever closed the connection. An answer of another kind is a
    RemoteProtocolError and closes it.
    """
    reply = Reply()
    number = connection.ask(make, reply)
    try:
        answer, payload = await asyncio.wait_for(reply.future, timeout)
    except TimeoutError as error:
        connection.cancel(number)
        raise NetworkError(f"{connection.address} did not answer within {timeout:g} s.") from error
    except asyncio.CancelledError:
        connection.cancel(number)
        raise
    if isinstance(answer, Refused):
        if answer.reason == Reason.NOT_FOUND:
            raise NotFoundError(f"{connection.address} does not hold this content.")
        raise NetworkError(f"{connection.address} refused to answer (reason {answer.reason}).")
    if not isinstance(answer, kind):
        wrong = RemoteProtocolError(f"{connection.address} answers with {type(answer).__name__}.")
        connection.close(wrong)
        raise wrong
    return answer, payload


def blame(connection: Connection, error: DhtshareError) -> RemoteProtocolError:
    """An answer was not what it has to be: closes the connection and returns the error to raise."""
    fault = error if isinstance(error, RemoteProtocolError) else RemoteProtocolError(f"{connection.address}: {error}")
    connection.close(fault)
    return fault
