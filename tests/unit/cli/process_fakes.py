"""`python -m tests.unit.cli.process_fakes ARGUMENTS…`: the real program over a node that joins no network.

The home's lock, the control socket, signals, printers and exit codes are the real ones; only the node and
what its operations do are stand-ins, chosen by what is asked: `search wait` works until it is cancelled,
`search stubborn` does not even let itself be cancelled, `publish` succeeds, `search bug` is a bug.
"""

from __future__ import annotations

import asyncio
import sys
import types
from dataclasses import dataclass, field
from typing import Any

from dhtshare.config import NodeConfig
from dhtshare.control.operations import Emit, Operation, Returned
from dhtshare.library.home import Home, HomeLock
from dhtshare.lookout import Lookout


class Node:
    """Takes the home's lock like the real one, unless it is a command's own."""

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.home = Home(config.home)
        self.lookout = Lookout()
        self._lock: HomeLock | None = None

    async def open(self) -> None:
        self.home.prepare()

    async def start(self) -> None:
        self.home.prepare()
        if not self.config.client:
            self._lock = self.home.lock()

    async def stop(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def ready_event(self) -> dict[str, Any]:
        return {"event": "ready", "node_id": "ab", "address": "127.0.0.1:1", "contacts": 0}


@dataclass(frozen=True)
class Words:
    words: list[str]


@dataclass(frozen=True)
class Paths:
    paths: list[str]
    keywords: list[str] = field(default_factory=list)
    each: bool = False
    wait: bool = True


async def search(node: Node, request: Words, emit: Emit) -> Returned:
    emit({"event": "searching", "words": request.words})
    if request.words == ["bug"]:
        raise ZeroDivisionError("a bug")
    while request.words != ["quick"]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            emit({"event": "cancelled"})
            if request.words != ["stubborn"]:
                raise
    return {"query": request.words, "results": [], "nodes_asked": 0, "seconds": 0.0}


async def publish(node: Node, request: Paths, emit: Emit) -> Returned:
    return [{"hash": "ab", "path": path, "client": node.config.client} for path in request.paths]


@dataclass(frozen=True)
class Nothing:
    pass


async def status(node: Node, request: Nothing, emit: Emit) -> Returned:
    return {"home": str(node.home.path)}


OPERATIONS = {
    "search": Operation(Words, search),
    "publish": Operation(Paths, publish),
    "status": Operation(Nothing, status),
}


def stand_in(name: str, **contents: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module


if __name__ == "__main__":
    stand_in("dhtshare.node", Node=Node)
    stand_in("dhtshare.control.stories", OPERATIONS=OPERATIONS)
    from dhtshare.cli.main import main

    main()
