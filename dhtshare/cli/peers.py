"""`dhtshare peers`: whom the running node knows."""

from __future__ import annotations

from dhtshare.cli.objects import object_view
from dhtshare.cli.session import Session


def peers(session: Session) -> int:
    """Show the running node's contacts and connected peers."""
    return session.ask_running("peers", {}, object_view)
