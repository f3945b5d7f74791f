"""`dhtshare status`: how the running node does."""

from __future__ import annotations

from dhtshare.cli.objects import object_view
from dhtshare.cli.session import Session


def status(session: Session) -> int:
    """Show the running node: address, contacts, records, transfers, rates, memory."""
    return session.ask_running("status", {}, object_view)
