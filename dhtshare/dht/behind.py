"""Where those stand whom nobody names, because dead ones nearer to the target take their places. Pure.

An answer names the 20 closest to its target, dead ones among them. Who stands behind the 20th is asked for by other
targets. Beyond a distance from the target the ids form subtrees, one for each bit of it that is 0: those that agree
with it above that bit and have a 1 there. The 20 closest to the near end of such a subtree are its first 20, counted
from the target, for XOR keeps that order within a subtree. So one question goes on where the last answer ended, as
long as the subtree is not so small that its neighbours fill the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from heapq import nsmallest

from dhtshare.dht.candidate import Candidate, State
from dhtshare.dht.contact import ID_BITS, ID_BYTES, Contact

MAX_CONTACTS_PER_ANSWER = 20
ASKED_FOR_EACH = 2  # contacts asked for each subtree: one may be lost, or lie
MAX_QUESTIONS = 16  # of a lookup
_SMALLER = 2  # subtrees down to a quarter as large as that of the edge; smaller ones come with these
_LARGER = 2  # and up to four times as large: with half of the nodes dead 40 hold 20 live ones

Question = tuple[Contact, bytes]
"""Whom to ask, and for the neighbours of which id."""


class Behind:
    """The questions of one lookup. Each is asked once.

    The edge is where half of the k closest have answered, not where 20 were named: names cost nothing.
    """

    __slots__ = ("_asked", "_target")

    def __init__(self, target: bytes) -> None:
        self._target = int.from_bytes(target, "big")
        self._asked: set[Question] = set()

    def questions(self, heard: Collection[Candidate], closest: Sequence[Contact], k: int) -> list[Question]:
        """What to ask next, when these were heard of and those are the closest that answered, at most `k`.

        Nothing where the closest are all among the first 20 named, or no more than 20 were: nobody is hidden.
        """
        named = nsmallest(MAX_CONTACTS_PER_ANSWER, heard)
        if not closest or len(named) < MAX_CONTACTS_PER_ANSWER:
            return []
        distances = [int.from_bytes(contact.node_id, "big") ^ self._target for contact in closest]
        farthest = distances[-1] if len(closest) == k else 1 << ID_BITS
        if farthest <= named[-1].distance:
            return []
        edge = distances[: max(1, k // 2)][-1]
        answered = [candidate for candidate in heard if candidate.state is State.ANSWERED]
        new: list[Question] = []
        for end in near_ends(edge):
            if end <= farthest:
                other = (self._target ^ end).to_bytes(ID_BYTES, "big")
                new += [(contact, other) for contact in _nearest(answered, end) if (contact, other) not in self._asked]
        del new[MAX_QUESTIONS - len(self._asked) :]
        self._asked.update(new)
        return new


def near_ends(edge: int) -> list[int]:
    """Distances from the target, nearest first, at which the subtrees behind the distance `edge` begin."""
    top = edge.bit_length() - 1
    bits = range(max(0, top - _SMALLER), min(ID_BITS, top + _LARGER + 1))
    return [(edge >> bit | 1) << bit for bit in bits if not edge >> bit & 1]


def _nearest(answered: Collection[Candidate], end: int) -> list[Contact]:
    """Those nearest to the id at that distance from the target."""
    nearest = nsmallest(ASKED_FOR_EACH, answered, key=lambda candidate: candidate.distance ^ end)
    return [candidate.contact for candidate in nearest]
