"""Commands that do their work in this process: the node itself, and all others where no node runs.

Imported only then: it brings the whole program with it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from dhtshare.cli.logs import show_log
from dhtshare.cli.printer import Printer
from dhtshare.cli.session import deliver
from dhtshare.config import NodeConfig
from dhtshare.control.alone import Alone
from dhtshare.control.interruption import Interruption
from dhtshare.control.protocol import Answer, End, Request
from dhtshare.control.stories import OPERATIONS
from dhtshare.library.home import Home
from dhtshare.node import Node

INTERRUPTED = 130
SEEDING = "Sharing until Ctrl-C."


def run(config: NodeConfig, request: Request, printer: Printer, *, stay: bool, verbose: bool) -> End:
    """Do one request on a node of its own; with `stay` it goes on serving after success."""

    async def work(alone: Alone[Node]) -> End:
        if not stay:
            return await alone.command(request)
        socket = functools.partial(_control_socket, config)
        return await alone.command_then_serve(request, socket, lambda: printer.note(SEEDING))

    return _live(config, printer, work, verbose=verbose)


def run_offline(config: NodeConfig, request: Request, printer: Printer, *, verbose: bool) -> End:
    """Do one request on this home's library, without any network."""
    return _live(config, printer, lambda alone: alone.offline(request), verbose=verbose)


def run_node(config: NodeConfig, printer: Printer, *, verbose: bool) -> End:
    """Be the node of this home until interrupted."""
    socket = functools.partial(_control_socket, config)
    return _live(config, printer, lambda alone: alone.serve(socket), verbose=verbose)


def _live(config: NodeConfig, printer: Printer, work: Callable[[Alone[Node]], Awaitable[End]], *, verbose: bool) -> End:
    show_log(verbose=verbose)

    async def main() -> End:
        with Interruption(functools.partial(_leave_at_once, printer)) as interruption:
            alone = Alone(
                node=Node(config),
                operations=OPERATIONS,
                network=config.network,
                deliver=functools.partial(_deliver, printer, interruption),
                interruption=interruption,
            )
            return await work(alone)

    with asyncio.Runner() as runner:
        return runner.run(main())


def _deliver(printer: Printer, interruption: Interruption, answer: Answer) -> None:
    try:
        deliver(printer, answer)
    except BrokenPipeError:
        interruption.request()  # whoever read us has gone: there is nobody left to work for


def _control_socket(config: NodeConfig) -> Path:
    return Home(config.home).prepare_control_socket()


def _leave_at_once(printer: Printer) -> None:
    """The second Ctrl-C: nothing is waited for. What is verified on disk stays."""
    printer.close()
    sys.stdout.flush()
    os._exit(INTERRUPTED)
