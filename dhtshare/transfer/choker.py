"""Whom to give upload slots. Pure: imports sorting and chance, its caller owns time.

Peers that send to us come first, by how fast they do; then those that waited longest or had least of the present
turn, so that fetchers of one seed take turns; one more slot goes to somebody by chance, which is how a newcomer
shows what it can give (Cohen, "Incentives build robustness in BitTorrent", 2003).
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

SLOTS = 8
MOST_SLOTS = 32
ROUND_SECONDS = 10.0
OPTIMISTIC_ROUNDS = 3
TURN_ROUNDS = 3
"""A pure taker keeps its slot for this many rounds while others wait, then goes to the end of the queue."""

OFFERS = 4
"""So many are told of each free slot, since some will not come: a crowd that asks and then sleeps would else keep the
honest behind it waiting for each of its members in turn."""

Key = TypeVar("Key", bound=Hashable)


class Facts(NamedTuple, Generic[Key]):
    """One peer at the time of a round. Rates in bytes a second."""

    peer: Key
    interested: bool
    received_rate: float
    sent_rate: float


class Choker(Generic[Key]):
    """Decides who is unchoked. Invariant: at most `slots` + 1 peers are, and all are while nobody has to wait."""

    def __init__(self, rng: random.Random, slots: int = SLOTS) -> None:
        self._rng = rng
        self.slots = slots
        self._unchoked: dict[Key, int] = {}
        self._waiting: dict[Key, int] = {}
        self._offered: set[Key] = set()
        """Of those who wait: who was told that a slot is free, and has not come."""
        self._optimistic: Key | None = None
        self._round = 0
        self._rate_before = 0.0

    def may_start(self, peer: Key) -> bool:
        """A peer asks between two rounds: whether it gets a slot that is free. Never waits for a tick."""
        if peer in self._unchoked:
            return True
        self._offered.discard(peer)
        if len(self._unchoked) <= self.slots:
            self._unchoked[peer] = self._round
            self._waiting.pop(peer, None)
            return True
        self._waiting.setdefault(peer, self._round)
        return False

    def gone(self, peer: Key) -> None:
        """The peer left, or wants nothing."""
        self._unchoked.pop(peer, None)
        self._waiting.pop(peer, None)
        self._offered.discard(peer)
        if peer == self._optimistic:
            self._optimistic = None

    @property
    def anybody_waits(self) -> bool:
        """Whether somebody was refused a slot and has none yet."""
        return bool(self._waiting)

    def offers(self) -> list[Key]:
        """Whom to tell now that slots are free: those who waited longest. Who asks first gets one."""
        most = OFFERS * (self.slots + 1 - len(self._unchoked)) - len(self._offered)
        if most <= 0 or len(self._offered) == len(self._waiting):
            return []
        patient = sorted(self._waiting, key=self._waiting.__getitem__)
        told = [peer for peer in patient if peer not in self._offered][:most]
        self._offered.update(told)
        return told

    def is_unchoked(self, peer: Key) -> bool:
        """Whether the peer holds a slot."""
        return peer in self._unchoked

    def decide(self, peers: Iterable[Facts[Key]]) -> set[Key]:
        """One round, every ROUND_SECONDS: all who are unchoked from now on."""
        self._round += 1
        interested = {facts.peer: facts for facts in peers if facts.interested}
        for peer in (self._unchoked.keys() | self._waiting.keys()) - interested.keys():
            self.gone(peer)
        for peer in interested:
            if peer not in self._unchoked:
                self._waiting.setdefault(peer, self._round)
        self._adapt(sum(facts.sent_rate for facts in interested.values()), waiting=len(interested) > self.slots + 1)
        order = sorted(interested.values(), key=self._rank)
        chosen = [facts.peer for facts in order[: self.slots]]
        self._choose_optimistic([facts.peer for facts in order[self.slots :]])
        if self._optimistic is not None and self._optimistic not in chosen:
            chosen.append(self._optimistic)
        for peer in list(self._unchoked):
            if peer not in chosen:
                del self._unchoked[peer]
                self._waiting[peer] = self._round
        for peer in chosen:
            if peer not in self._unchoked:
                self._unchoked[peer] = self._round
                self._waiting.pop(peer, None)
                self._offered.discard(peer)
        return set(self._unchoked)

    def _rank(self, facts: Facts[Key]) -> tuple[float, int, int]:
        since = self._unchoked.get(facts.peer)
        if since is not None and self._round - since < TURN_ROUNDS:
            return -facts.received_rate, 0, since
        return -facts.received_rate, 1, self._waiting.get(facts.peer, self._round)

    def _choose_optimistic(self, left_out: list[Key]) -> None:
        stale = self._optimistic is None or self._optimistic not in left_out
        if stale or self._round % OPTIMISTIC_ROUNDS == 0:
            self._optimistic = self._rng.choice(left_out) if left_out else None

    def _adapt(self, rate: float, *, waiting: bool) -> None:
        """More slots while these fill the line better: slow takers alone must not leave it idle."""
        if not waiting:
            return
        if rate > 1.05 * self._rate_before and self.slots < MOST_SLOTS:
            self.slots += 1
        elif rate < 0.8 * self._rate_before and self.slots > SLOTS:
            self.slots -= 1
        self._rate_before = rate
