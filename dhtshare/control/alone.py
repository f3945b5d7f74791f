"""Commands in a process of their own: the node itself, and what is asked where no node runs.

The same operations as over the control socket, on a node that lives as long as the command.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from dhtshare.control.interruption import Interruption
from dhtshare.control.operations import Operations, Refused, ending, is_refusal, perform
from dhtshare.control.protocol import Answer, End, Event, JsonObject, Request
from dhtshare.control.server import ControlServer
from dhtshare.errors import InterruptedByUserError


class Startable(Protocol):
    """What is asked of a node here."""

    async def start(self) -> None:
        """Join; on failure leave nothing open. Raises DhtshareError."""

    async def open(self) -> None:
        """Open the library alone; on failure leave nothing open. Raises DhtshareError."""

    async def stop(self) -> None:
        """Leave, and close everything."""

    def ready_event(self) -> JsonObject:
        """What the first line of `dhtshare node` says."""


N = TypeVar("N", bound=Startable)


def first_cause(error: BaseException) -> BaseException:
    """The first exception in nested groups that is none itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@dataclass(frozen=True)
class Alone(Generic[N]):
    """Runs `node` here. `deliver` gets every answer but the End, which is returned.

    `socket` gives the path of the control socket once the node has its home.
    """

    node: N
    operations: Operations[N]
    network: str
    deliver: Callable[[Answer], None]
    interruption: Interruption
    refused: Refused = is_refusal

    async def command(self, request: Request) -> End:
        """Join, do what is asked, leave."""

        async def life() -> End:
            async with self._started():
                return await self._perform(request)

        return await self._ended(life())

    async def offline(self, request: Request) -> End:
        """Do what is asked of the library alone, without any network."""

        async def life() -> End:
            async with self._opened():
                return await self._perform(request)

        return await self._ended(life())

    async def serve(self, socket: Callable[[], Path]) -> End:
        """Live until interrupted, which is how a node ends well."""

        async def life() -> End:
            try:
                async with self._started(), self._controlled(socket):
                    self.deliver(Event(self.node.ready_event()))
                    await self.interruption.wait()
            except InterruptedByUserError:
                pass
            return End()

        return await self._ended(life())

    async def command_then_serve(
        self, request: Request, socket: Callable[[], Path], on_serving: Callable[[], None]
    ) -> End:
        """Do what is asked and, if all went well, go on serving until interrupted; a failure ends it at once."""

        async def life() -> End:
            async with self._started(), self._controlled(socket):
                end = await self._perform(request)
                if end.code == 0:
                    on_serving()
                    await self.interruption.wait()
                return end

        return await self._ended(life())

    async def _ended(self, life: Coroutine[Any, Any, End]) -> End:
        try:
            return await life
        except BaseExceptionGroup as group:
            # A task that the node owns failed; its group has taken the whole node down, in order.
            return ending(first_cause(group))
        except Exception as error:  # the supervisor of this process: a user meets a sentence, not a traceback
            return ending(error)

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        await self.interruption.guard(self.node.start())
        try:
            yield
        finally:
            await self.node.stop()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        await self.interruption.guard(self.node.open())
        try:
            yield
        finally:
            await self.node.stop()

    @asynccontextmanager
    async def _controlled(self, socket: Callable[[], Path]) -> AsyncIterator[None]:
        server = ControlServer(
            self.node,
            self.operations,
            socket(),
            network=self.network,
            on_stop=self.interruption.request,
            refused=self.refused,
        )
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    async def _perform(self, request: Request) -> End:
        def emit(fields: JsonObject) -> None:
            self.deliver(Event(fields))

        answers = await self.interruption.guard(perform(self.operations, self.node, request, emit, self.refused))
        for answer in answers:
            if isinstance(answer, End):
                return answer
            self.deliver(answer)
        raise AssertionError("an operation ends with an End")
