"""The `demo` command: makes a folder and a network, tells the story, and leaves nothing behind."""

from __future__ import annotations

import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from dhtshare.cli.demo.leftovers import PREFIX, marked_alive, remove_dead
from dhtshare.cli.demo.material import gather, roomy_folder, temporary_folders
from dhtshare.cli.demo.processes import DemoNetwork
from dhtshare.cli.demo.story import COMMON_WORD, Story
from dhtshare.cli.demo.view import demo_view
from dhtshare.cli.options import option
from dhtshare.cli.printer import Printer
from dhtshare.cli.session import Session
from dhtshare.config import parse_size
from dhtshare.control.protocol import End, JsonObject
from dhtshare.errors import InterruptedByUserError, UsageError

FEWEST_SEEDS = 3  # with the reader four nodes beside the bootstrap node
MOST_SEEDS = 50


def demo(
    session: Session,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders to publish; else some are found."),
    ] = None,
    size: Annotated[str, option("--size", metavar="SIZE", help="Size of the generated file.")] = "256M",
    seeds: Annotated[int, option("--seeds", metavar="N", help="Nodes that share, at least 3.")] = 4,
    keep: Annotated[bool, option("--keep", help="Leave the network up until Ctrl-C, to play with.")] = False,
) -> int:
    """A whole network on this machine: publish, search, fetch from everyone at once, verify."""
    if not FEWEST_SEEDS <= seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds is a number from {FEWEST_SEEDS} to {MOST_SEEDS}, not {seeds}.")
    big_size = parse_size(size)
    if not big_size:
        raise UsageError("--size of the generated file is at least 1 byte.")
    printer = session.printer(demo_view)
    material = gather(paths or [])
    remove_dead(temporary_folders())
    place = roomy_folder(2 * big_size + material.size)  # the generated file, and all of it fetched
    network = DemoNetwork(place / f"{PREFIX}{secrets.token_hex(8)}", f"demo-{secrets.token_hex(4)}")
    with _alive(network):
        result = Story(network, material, seeds=seeds, big_size=big_size, emit=printer.event).tell()
        if keep:
            stay_up(network, result, printer)
        else:
            printer.result(result)
    return printer.end(End())


@contextmanager
def _alive(network: DemoNetwork) -> Iterator[None]:
    """Within, the network has its folder and may have nodes; both are gone afterwards, whatever happened."""
    with network.interrupts.watched():
        try:
            network.folder.mkdir(mode=0o700)
            with marked_alive(network.folder) as network.lock:
                yield
        finally:
            with network.interrupts.held():
                network.stop()
                shutil.rmtree(network.folder, ignore_errors=True)


def stay_up(network: DemoNetwork, result: JsonObject, printer: Printer) -> None:
    """Tells the result and stays until the user has played enough; to interrupt it then is no failure."""
    result["kept"] = {"home": str(network.nodes[-1].home), "bootstrap": network.nodes[0].address}
    try:
        with network.interrupts.held():
            printer.result(result)
        for line in how_to_talk(network.nodes[-1].home, network.name, network.nodes[0].address):
            printer.note(line)
        while True:
            signal.pause()
    except InterruptedByUserError:
        pass


def how_to_talk(home: Path, network: str, bootstrap: str) -> list[str]:
    """The commands with which to use a network that was kept."""
    program = "dhtshare" if shutil.which("dhtshare") else f"{shlex.quote(sys.executable)} -m dhtshare"
    return [
        "The network stays up until you press Ctrl-C. Talk to one of its nodes from another terminal:",
        f"  export DHTSHARE_HOME={shlex.quote(str(home))} DHTSHARE_NETWORK={network}",
        f"  {program} search {COMMON_WORD}",
        f"  {program} status",
        "or join it with a node of your own:",
        f"  {program} --home /tmp/mine --network {network} node --no-lan --bootstrap {bootstrap}",
    ]
