"""Peers as a fetch sees them, without a connection: what is asked of them is kept, and a test answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from dhtshare.errors import NetworkError
from dhtshare.network import Address
from dhtshare.transfer.connection import Connection
from dhtshare.transfer.messages import MAX_PAYLOAD_BYTES, Data, Get, Request
from dhtshare.transfer.parties import Expecting
from dhtshare.transfer.ratelimit import Meter
from dhtshare.transfer.source import SwarmPeer
from dhtshare.transfer.window import Window

CONTENT = b"c" * 32


class FakeConnection:
    """Takes `takes` requests, and then it is closed."""

    def __init__(self, port: int = 1, takes: int = 1 << 30) -> None:
        self.address = Address("127.0.0.1", port)
        self.opened_at = self.payload_at = 0.0
        self.payload_bytes = 0
        self.received = Meter()
        self.choked = False
        self.incoming = self.held_back = False
        self.is_open = True
        self.gets: dict[int, Get] = {}
        self.expecting: dict[int, Expecting] = {}
        """Those that have no answer yet."""
        self.cancelled: list[int] = []
        self._takes = takes

    @property
    def requests_in_flight(self) -> int:
        return len(self.expecting)

    def ask(self, make: Callable[[int], Request], expecting: Expecting) -> int:
        if len(self.gets) >= self._takes:
            self.is_open = False
            raise NetworkError("closed")
        number = len(self.gets) + 1
        get = make(number)
        assert isinstance(get, Get)
        self.gets[number] = get
        self.expecting[number] = expecting
        return number

    def cancel(self, number: int) -> None:
        if number in self.expecting:
            self.cancelled.append(number)

    def receive(self, number: int, payload: bytes) -> None:
        """The answer comes whole, in as many DATA as it takes, and on the event loop."""
        expecting = self.expecting[number]
        for at in range(0, len(payload), MAX_PAYLOAD_BYTES):
            data = payload[at : at + MAX_PAYLOAD_BYTES]
            place = expecting.place(len(data))
            if place is not None:
                place[:] = data
            landed, last = expecting.data_came()
            assert last == (at + len(data) == len(payload))
            if last:
                del self.expecting[number]
            landed.received(Data(number), place)


def fake_peer(connection: FakeConnection, window: Window, base: int = 0) -> SwarmPeer:
    return SwarmPeer(cast("Connection", connection), CONTENT, base, window, "test")
