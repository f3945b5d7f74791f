"""`dhtshare limit` and `stop`: what is asked of the running node alone."""

from __future__ import annotations

import time
from typing import Annotated, Any

from dhtshare.cli.blocks import Block, Fields, Line
from dhtshare.cli.display import human_limit
from dhtshare.cli.options import option
from dhtshare.cli.session import Session
from dhtshare.cli.sizes import size
from dhtshare.errors import DhtshareError, NotRunningError

STOP_SECONDS = 60.0


def limit(
    session: Session,
    max_upload: Annotated[
        str | None, option("--max-upload", metavar="RATE", help="Bytes per second, with K, M or G; 0 for unlimited.")
    ] = None,
    max_download: Annotated[
        str | None, option("--max-download", metavar="RATE", help="Bytes per second, with K, M or G; 0 for unlimited.")
    ] = None,
) -> int:
    """Change the running node's rates, or show them."""
    return session.ask_running("limit", {"max_upload": size(max_upload), "max_download": size(max_download)}, limits)


def limits(result: dict[str, Any]) -> list[Block]:
    """The rates that hold now."""
    return [Fields([("upload", human_limit(result["max_upload"])), ("download", human_limit(result["max_download"]))])]


def stop(session: Session) -> int:
    """Stop the running node; returns when it is gone."""
    from dhtshare.control.protocol import End, Result
    from dhtshare.control.stopping import wait_for_exit, wait_until

    started = time.monotonic()
    client = session.connect()
    if client is None:
        raise NotRunningError(f"No node runs in {session.home.path}; nothing to stop.")
    printer = session.printer(stopped)
    pid = None
    with client:
        for answer in client.ask(session.request("stop", {})):
            if isinstance(answer, Result):
                pid = int(answer.fields["pid"])
            elif isinstance(answer, End) and answer.code:
                return printer.end(answer)
    if pid is None:
        raise DhtshareError("The running node did not say that it stops. Try again, or end its process.")
    if not wait_for_exit(pid, STOP_SECONDS) or not wait_until(lambda: not session.home.is_running(), STOP_SECONDS):
        raise DhtshareError(f"The node (process {pid}) still runs after {STOP_SECONDS:g} s; end it with: kill {pid}")
    printer.result({"stopped": True, "pid": pid, "seconds": round(time.monotonic() - started, 6)})
    return printer.end(End())


def stopped(result: dict[str, Any]) -> list[Block]:
    """That it is gone."""
    return [Line(f"The node (process {result['pid']}) has stopped.")]
