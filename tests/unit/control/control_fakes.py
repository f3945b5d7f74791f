"""A node that is only a notebook, and operations over it that succeed, fail, wait or break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dhtshare.control.operations import Emit, Operation, Returned
from dhtshare.control.server import ControlServer
from dhtshare.errors import NotFoundError


@dataclass
class Notebook:
    """What the fake operations did."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False


@dataclass(frozen=True)
class Say:
    words: list[str]


@dataclass(frozen=True)
class Nothing:
    pass


async def say(node: Notebook, request: Say, emit: Emit) -> Returned:
    for word in request.words:
        emit({"event": "word", "word": word})
    return {"count": len(request.words)}


async def two(node: Notebook, request: Nothing, emit: Emit) -> Returned:
    return [{"number": 1}, {"number": 2}]


async def miss(node: Notebook, request: Nothing, emit: Emit) -> Returned:
    error = NotFoundError("No hit. 3 nodes answered.")
    error.result = {"results": []}
    raise error


async def wait(node: Notebook, request: Nothing, emit: Emit) -> Returned:
    emit({"event": "waiting"})
    node.started.set()
    try:
        await asyncio.Event().wait()
    finally:
        node.cancelled.set()
    return {}


async def chatter(node: Notebook, request: Nothing, emit: Emit) -> Returned:
    for _ in range(4000):
        emit({"event": "noise", "noise": "x" * 1000})
    return {"done": True}


async def broken(node: Notebook, request: Nothing, emit: Emit) -> Returned:
    raise ZeroDivisionError("a bug")


OPERATIONS = {
    "say": Operation(Say, say),
    "two": Operation(Nothing, two),
    "miss": Operation(Nothing, miss),
    "wait": Operation(Nothing, wait),
    "chatter": Operation(Nothing, chatter),
    "broken": Operation(Nothing, broken),
}


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Notebook]:
    """A control server at `path` over a fresh notebook."""
    node = Notebook()

    def on_stop() -> None:
        node.stopped = True

    server = ControlServer(node, OPERATIONS, path, network="dhtshare", on_stop=on_stop)
    await server.start()
    try:
        yield node
    finally:
        await server.stop()
