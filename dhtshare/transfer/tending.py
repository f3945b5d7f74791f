"""Looks after the peers of a fetch: who stalls is left to others, who is dead or of no use goes, all hear of us.

Decides nothing about chunks, and finds nobody new.
"""

from __future__ import annotations

from collections.abc import Mapping

from dhtshare.errors import NetworkError
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.learning import Learning
from dhtshare.transfer.messages import Ping
from dhtshare.transfer.picker import Picker
from dhtshare.transfer.source import SwarmPeer

PING_SECONDS = 60.0
USELESS_SECONDS = 20.0
"""Without a chunk from it, a peer's place is open to others."""


class Tending:
    """Of one fetch; `peers` are those at work, kept by their owner."""

    def __init__(self, peers: Mapping[Connection, SwarmPeer], picker: Picker, learning: Learning, now: float) -> None:
        self._peers = peers
        self._picker = picker
        self._learning = learning
        self._pinged_at = now

    def round(self, now: float, *, crowded: bool) -> None:
        """A few times a second. `crowded`: all places are taken, and others wait."""
        for peer in list(self._peers.values()):
            self._look_after(peer, now)
        if crowded and self._peers:
            self._make_room(now)
        if now - self._pinged_at > PING_SECONDS:
            self._pinged_at = now
            for connection in list(self._peers):
                connection.send(Ping())

    def _look_after(self, peer: SwarmPeer, now: float) -> None:
        if peer.is_dead(now):
            peer.connection.close(NetworkError(f"{peer.address} stalls."))
        elif peer.stalls(now):
            peer.snubbed = True
            self._picker.snubbed(peer)
        self._learning.ask(peer)

    def _make_room(self, now: float) -> None:
        """The peer that has been of no use for longest gives way."""
        peer = min(self._peers.values(), key=lambda peer: peer.useful_at)
        if now - peer.useful_at > USELESS_SECONDS:
            peer.connection.close(NetworkError(f"{peer.address} gives nothing, and others wait."))
