"""A network whose nodes come and go for a day: what of its records is found meanwhile. The real code, virtual time.

Sessions are exponential with a median of one hour, and whoever goes is replaced by a stranger with an address, an id
and a memory of its own. Nodes end without a word. Some publishers stay; others die for good at the start, and the time
until nobody finds their records any more is taken.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dhtshare.dht.records.limits import ENTRY_TTL, PROVIDER_TTL
from dhtshare.dht.simulation import MEDIAN_RTT_SECONDS, VirtualLoop, run_virtual
from dhtshare.network import Scope
from tests.sim.records_network import Person, RecordsNetwork, content

HOUR = 3600.0
MEDIAN_SESSION = HOUR
SAMPLE_SECONDS = 600.0
SETTLED_SECONDS = 120.0  # for the first announcements
DEAD_CONTENTS = 5


@dataclass(slots=True)
class _Found:
    """How many of those asked for were found; the worst sample by its share."""

    asked: int = 0
    found: int = 0
    worst: float = 1.0

    def add(self, asked: int, found: int) -> None:
        self.asked += asked
        self.found += found
        self.worst = min(self.worst, found / asked)

    def as_dict(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "found": self.found,
            "share": round(self.found / self.asked, 5),
            "worst": self.worst,
        }


@dataclass(slots=True)
class _Figures:
    entries: _Found = field(default_factory=_Found)
    providers: _Found = field(default_factory=_Found)
    replaced: int = 0
    entry_last_found: float = 0.0  # seconds after its publisher's death
    provider_last_found: float = 0.0


class _Day:
    def __init__(self, net: RecordsNetwork, rng: random.Random, *, publishers: int, contents: int) -> None:
        self._net = net
        self._rng = rng
        self._publishers: list[Person] = []
        self._shared: list[tuple[Person, int]] = []
        self._contents = contents
        self._publisher_count = publishers
        self._asker: Person | None = None
        self.figures = _Figures()

    async def begin(self, nodes: int) -> None:
        """Everybody joins; the publishers share what they have."""
        await self._net.add(nodes, upkeep=True)
        self._publishers = self._rng.sample(self._net.people, self._publisher_count + 1)
        number = 0
        for person in self._publishers:
            for _ in range(self._contents):
                person.share(number, _words(number))
                self._shared.append((person, number))
                number += 1
        await asyncio.sleep(SETTLED_SECONDS)

    async def live(self, hours: float) -> None:
        """Churn and samples until the time is over."""
        dead = self._publishers.pop()
        numbers = [number for person, number in self._shared if person is dead]
        self._shared = [one for one in self._shared if one[0] is not dead]
        self._net.remove(dead)
        began = self._net.loop.time()
        async with asyncio.TaskGroup() as group:
            lives = [
                group.create_task(self._session(person)) for person in list(self._net.people) if self._goes(person)
            ]
            while (age := self._net.loop.time() - began) < hours * HOUR:
                await asyncio.sleep(SAMPLE_SECONDS)
                self._asker = self._rng.choice([person for person in self._net.people if self._goes(person)])
                await self._sample(self._asker)
                await self._sample_dead(self._asker, numbers[:DEAD_CONTENTS], age + SAMPLE_SECONDS)
                self._asker = None
            for life in lives:
                life.cancel()

    def _goes(self, person: Person) -> bool:
        return person not in self._publishers

    async def _session(self, person: Person) -> None:
        """One place in the network, held by one node after the other."""
        while True:
            await asyncio.sleep(self._rng.expovariate(math.log(2) / MEDIAN_SESSION))
            while person is self._asker:  # whose own end would count as a record lost
                await asyncio.sleep(1.0)
            self._net.remove(person)
            person = await self._net.add(upkeep=True)
            self.figures.replaced += 1

    async def _sample(self, asker: Person) -> None:
        chosen = self._rng.sample(self._shared, min(20, len(self._shared)))
        entries = [await _finds_entry(asker, number) for _, number in chosen]
        providers = [
            any(found.address.host == person.address.host for found in await asker.providers(content(number)))
            for person, number in chosen
        ]
        self.figures.entries.add(len(entries), sum(entries))
        self.figures.providers.add(len(providers), sum(providers))

    async def _sample_dead(self, asker: Person, numbers: Sequence[int], age: float) -> None:
        for number in numbers:
            if await _finds_entry(asker, number):
                self.figures.entry_last_found = age
            if await asker.providers(content(number)):
                self.figures.provider_last_found = age


def _words(number: int) -> tuple[str, ...]:
    return f"unique{number}", f"group{number % 7}", "musica"


async def _finds_entry(asker: Person, number: int) -> bool:
    found = await asker.search(_words(number)[0])
    return any(one.entry.content_hash == content(number) for one in found)


def a_day(
    *, nodes: int = 200, hours: float = 27.0, seed: int = 1, publishers: int = 10, contents: int = 20
) -> dict[str, Any]:
    """Figures of one simulated day. Same seed, same figures (but for the seconds that it took)."""

    async def main(loop: VirtualLoop) -> _Figures:
        net = RecordsNetwork(loop, scope=Scope.IPV4, seed=seed, rtt=MEDIAN_RTT_SECONDS)
        day = _Day(net, random.Random(seed), publishers=publishers, contents=contents)
        async with net.living():
            await day.begin(nodes)
            await day.live(hours)
        return day.figures

    began = time.perf_counter()
    figures = run_virtual(main)
    return {
        "nodes": nodes,
        "hours": hours,
        "seed": seed,
        "contents": publishers * contents,
        "replaced": figures.replaced,
        "entries": figures.entries.as_dict(),
        "providers": figures.providers.as_dict(),
        "dead_publisher": {
            "entry_last_found_s": figures.entry_last_found,
            "entry_of_ttl": round(figures.entry_last_found / ENTRY_TTL, 3),
            "provider_last_found_s": figures.provider_last_found,
            "provider_of_ttl": round(figures.provider_last_found / PROVIDER_TTL, 3),
        },
        "wall_seconds": round(time.perf_counter() - began, 1),
    }
