"""A contact that a lookup heard of, and what became of it. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dhtshare.dht.contact import Contact


class State(enum.Enum):
    """What became of a contact."""

    KNOWN = enum.auto()
    ASKED = enum.auto()
    LATE = enum.auto()
    ANSWERED = enum.auto()
    FAILED = enum.auto()


@dataclass(slots=True)
class Candidate:
    """A contact on the way. `hops` counts the answers that led to it, 1 for one from our own table."""

    contact: Contact
    distance: int
    hops: int
    state: State = State.KNOWN
    path: int = -1

    def __lt__(self, other: Candidate) -> bool:
        return self.distance < other.distance
