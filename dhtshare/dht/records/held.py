"""A signed record as a holder keeps it, and the immutable sets that keys point to. Pure.

A set is a tuple sorted by place (content, then publisher). Tuples because most sets are tiny, because a
tuple of one costs half of a list, and because whoever walks a set can never see it change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from dhtshare.dht.records.limits import MAX_AHEAD
from dhtshare.dht.records.signed import expires_of, place_of


class Held:
    """One record, shared by all keys under which this node lists it.

    `tag`: the network that stored it. `deadline`: its expiry in monotonic seconds, so that a clock that
    jumps drops nothing. `keys`: how many sets list it.
    """

    __slots__ = ("deadline", "keys", "raw", "tag")

    def __init__(self, raw: bytes, tag: bytes, deadline: float) -> None:
        self.raw = raw
        self.tag = tag
        self.deadline = deadline
        self.keys = 0


class HeldWithdrawal(Held):
    """A withdrawal, kept to its expiry where the entry was. `under`: the keys of the sets that list it.

    An entry names its words, a withdrawal does not.
    """

    __slots__ = ("under",)

    def __init__(self, raw: bytes, tag: bytes, deadline: float) -> None:
        super().__init__(raw, tag, deadline)
        self.under: tuple[bytes, ...] = ()


HeldSet = tuple[Held, ...]


def deadline_by(raw: bytes, now: float, wall: float) -> float:
    """When a record ends, in monotonic seconds, if it is `wall` Unix seconds now; maybe past, never over 25 h ahead."""
    return now + min(expires_of(raw) - wall, MAX_AHEAD)


def _place(held: Held) -> bytes:
    return place_of(held.raw)


def in_order(members: Iterable[Held]) -> HeldSet:
    """A set of these, each place once."""
    return tuple(sorted(members, key=_place))


def position(members: HeldSet, place: bytes) -> int:
    """Where a record of this place stands, or would."""
    return bisect_left(members, place, key=_place)


def member(members: HeldSet, place: bytes) -> Held | None:
    """The record of this place."""
    at = position(members, place)
    return members[at] if at < len(members) and _place(members[at]) == place else None


def with_member(members: HeldSet, held: Held) -> HeldSet:
    """The set with this record in its place, whatever was there before."""
    place = _place(held)
    at = position(members, place)
    occupied = at < len(members) and _place(members[at]) == place
    return (*members[:at], held, *members[at + occupied :])


def without_member(members: HeldSet, held: Held) -> HeldSet:
    """The set without this very record."""
    at = position(members, _place(held))
    if at < len(members) and members[at] is held:
        return (*members[:at], *members[at + 1 :])
    return members
