"""The running node's ear: a Unix socket that performs operations for commands of the same user.

One request per connection, many connections at once. What arrives on it can be anything: a line that
is no request gets one sentence and a closed connection, and costs nothing else.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from dhtshare.control.credentials import may_control
from dhtshare.control.operations import Operations, Refused, is_refusal, perform
from dhtshare.control.protocol import (
    MAX_REQUEST_BYTES,
    Answer,
    End,
    Event,
    JsonObject,
    Request,
    Result,
    decode_request,
    encode_answer,
)
from dhtshare.errors import DiskError, InterruptedByUserError, MalformedError

N = TypeVar("N")

SOCKET_MODE = 0o600
REQUEST_SECONDS = 10.0  # within which a request must have arrived
MAX_UNREAD_BYTES = 1 << 20  # beyond which a command that does not read loses events (never its result)
READ_BYTES = 16 << 10  # a small piece of the heap, where one is left
MAX_CONVERSATIONS = 256
FAREWELL_SECONDS = 2.0  # within which a command must have read how it ended when the node stops
BACKLOG = 64

STOP = "stop"  # the one request that needs no node: it ends it
CUT_OFF = "Interrupted. What was verified or published stays; run the same command again to go on."


class ControlServer(Generic[N]):
    """Serves `operations` over `node` at `path`, which must stand in a folder of this user alone.

    Only one process may hold the home's lock, so whatever stands at `path` at the start is a leftover.
    """

    def __init__(
        self,
        node: N,
        operations: Operations[N],
        path: Path,
        *,
        network: str,
        on_stop: Callable[[], None],
        refused: Refused = is_refusal,
    ) -> None:
        self._node = node
        self._operations = operations
        self._path = path
        self._network = network
        self._on_stop = on_stop
        self._refused = refused
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.Task[None]] = set()  # those of them that have not yet asked for anything
        self._works: set[asyncio.Task[list[Result | End]]] = set()

    async def start(self) -> None:
        """Listen. Raises DiskError where the socket cannot be made."""
        try:
            listener = _listen(self._path)
        except OSError as error:
            raise DiskError(f"Cannot make the control socket {self._path}: {error.strerror}.") from error
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_REQUEST_BYTES)

    async def stop(self) -> None:
        """Stop listening, cancel what runs, tell each command how it ended, and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in (*self._silent, *self._works):
            task.cancel()
        if self._conversations:
            _, stuck = await asyncio.wait(self._conversations, timeout=FAREWELL_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        # asyncio reads with 256 KiB at once, and a node that does not get these is to tell its status all the same
        writer.transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        try:
            if not may_control(writer.get_extra_info("socket")):
                return
            if len(self._conversations) > MAX_CONVERSATIONS:
                answers: list[Answer] = [End(1, f"The node already talks to {MAX_CONVERSATIONS} commands; wait.")]
            else:
                answers = await self._converse(task, reader, writer)
            writer.writelines(map(encode_answer, answers))
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # the command is gone, or the node is going: nobody listens any more
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[Answer]:
        self._silent.add(task)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
            request = decode_request(line)
        except asyncio.LimitOverrunError:
            return [End(2, f"A control request has at most {MAX_REQUEST_BYTES} bytes.")]
        except MalformedError as error:
            return [End(error.exit_code, str(error))]
        except (TimeoutError, asyncio.IncompleteReadError):
            return []
        finally:
            self._silent.discard(task)
        if request.network not in (None, self._network):
            refusal = f"The node that runs in this home is on network '{self._network}', not '{request.network}'."
            return [End(2, f"{refusal} Use another --home, or stop it first.")]
        if request.op == STOP:
            self._on_stop()
            return [Result({"pid": os.getpid()}), End()]

        def emit(fields: JsonObject) -> None:
            if writer.transport.get_write_buffer_size() < MAX_UNREAD_BYTES:
                writer.write(encode_answer(Event(fields)))

        return await self._until_hung_up(request, reader, emit)

    async def _until_hung_up(
        self, request: Request, reader: asyncio.StreamReader, emit: Callable[[JsonObject], None]
    ) -> list[Answer]:
        """Perform the request; cancel it when the command ends its half of the connection, or the node stops."""
        work = asyncio.create_task(perform(self._operations, self._node, request, emit, self._refused))
        hung_up = asyncio.create_task(_end_of(reader))
        self._works.add(work)
        try:
            await asyncio.wait({work, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._works.discard(work)
            hung_up.cancel()
            work.cancel()
            await asyncio.wait({work, hung_up})
        return [End(InterruptedByUserError.exit_code, CUT_OFF)] if work.cancelled() else list(work.result())


def _listen(path: Path) -> socket.socket:
    """A listening socket that never existed with another mode than 0600."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)  # nobody can connect before it listens
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def _end_of(reader: asyncio.StreamReader) -> None:
    """Return when the other side has ended its half; what it still says is not for us."""
    while await reader.read(4096):
        pass
