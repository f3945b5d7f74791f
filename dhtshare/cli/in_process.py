"""Commands that do their work in this process: the node itself, and all others where no node runs.

Imported only then: it brings the whole program with it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
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
from dhtshare.threads import Threads

INTERRUPTED = 130
STDIN = 0
SEEDING = "Sharing until Ctrl-C."

BLOCKING_THREADS = 16
"""For what blocks now and then, such as looking at what stands at a target. Two for each of several fetches at once."""

OPEN_FILES = 4096
"""200 guests and 40 peers of each of several fetches, with up to three descriptors each, and the files themselves."""


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


def run_node(config: NodeConfig, printer: Printer, *, verbose: bool, until_eof: bool) -> End:
    """Be the node of this home until interrupted, or until standard input ends."""
    socket = functools.partial(_control_socket, config)

    async def work(alone: Alone[Node]) -> End:
        if until_eof:
            stop = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, alone.interruption.request)
            threading.Thread(target=_at_eof, args=(STDIN, stop), name="until eof", daemon=True).start()
        return await alone.serve(socket)

    return _live(config, printer, work, verbose=verbose)


def _raise_file_limit() -> None:
    """Many systems let a process open 256 or 1,024 files until it asks for more. What was forbidden stays forbidden."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a limit of its own beside these
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _at_eof(descriptor: int, stop: Callable[[], object]) -> None:
    """Read until there is no more, whatever it is: a pipe, a terminal, a file."""
    with suppress(OSError):
        while os.read(descriptor, 4096):
            continue
    with suppress(RuntimeError):  # the loop may have ended meanwhile
        stop()


def _live(config: NodeConfig, printer: Printer, work: Callable[[Alone[Node]], Awaitable[End]], *, verbose: bool) -> End:
    show_log(verbose=verbose)
    _raise_file_limit()

    async def main() -> End:
        with Interruption(functools.partial(_leave_at_once, printer)) as interruption:
            node = Node(config)
            asyncio.get_running_loop().set_default_executor(Threads(BLOCKING_THREADS, "blocking", node.lookout.refused))
            alone = Alone(
                node=node,
                operations=OPERATIONS,
                network=config.network,
                deliver=functools.partial(_deliver, printer, interruption),
                interruption=interruption,
                refused=node.lookout.refused,
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
