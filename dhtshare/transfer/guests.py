"""Who may connect to us. Pure.

At the limit the one that asked for nothing longest gives way, unless something is under way with it; in global
scopes one IP address has few places, so that nobody fills the house alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

MAX_GUESTS = 200
MAX_PER_IP = 8


class Guest(Hashable, Protocol):
    """An incoming connection, from its acceptance on."""

    @property
    def host(self) -> str:
        """Its IP address."""

    @property
    def idle_since(self) -> float:
        """When it last asked for something, or came."""

    @property
    def busy(self) -> bool:
        """Whether a transfer is under way with it."""


AnyGuest = TypeVar("AnyGuest", bound=Guest)


class Guests(Generic[AnyGuest]):
    """All incoming connections. Invariant: at most `most`, and at most MAX_PER_IP of one crowded host."""

    def __init__(self, most: int = MAX_GUESTS) -> None:
        self._most = most
        self._inside: set[AnyGuest] = set()
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._inside)

    def make_room(self, host: str, *, crowded: bool) -> tuple[bool, AnyGuest | None]:
        """Whether one more from `host` may come in, and who has to leave for it (and is still inside).

        `crowded`: the host is in a global scope, where places per IP are limited.
        """
        if crowded and self._hosts[host] >= MAX_PER_IP:
            idle = self._longest_idle(host)
            return idle is not None, idle
        if len(self._inside) < self._most:
            return True, None
        idle = self._longest_idle(None)
        return idle is not None, idle

    def came(self, guest: AnyGuest) -> None:
        """One more is inside."""
        self._inside.add(guest)
        self._hosts[guest.host] += 1

    def left(self, guest: AnyGuest) -> None:
        """One less."""
        if guest in self._inside:
            self._inside.remove(guest)
            self._hosts[guest.host] -= 1
            if not self._hosts[guest.host]:
                del self._hosts[guest.host]

    def _longest_idle(self, host: str | None) -> AnyGuest | None:
        idle = [guest for guest in self._inside if not guest.busy and host in (None, guest.host)]
        return min(idle, key=lambda guest: guest.idle_since, default=None)
