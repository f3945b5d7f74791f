"""One lookup against a crowd: the node's own state machine, answers and timeouts as events in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from dhtshare.dht.calls import SENDINGS
from dhtshare.dht.contact import Contact
from dhtshare.dht.figures import Figures
from dhtshare.dht.lookup import Lookup
from dhtshare.dht.routing import K
from dhtshare.dht.rtt import RttEstimate
from dhtshare.dht.simulation import MEDIAN_RTT_SECONDS, SPREAD
from dhtshare.dht.walk import PATHS
from dhtshare.network import Scope
from scripts.scaling.crowd import Crowd


@dataclass(frozen=True, slots=True)
class Delays:
    """Round trips: log-normal between two places, a steady one for each pair. Seconds."""

    seed: int

    def between(self, one: Contact, other: Contact) -> float:
        """The round trip of the two, twice the same."""
        return MEDIAN_RTT_SECONDS * math.exp(self._place(one) + self._place(other)) * 1.05

    def _place(self, contact: Contact) -> float:
        return random.Random(f"{self.seed} {contact.address.host}").gauss(0, SPREAD / math.sqrt(2))


class TimedLookup:
    """A get of a record that the true closest live nodes hold, by `asker`."""

    def __init__(
        self, crowd: Crowd, asker: Contact, target: bytes, dead: Callable[[Contact], bool], delays: Delays
    ) -> None:
        """`dead` says who never answers, which no table knows; `asker` is alive."""
        self._crowd = crowd
        self._asker = asker
        self._target = target
        self._dead = dead
        self._delays = delays
        self._lookup = Lookup(
            target, asker.node_id, crowd.table_nearest(asker.node_id, target), scope=Scope.IPV4, k=K, paths=PATHS
        )
        self._rtt = RttEstimate()
        for number in range(K):  # the asker has lived for a while
            self._rtt.add(delays.between(asker, crowd.contact(number * (len(crowd) // K))))
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._now = 0.0
        self._answered: set[Contact] = set()
        self._holders = set(crowd.nearest(target))
        self._found = False
        self._figures = Figures()

    def run(self, figures: Figures) -> None:
        """Walk to the end and add what came of it."""
        self._figures = figures
        self._ask()
        while self._events and not self._lookup.done:
            self._now, _, happens = heappop(self._events)
            happens()
            self._ask()
        figures.done(self._now, self._lookup.requests, self._recall())
        figures.silent += not self._found

    def _recall(self) -> float:
        others = [node for node in self._crowd.nearest(self._target, 4 * K) if node != self._asker]
        true = [node for node in others if not self._dead(node)][:K]
        closest = set(self._lookup.closest())
        return sum(node in closest for node in true) / len(true)

    def _ask(self) -> None:
        for contact in self._lookup.next_requests():
            self._send(contact)

    def _send(self, contact: Contact) -> None:
        wait = self._rtt.timeout()
        dead = self._dead(contact)
        delay = self._delays.between(self._asker, contact)
        if dead or delay > wait:
            self._at(wait, lambda: self._lookup.late(contact))
        if dead or delay > wait * SENDINGS:
            self._at(wait * SENDINGS, lambda: self._lookup.failed(contact))
        else:
            self._at(delay, lambda: self._answer(contact))

    def _answer(self, contact: Contact) -> None:
        if contact in self._holders and not self._found:
            self._found = True
            self._figures.found(self._now, self._lookup.hops(contact), self._lookup.requests)
        self._lookup.answered(contact, self._crowd.table_nearest(contact.node_id, self._target))

    def _at(self, delay: float, happens: Callable[[], None]) -> None:
        heappush(self._events, (self._now + delay, next(self._order), happens))
