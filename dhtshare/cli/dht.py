"""`dhtshare dht`: look inside the DHT."""

from __future__ import annotations

from typing import Annotated

import typer

from dhtshare.cli.objects import object_view
from dhtshare.cli.options import JoinOptions
from dhtshare.cli.session import Session
from dhtshare.cli.verbs import Verbs


def status(session: Session) -> int:
    """Show the running node's routing tables, records, traffic and refusals."""
    return session.ask_running("dht_status", {}, object_view)


def lookup(
    session: Session,
    join: JoinOptions,
    target: Annotated[str, typer.Argument(metavar="KEY|WORD|HASH", help="What to walk towards.")],
) -> int:
    """Walk towards a key and show who was asked, who answered, who timed out, and how long each took."""
    return session.ask("dht_lookup", {"target": target}, object_view, join)


def ping(
    session: Session,
    join: JoinOptions,
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The node to ask.")],
) -> int:
    """Ask one node whether it is there, and how long it takes."""
    return session.ask("dht_ping", {"address": address}, object_view, join)


GROUP = Verbs(
    help="Look inside the DHT: tables and records, one lookup step by step, one node.",
    verbs={"status": status, "lookup": lookup, "ping": ping},
)
